"""Knowledge, for reviewers: what a bank asks and why, a decision on each concept, and what changed between versions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape

import streamlit as st

from osler.access import Action
from osler.banks import Step
from osler_contracts.errors import OslerError
from osler_dashboard import bank_services, session
from osler_dashboard.components import cited, frame
from osler_dashboard.words import day, sentence, spoken
from osler_knowledge.bank import ConceptBank
from osler_knowledge.concept import Concept
from osler_knowledge.diff import differences, told
from osler_knowledge.history import Change, now
from osler_knowledge.review import VALUES, Reviewer, accept, notice, retire, reword, set_prior

QUEUES = {"Waiting": ("proposed",), "Accepted": ("accepted",), "Retired": ("retired",)}
CHOSEN, TOLD = "knowledge_concept", "knowledge_told"
LATEST = 12  # steps of the history that are shown at once
WHY, WORDS, LONGEST = "Reason", "New question", 500


def title(bank: ConceptBank, task: str) -> None:
    """Draw which bank this is, whether anybody has reviewed it, and which models do not fit it."""
    waiting = notice(bank)
    tone = "conflict" if waiting.startswith("Not") else "good"
    word, _, rest = waiting.partition(": ")
    st.markdown(f"## {spoken(task)}")
    frame.html(
        f'<div class="o-line"><span><span class="o-chip {tone}">{escape(word)}</span> &nbsp; {escape(sentence(rest))}</span>'
        f'<span class="o-quiet">Version {bank.version} · {len(bank.concepts)} concepts</span></div>'
    )
    for why, models in bank_services.models_on_another_version(bank).items():
        st.warning(f"{', '.join(map(spoken, models))}: {why} It goes on with its own version.")


def queue(bank: ConceptBank) -> Concept | None:
    """Let the reviewer choose among the concepts that wait, or those that are decided."""
    counts = {name: sum(one.status in states for one in bank.concepts) for name, states in QUEUES.items()}
    name = st.segmented_control(
        "Which",
        list(QUEUES),
        default="Waiting",
        format_func=lambda one: f"{one} {counts[one]}",
        required=True,
        label_visibility="collapsed",
        key="knowledge_queue",
    )
    listed = {one.id: one for one in bank.concepts if one.status in QUEUES[name]}
    if not listed:
        frame.html(f'<p class="o-quiet">{"Nothing waits." if name == "Waiting" else "None."}</p>')
        return None
    if st.session_state.get(CHOSEN) not in listed:
        st.session_state[CHOSEN] = next(iter(listed))
    chosen = st.selectbox(
        "Concept",
        list(listed),
        format_func=lambda one: sentence(listed[one].name),
        key=CHOSEN,
        label_visibility="collapsed",
    )
    return listed[chosen]


def decide(task: str, concept: Concept) -> None:
    """Ask for a decision, with a reason."""
    frame.kicker("Your decision")
    with st.form("decide", border=False):
        reason = st.text_input(WHY, max_chars=300, help="Needed to retire or reword; kept in the history")
        question = st.text_input(WORDS, value=concept.question, max_chars=LONGEST, key=f"reword_{concept.id}")
        one, two, three = st.columns(3)
        accepted = one.form_submit_button(
            "Accept", type="primary", width="stretch", disabled=concept.status == "accepted"
        )
        retired = two.form_submit_button("Retire", width="stretch", disabled=concept.status == "retired")
        reworded = three.form_submit_button("Reword", width="stretch")
    if accepted:
        _take(task, concept, "accept", reason, lambda who: lambda bank: accept(bank, concept.id, who))
    elif retired:
        _take(task, concept, "retire", reason, lambda who: lambda bank: retire(bank, concept.id, who))
    elif reworded:
        _take(
            task,
            concept,
            "reword",
            reason,
            lambda who: lambda bank: reword(bank, concept.id, who, question=question),
        )


def set_by_hand(task: str, bank: ConceptBank, concept: Concept) -> None:
    """Let the reviewer say what the concept speaks for."""
    with st.expander("Correct what it speaks for"), st.form("prior", border=False):
        finding = st.selectbox("Finding", bank.findings, format_func=spoken)
        word = st.selectbox(
            "It speaks", list(VALUES), help="Unknown leaves it to the data; neither says it tells nothing"
        )
        reason = st.text_input(WHY, max_chars=300, key="prior_reason")
        if st.form_submit_button("Set"):
            value = VALUES[word]
            _take(
                task,
                concept,
                "prior",
                reason,
                lambda who: lambda held: set_prior(held, concept.id, finding, value, who),
            )


def _take(task: str, concept: Concept, action: str, reason: str, step: Callable[[Reviewer], Step]) -> None:
    """Take a step, and draw the page anew; what is missing or refused is said."""
    if action != "accept" and not reason.strip():
        st.warning("Give a reason: it is kept in the bank's history.")
        return
    who = Reviewer(session.require(Action.REVIEW_BANK).name, now(), reason.strip())
    try:
        bank = bank_services.review(task, concept, step(who), who, action)
    except OslerError as error:
        st.warning(f"{error.message} {error.mend}")
        return
    st.session_state[TOLD] = told(bank.history[-1])
    st.rerun()


def versions(bank: ConceptBank, task: str) -> None:
    """Draw what changed since an earlier version, and who decided what."""
    frame.kicker("Versions")
    kept = [one for one in bank_services.store(task).versions() if one < bank.version]
    if kept:
        since = st.selectbox("What changed since version", list(reversed(kept)))
        found = differences(bank_services.store(task).load(since), bank)
        items = "".join(f"<li>{escape(one)}</li>" for one in found) or "<li>Nothing differs.</li>"
        frame.html(f'<ul class="o-refs">{items}</ul>')
    steps = list(reversed(bank.history))
    frame.html(_history(steps[:LATEST]))
    if steps[LATEST:]:
        with st.expander(f"{len(steps) - LATEST} earlier"):
            frame.html(_history(steps[LATEST:]))


def _history(steps: Sequence[Change]) -> str:
    rows = "".join(
        f'<tr><td class="o-nowrap">{day(one.time[:10])}</td><td class="n">{one.version}</td><td>{escape(one.by)}</td>'
        f'<td class="o-quiet">{escape(told(one))}</td></tr>'
        for one in steps
    )
    return (
        '<table class="o-table o-compact"><thead><tr><th>Day</th><th>Version</th><th>Who</th><th>What</th></tr></thead>'
        f"<tbody>{rows}</tbody></table>"
    )


def show() -> None:
    """Draw the page."""
    tasks = bank_services.banks()
    if not tasks:
        frame.nothing("There is no concept bank yet.", "Build one from text with `osler knowledge propose`.")
        return
    task = tasks[0]
    if len(tasks) > 1:
        task = st.segmented_control("Bank", tasks, default=task, format_func=spoken, required=True)
    bank = bank_services.store(task).load()
    title(bank, task)
    left, right = st.columns([11, 8], gap="large")
    with left:
        concept = queue(bank)
        if concept is not None:
            cited.heading(concept)
            cited.passage(concept.citation, bank_services.passage(task, concept.citation))
            cited.prior(concept, bank.findings)
    with right:
        if concept is not None:
            cited.figures(concept)
            if session.allowed(Action.REVIEW_BANK):
                decide(task, concept)
                set_by_hand(task, bank, concept)
        versions(bank, task)
    if TOLD in st.session_state:
        st.toast(st.session_state.pop(TOLD), icon=":material/check:")


show()
