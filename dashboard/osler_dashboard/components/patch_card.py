"""A patch as its readers see it: what is done differently, kind by kind, and what its guards measured."""

from __future__ import annotations

from html import escape

from osler.adapt.changes import ConceptDelta
from osler.adapt.patch import SitePatch
from osler.adapt.words import asked_by, correction_words
from osler_dashboard import services
from osler_dashboard.components import frame
from osler_dashboard.words import day, sentence, signed, spoken

AT_ONCE = 8
STATES = {
    "active": ("In force", "good"),
    "revoked": ("Switched off", "conflict"),
    "proposed": ("Proposed, not in force", ""),
    "expired": ("Expired", "conflict"),
}


def state_of(patch: SitePatch) -> tuple[str, str]:
    """Return the word for a patch's state today, and its tone."""
    if patch.changes_nothing:
        return "No change", ""
    return STATES["expired" if patch.status == "active" and patch.expired() else patch.status]


def changes(patch: SitePatch) -> None:
    """Draw what the patch does, and why."""
    word, tone = state_of(patch)
    shots = " and ".join(f"{count} of {spoken(name).lower()}" for name, count in patch.shots.items())
    by = f" by {patch.author}" if patch.author else ""
    made = f"fitted on {shots or 'studies without labels'} from this site, {day(patch.created)}{by}"
    until = "" if patch.expires is None or patch.changes_nothing else f"Holds until {day(patch.expires)}"
    frame.html(
        f'<div class="o-line"><span><span class="o-chip {tone}">{word}</span> &nbsp; {escape(made)}</span>'
        f'<span class="o-quiet">{escape(until)}</span></div>'
    )
    if patch.changes_nothing:
        frame.html(f"<p>{escape(sentence(patch.reason.removeprefix('No change: ')))}</p>")
        return
    frame.html(f'<p class="o-quiet">{escape(patch.reason)}</p>')
    frame.html("".join(_images(patch)) + _signs(patch) + _weights(patch))


def _images(patch: SitePatch) -> list[str]:
    rows = [
        f"<tr><td>{escape(sentence(correction_words(one.name, one.studies)))}.</td></tr>" for one in patch.corrections
    ]
    return [_table("Before the signs are read", "".join(rows))] if rows else []


def _signs(patch: SitePatch) -> str:
    order = [*patch.masked, *patch.amplified, *sorted(patch.deltas.keys() - {*patch.masked, *patch.amplified})]
    rows = "".join(_sign(one, patch.deltas[one]) for one in order) if patch.blend > 0 else ""
    for told in patch.projection.sentences if patch.projection else ():
        rows += f'<tr><td colspan="3">{_plain(told)}</td></tr>'
    if not rows:
        return ""
    partly = "" if patch.blend == 1 else f" ({100 * patch.blend:.0f}% of what is said here)"
    return (
        f'<table class="o-table"><thead><tr><th>Sign</th><th>Here it is{partly}</th><th>Why</th></tr></thead>'
        f"<tbody>{rows}</tbody></table>"
    )


def _sign(concept: str, delta: ConceptDelta) -> str:
    why = delta.sentence.partition(": ")[2] or delta.sentence
    return (
        f"<tr><td><b>{escape(services.concept_name(concept))}</b></td><td>{escape(done(delta))}</td>"
        f'<td class="o-quiet">{_plain(why)}</td></tr>'
    )


def done(delta: ConceptDelta) -> str:
    """Say what is done to a sign."""
    if delta.mask:
        return "ignored"
    parts = [f"weighed {delta.gain:.2f} times as much"] if delta.gain != 1 else []
    parts += [f"moved by {signed(delta.shift)}"] if delta.shift else []
    parts += ["read on the source's scale"] if delta.knots else []
    return ", ".join(parts) or "as it is"


def _weights(patch: SitePatch) -> str:
    told = [_plain(one) for one in patch.residual.sentences] if patch.residual is not None else []
    rows = "".join(f'<tr><td colspan="3">{one}</td></tr>' for one in told)
    if patch.head is not None and not patch.head.changes_nothing:
        moved = services.moved_weights(patch)
        rows += "".join(
            f"<tr><td><b>{escape(sentence(one.name))}</b></td><td>{escape(spoken(one.finding))}</td>"
            f'<td class="o-nowrap">{signed(one.before)} → {signed(one.after)}</td></tr>'
            for one in moved[:AT_ONCE]
        )
        if moved[AT_ONCE:]:
            rows += f'<tr><td colspan="3" class="o-quiet">and {len(moved) - AT_ONCE} smaller ones</td></tr>'
        if not moved:
            rows += "".join(f'<tr><td colspan="3">{_plain(one)}</td></tr>' for one in patch.head.sentences)
    if not rows and "head" in patch.kinds:
        rows = '<tr><td colspan="3">The findings are weighed anew.</td></tr>'
    head = "<th>Sign</th><th>How much it speaks for</th><th>Before → here</th>"
    return f'<table class="o-table"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>' if rows else ""


def _table(head: str, rows: str) -> str:
    return f'<table class="o-table"><thead><tr><th>{head}</th></tr></thead><tbody>{rows}</tbody></table>'


def _plain(text: str) -> str:
    return escape(sentence(text.replace("*", "")))


def guards(patch: SitePatch) -> None:
    """Draw what each guard measured."""
    for guard in patch.guards:
        failed = "Failed" if patch.changes_nothing else "Failed, so that part is left out"
        mark, word, tone = ("✓", "Passed", "for") if guard.passed else ("✗", failed, "against")
        title = f"{word}: {asked_by(guard.name)}"
        frame.html(
            f'<div class="o-guard"><b class="o-{tone}">{mark}</b><div>{escape(title)}<br>'
            f'<span class="o-quiet">{escape(guard.sentence)}</span></div></div>'
        )
