"""What a calibration and a prediction set say, in words."""

from __future__ import annotations

from osler.calibrate.conformal import FEW, ConformalSets, Reached
from osler.calibrate.record import SiteCalibration

GROUP = "It is of the group of studies, not of this patient."


def coverage_sentence(sets: ConformalSets, site: str) -> str:
    """Say what coverage was asked for, what so few studies can say of it, and whom it is of."""
    of = "of each class" if sets.method == "class-conditional" else ""
    asked = f"Of studies of {site} like those it was calibrated on, {sets.coverage:.0%} {of}".rstrip()
    told = [f"{asked} have their class in such a set."]
    told += [_interval(one) for one in sets.reached if one.studies < FEW]
    return " ".join([*told, GROUP])


def _interval(one: Reached) -> str:
    whom = "" if one.of == "all" else f" of {one.of}"
    return (
        f"With {one.studies} calibration studies{whom} the coverage that was reached lies between "
        f"{one.low:.0%} and {one.high:.0%} (95%)."
    )


def abstention(classes: tuple[str, ...], said: list[str] | None = None) -> str:
    """Say why a set of other than one class is no finding; empty for a set of one."""
    names = said or list(classes)
    if len(classes) == 1:
        return ""
    if not classes:
        return "I do not know: this study is unlike the calibration studies of every class."
    return f"I do not know: {' and '.join(', '.join(names).rsplit(', ', 1))} cannot be told apart at this coverage."


def calibration_lines(one: SiteCalibration) -> list[str]:
    """Say a calibration for a person at a terminal."""
    under = "without a patch" if one.patch is None else f"under patch {one.patch}"
    counts = ", ".join(f"{count} {name}" for name, count in one.studies.items())
    before, after = one.before, one.after
    fit = (
        f"temperature {one.temperature:.3f}: cross-entropy {before['cross_entropy']:.3f} before, "
        f"{after['cross_entropy']:.3f} after; confidence {before['confidence']:.1%} before, "
        f"{after['confidence']:.1%} after, accuracy {after['accuracy']:.1%} (on these studies)"
    )
    lines = [
        headline(one),
        f"{one.count} studies {under}, one a patient: {counts}; {one.set_aside} of the patch's patients set aside",
        fit,
    ]
    lines += [f"  {name} is called from {point:.3f}" for name, point in sorted(one.operating_points.items())]
    if one.sets is None:
        lines.append(f"no prediction sets: {one.without_sets}")
    else:
        lines.append(f"prediction sets, {one.sets.method}: {coverage_sentence(one.sets, one.site)}")
    return lines + [f"  {day} {status} {note}".rstrip() for day, status, note in one.history]


def headline(one: SiteCalibration) -> str:
    """Return a calibration in one line."""
    return f"{one.id}  {one.status:8s}  {one.site}  {one.created} to {one.expires}  {one.count} studies"
