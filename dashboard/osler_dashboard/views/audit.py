"""The audit log, for an administrator: who saw, changed and signed what, and whether anybody touched the log itself."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from html import escape

import streamlit as st

from osler.audit import Entry
from osler_dashboard import audit_services, services
from osler_dashboard.audit_services import Log
from osler_dashboard.components import frame
from osler_dashboard.words import sentence

PAGE = 50
KINDS = {  # first word of an action, and how the filter says it
    "access": "Signing in and out",
    "account": "Accounts",
    "archive": "Archive",
    "crosswalk": "Identifying patients",
    "knowledge": "Concept banks",
    "patch": "Site patches",
    "quarantine": "Files held back",
    "reader-study": "Reader studies",
    "report": "Results sent out",
    "review": "Corrections and sign-offs",
    "study": "Studies",
}
EVERYBODY, ALL = "Everybody", "Everything"


def chain(log: Log) -> None:
    """Draw whether the chain holds, before anything else."""
    if log.fault or log.check is None:
        frame.html(
            f'<div class="o-chain broken" role="alert"><b>✗ The log was changed by something other than Osler.</b> '
            f"<span>{escape(log.fault)}</span></div>"
        )
        return
    count, head = log.check.count, log.check.head[:12]
    torn = " A crash cut the last line off; the next entry will say so." if log.check.torn else ""
    frame.html(
        f'<div class="o-chain" role="status"><b>✓ Chain verified.</b> <span>{count:,} entries, each following from the one '
        f"before it; the last is {escape(head) if count else 'none'}.{torn}</span></div>"
    )


def chosen(entries: Sequence[Entry]) -> list[Entry]:
    """Draw the filters, and return the entries that they leave."""
    kinds = sorted({_kind(one) for one in entries}, key=lambda one: KINDS.get(one, one))
    with st.container(horizontal=True, vertical_alignment="bottom"):
        actor = st.selectbox("Who", [EVERYBODY, *sorted({one.actor for one in entries})], key="audit_actor", width=190)
        kind = st.selectbox("What", [ALL, *kinds], format_func=_told_kind, key="audit_kind", width=210)
        first = min((_day(one) for one in entries), default=date.today())
        last = max((_day(one) for one in entries), default=date.today())
        days = st.date_input("When", (first, last), min_value=first, max_value=last, key="audit_days", width=230)
        words = st.text_input("Holds the words", key="audit_words", max_chars=100, width=220)
    begin, end = (days[0], days[-1]) if isinstance(days, tuple) and days else (first, last)
    return [
        one
        for one in entries
        if actor in (EVERYBODY, one.actor)
        and kind in (ALL, _kind(one))
        and begin <= _day(one) <= end
        and words.strip().casefold() in _all(one).casefold()
    ]


def table(entries: Sequence[Entry]) -> None:
    """Draw a page of entries."""
    pages = max(1, -(-len(entries) // PAGE))
    place = 1
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        frame.html(f'<p class="o-quiet">{len(entries):,} {"entry" if len(entries) == 1 else "entries"}</p>')
        if pages > 1:
            place = int(st.number_input(f"Page of {pages}", 1, pages, key=f"audit_page_{pages}", width=140))
    names = services.studies().names
    rows = "".join(_row(one, names.get(one.subject)) for one in entries[(place - 1) * PAGE : place * PAGE])
    frame.html(
        '<table class="o-table o-compact"><thead><tr><th>No.</th><th>When (UTC)</th><th>Who</th><th>What</th>'
        f"<th>To what</th><th>Details</th></tr></thead><tbody>{rows}</tbody></table>"
        if rows
        else '<p class="o-quiet">No entry matches.</p>'
    )


def _row(one: Entry, study: str | None) -> str:
    subject = study or (f"{one.subject[:16]}…" if len(one.subject) > 40 else one.subject)
    details = ", ".join(f"{name}: {value}" for name, value in one.details.items())
    return (
        f'<tr><td class="n">{one.number}</td><td class="o-nowrap">{escape(one.time[:19].replace("T", " "))}</td>'
        f"<td>{escape(one.actor)}</td><td>{escape(_told(one.action))}</td>"
        f'<td title="{escape(one.subject)}">{escape(subject)}</td><td class="o-quiet">{escape(details)}</td></tr>'
    )


def _kind(one: Entry) -> str:
    return one.action.partition(".")[0]


def _told_kind(kind: str) -> str:
    return KINDS.get(kind, sentence(kind))


def _told(action: str) -> str:
    return sentence(action.replace(".", ": ").replace("-", " "))


def _all(one: Entry) -> str:
    return " ".join([one.actor, one.action, one.subject, *one.details.values()])


def _day(one: Entry) -> date:
    try:
        return datetime.fromisoformat(one.time).date()
    except ValueError:
        return date.min


def show() -> None:
    """Draw the page."""
    log = audit_services.log()
    st.markdown("## Audit")
    chain(log)
    if not log.entries:
        frame.nothing("Nothing has been done here yet.", "What people see, change and sign is listed here.")
        return
    table(chosen(log.entries))


show()
