"""A patch in the words of whoever answers for a site: what it does, why, on what it rests, until when, how to undo it."""

from __future__ import annotations

from datetime import date

from osler.adapt.patch import SitePatch

KINDS = {
    "preprocessing": "images and features, before the model",
    "scorer": "signs that the model sees",
    "head": "how signs weigh in the finding",
}
GUARDS = {
    "leave-one-shot-out": "it must help on studies it was not fitted on",
    "leave-shots-out": "weighing the signs anew must help on studies it was not fitted on",
    "unlike-source": "the site must look different at all, beyond chance",
    "nearer-source": "the site must look more like the source with it, whatever its mix of patients",
    "site-scale": "setting the site's scale to the source's must not harm the labelled studies",
    "ungated-source": "it must not harm the source, even if it applied there",
    "pseudo-label-agreement": "the model must name the finding whose studies lie nearest, in most studies",
    "held-out-agreement": "it must name that finding as often as before, in studies it was not fitted on",
}
STATUSES = {"proposed": "proposed, not in force", "active": "in force", "revoked": "revoked"}


def status_of(patch: SitePatch, on: str | None = None) -> str:
    """Return the state of a patch on a day (default: today) in words."""
    if patch.changes_nothing:
        return "no change"
    return "expired" if patch.expired(on) and patch.status != "revoked" else STATUSES[patch.status]


def headline(patch: SitePatch, on: str | None = None) -> str:
    """Return a patch in one line."""
    until = f"until {patch.expires}" if patch.expires else "no expiry"
    by = f"  by {patch.author}" if patch.author else ""
    return (
        f"{patch.id}  {status_of(patch, on)}  {patch.site}  {patch.created}  {until}  {patch.adapter}  "
        f"changes: {', '.join(patch.kinds) or 'nothing'}{by}"
    )


def lines_of(patch: SitePatch, model: str | None = None, on: str | None = None) -> list[str]:
    """Return a patch as a page of text.

    Args:
        patch: The patch.
        model: Name of its model in the workspace, None where it has none such.
        on: ISO date of the day (default: today).
    """
    shots = ", ".join(f"{count} of {_spoken(name)}" for name, count in patch.shots.items()) or "studies without labels"
    fitted = f"fitted on {patch.created}{f' by {patch.author}' if patch.author else ''} with {patch.adapter} on {shots}"
    lines = [
        headline(patch, on),
        f"For model {model or f'{patch.model[:12]} (not in this workspace)'} at site {patch.site}, {fitted}.",
        patch.reason,
    ]
    if not patch.changes_nothing:
        lines.append(f"At {patch.site} alone it changes:")
        lines += [f"  {line}" for kind in patch.kinds for line in changes_of(patch, kind)]
    lines += [
        f"  guard {one.name} {'passed' if one.passed else 'failed'}: {asked_by(one.name)}. {one.sentence}"
        for one in patch.guards
    ]
    if patch.expires and not patch.changes_nothing:
        lines.append(f"It held until {patch.expires}." if patch.expired(on) else f"It holds until {patch.expires}.")
    lines += [f"  {day} {status} {note}".rstrip() for day, status, note in patch.history]
    return [*lines, next_step(patch, on)]


def changes_of(patch: SitePatch, kind: str) -> list[str]:
    """Return what a patch does of one kind: `preprocessing`, `scorer` or `head`."""
    if kind == "preprocessing":
        return [f"{kind}: {correction_words(one.name, one.studies)}" for one in patch.corrections]
    if kind == "head":
        parts = [part for part in (patch.head, patch.residual) if part is not None]
        told = [sentence for part in parts for sentence in part.sentences] or [
            "weights and bias of the classes are moved"
        ]
        return [f"{kind}: {sentence}" for sentence in told]
    strength = "" if patch.blend == 1 else f", at {100 * patch.blend:.0f}% of full strength"
    lines = [f"{kind}: {len(patch.deltas)} concepts{strength}"] if patch.deltas else []
    lines += [f"  {patch.deltas[one].sentence or f'{one}: {patch.deltas[one]}'}" for one in sorted(patch.deltas)]
    return lines + [f"{kind}: {sentence}" for sentence in (patch.projection.sentences if patch.projection else ())]


def asked_by(guard: str) -> str:
    """Say what a guard asks of a patch."""
    return GUARDS.get(guard, _spoken(guard.replace("-", " ")))


def correction_words(name: str, studies: int) -> str:
    """Say what a label-free correction does."""
    return f"{name.replace('_', ' ')} brought to the source's, as {studies} studies without labels measure them"


def next_step(patch: SitePatch, on: str | None = None) -> str:
    """Say what may be done with the patch now."""
    if patch.changes_nothing:
        return "Nothing needs to be done: the model stays as it is at this site."
    if patch.expired(on):
        return "Expired: fit a new one with `osler adapt`, on studies of today."
    if patch.status == "active":
        return f"To undo it: osler patch revoke {patch.id}"
    return f"To put it in force: osler patch apply {patch.id}"


def default_expiry(created: date, days: int = 180) -> str:
    """Return the last day of a patch where nobody names one."""
    return date.fromordinal(created.toordinal() + days).isoformat()


def _spoken(name: str) -> str:
    return name.replace("_", " ")
