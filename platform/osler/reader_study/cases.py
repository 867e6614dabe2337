"""The cases of a study: drawn, given their truth, and some of them the advice of another patient's study.

Wrong advice is not made up: it is what the same model says of a study of another patient and another finding. Finding,
certainty and concepts then belong together, as they do where a model errs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest

import numpy as np

from osler.archive import Archive, StudyRecord
from osler.archive.label_column import choose_column, class_of
from osler.explain.explanation import Explanation
from osler.reader_study.advice import Advice
from osler.reader_study.protocol import UNAIDED, Protocol, refusal

Explain = Callable[[str, bool], Explanation]


@dataclass(frozen=True)
class Case:
    """One case.

    Attributes:
        study: Pseudonymous study UID.
        patient: Pseudonym.
        truth: Its class.
        planted: Whether its advice is wrong on purpose.
        donor: Study whose advice is shown instead, empty where it is its own.
    """

    study: str
    patient: str
    truth: str
    planted: bool = False
    donor: str = ""


def conditions(protocol: Protocol) -> list[bool]:
    """Return under which conditions the model speaks: with the site's patch, without, or both; none where no arm advises."""
    return sorted({arm.patch for arm in protocol.arms.values() if arm.shows != UNAIDED}, reverse=True)


def choose_cases(protocol: Protocol, archive: Archive, classes: Sequence[str]) -> list[Case]:
    """Return the cases with their truth.

    Raises:
        OslerError: `protocol-invalid` where there are too few, or one is unknown, unlabelled or without an image;
            `nothing-eligible` where no label of the site is a class.
    """
    wanted = protocol.cases
    studies = [study for study in archive.studies(wanted.site) if archive.image(study) is not None]
    if not studies:
        raise refusal(
            f"site {wanted.site!r} has no study with an image that the model reads", "See `osler archive list`."
        )
    label = choose_column(studies, classes, wanted.names, wanted.label or None)
    truth = {one.uid: class_of(one.labels.get(label), classes, wanted.names) for one in studies}
    known = {one.uid: one for one in studies if truth[one.uid] >= 0}
    if wanted.studies:
        if missing := [uid for uid in wanted.studies if uid not in known]:
            raise refusal(
                f"{len(missing)} of the studies are not of site {wanted.site!r}, or have no image or no truth, such as "
                f"{missing[0][:64]}",
                "Name studies of `osler archive list` that have a label.",
            )
        chosen = [known[uid] for uid in wanted.studies]
    else:
        assert wanted.count is not None
        chosen = _draw([*known.values()], truth, wanted.count, protocol.seed)
    if len(chosen) < len(protocol.arms):
        raise refusal("there are fewer cases than arms", "Take more cases.")
    return [Case(one.uid, one.patient, classes[truth[one.uid]]) for one in chosen]


def _draw(studies: list[StudyRecord], truth: Mapping[str, int], count: int, seed: int) -> list[StudyRecord]:
    """Draw class by class in turn, no two studies of one patient."""
    rng = np.random.default_rng([seed, 0])
    order = [studies[place] for place in rng.permutation(len(studies))]
    piles = {k: [one for one in order if truth[one.uid] == k] for k in sorted(set(truth.values()) - {-1})}
    chosen: list[StudyRecord] = []
    patients: set[str] = set()
    while len(chosen) < count and any(piles.values()):
        for pile in piles.values():
            while pile and pile[0].patient in patients:
                pile.pop(0)
            if pile and len(chosen) < count:
                chosen.append(pile.pop(0))
                patients.add(chosen[-1].patient)
    if len(chosen) < count:
        raise refusal(
            f"{count} cases are asked for, and only {len(chosen)} patients have a study with a truth",
            "Take fewer cases, or ingest more labels.",
        )
    return chosen


def plant(protocol: Protocol, cases: Sequence[Case], archive: Archive, explain: Explain) -> list[Case]:
    """Return the cases, a share of them with a donor of wrong advice, spread over the classes.

    They are drawn from the cases that the model gets right, so that its own errors come on top. A donor is a study of the
    site, of a patient who is no case, of which the model concludes another finding than the case's truth under every
    condition of the study, and the same one under all.

    Raises:
        OslerError: `protocol-invalid` where too few cases can be given wrong advice.
    """
    number = round(protocol.wrong * len(cases))
    if not number:
        return list(cases)
    rng = np.random.default_rng([protocol.seed, 3])
    patched = conditions(protocol)
    right = [case for case in cases if {explain(case.study, one).finding.id for one in patched} == {case.truth}]
    patients = {one.patient for one in cases}
    pool = [
        one.uid
        for one in archive.studies(protocol.cases.site)
        if one.patient not in patients and archive.image(one) is not None
    ]
    pool = [pool[place] for place in rng.permutation(len(pool))]
    donors: dict[str, str] = {}
    for case in _in_turn(right, rng):
        donor = _donor(case, pool, Counter(donors.values()), patched, explain) if len(donors) < number else None
        if donor is not None:
            donors[case.study] = donor
    if len(donors) < number:
        raise refusal(
            f"wrong advice is asked for in {number} cases and can be given in {len(donors)}: the model gets {len(right)} of "
            f"{len(cases)} right, and wrong advice comes from one of {len(pool)} studies of other patients of the site of "
            "which it says another finding",
            "Take fewer cases, so that more patients are left, or a smaller `wrong`.",
        )
    return [replace(one, planted=True, donor=donors[one.study]) if one.study in donors else one for one in cases]


def _in_turn(cases: Sequence[Case], rng: np.random.Generator) -> list[Case]:
    """Return the cases in a random order in which the classes take turns."""
    piles = [[one for one in cases if one.truth == truth] for truth in sorted({one.truth for one in cases})]
    mixed = [[pile[place] for place in rng.permutation(len(pile))] for pile in piles]
    return [one for turn in zip_longest(*mixed) for one in turn if one is not None]


def _donor(
    case: Case, pool: Sequence[str], used: Mapping[str, int], patched: Sequence[bool], explain: Explain
) -> str | None:
    """Return the study that was used least of those of which the model says another finding; None where there is none."""
    for uid in sorted(pool, key=lambda one: used.get(one, 0)):
        said = {explain(uid, one).finding.id for one in patched}
        if len(said) == 1 and case.truth not in said:
            return uid
    return None


def advices(protocol: Protocol, cases: Sequence[Case], explain: Explain) -> dict[str, dict[str, Advice]]:
    """Return what the model is shown to say of each case under each condition, `patch` or `plain`."""
    return {
        case.study: {
            condition(patched): Advice.of(explain(case.donor or case.study, patched), planted=case.planted)
            for patched in conditions(protocol)
        }
        for case in cases
    }


def condition(patched: bool) -> str:
    """Return the name under which advice is kept."""
    return "patch" if patched else "plain"
