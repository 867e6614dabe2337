"""How far readers agree with each other, and with the model, on concepts and on findings (M19.4).

Only signed reviews count, the latest of each reader and study. Readers saw the model's answer before they gave their own,
and answered what they chose to look at: these figures say how the model is taken, not how good it is. For that there is
the reader study.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from osler.feedback.figures import (
    MISSING,
    REPLICATES,
    Codes,
    Figure,
    cohen_kappa,
    drawn,
    figure,
    krippendorff_alpha,
    share,
)
from osler.feedback.review import SHOWN, Answer, Review

FINDING = "finding"
ALL, MODEL = "all readers", "the model"


@dataclass(frozen=True)
class Agreement:
    """How far some agree on one thing.

    Attributes:
        of: `finding`, or the identifier of a concept.
        between: Who: two readers, a reader and the model, or all readers.
        measure: `kappa` (Cohen's) for two, `alpha` (Krippendorff's, nominal) for all readers.
        chance_corrected: The measure; None where everybody always gave one same answer.
        same: Share of equal answers; of pairs of answers where there are more than two readers.
        doubted: Share of the answers of this reader to this concept that were doubts; None but for reader and model.
        studies: Studies that it rests on.
    """

    of: str
    between: tuple[str, str] | tuple[str]
    measure: str
    chance_corrected: Figure
    same: Figure
    doubted: float | None
    studies: int


def latest_signed(reviews: Sequence[Review]) -> list[Review]:
    """Return the latest signed review of each reader and study."""
    held = {(one.reviewer, one.study): one for one in reviews if one.signed}
    return list(held.values())


def agreement(
    reviews: Sequence[Review], patients: Mapping[str, str], *, seed: int = 0, replicates: int = REPLICATES
) -> list[Agreement]:
    """Return the agreement between readers, then of readers with the model, on the finding and on every concept.

    Args:
        reviews: Reviews that count; those of studies without a patient are left out.
        patients: Pseudonymous patient by study.
        seed: Of the bootstrap over patients.
        replicates: Draws.
    """
    known = [one for one in latest_signed(reviews) if one.study in patients]
    things = [FINDING, *sorted({concept for one in known for concept in one.answers})]
    found = [row for thing in things for row in _between_readers(known, thing, patients, seed, replicates)]
    return found + [row for thing in things for row in _with_model(known, thing, patients, seed, replicates)]


def _word(review: Review, thing: str) -> str | bool | None:
    return review.concluded if thing == FINDING else review.says(thing)


def _between_readers(
    reviews: Sequence[Review], thing: str, patients: Mapping[str, str], seed: int, replicates: int
) -> list[Agreement]:
    words = {(one.reviewer, one.study): word for one in reviews if (word := _word(one, thing)) is not None}
    readers = sorted({reader for reader, _ in words})
    studies = sorted({study for _, study in words})
    names = {word: k for k, word in enumerate(sorted(set(words.values()), key=str))}
    ratings = np.array(
        [
            [names[words[reader, study]] if (reader, study) in words else MISSING for reader in readers]
            for study in studies
        ],
        np.intp,
    ).reshape(len(studies), len(readers))
    found = []
    twice = (ratings != MISSING).sum(1) > 1
    if len(readers) > 2 and twice.any():
        weights = drawn([patients[one] for one in np.array(studies)[twice]], seed=seed, replicates=replicates)
        alpha = krippendorff_alpha(ratings[twice], weights)
        pairs = _equal_pairs(ratings[twice], weights)
        n = int(twice.sum())
        found.append(Agreement(thing, (ALL,), "alpha", figure(alpha, n), figure(pairs, n), None, n))
    for a, b in combinations(range(len(readers)), 2):
        both = (ratings[:, [a, b]] != MISSING).all(1)
        if both.any():
            whose = [patients[one] for one in np.array(studies)[both]]
            row = _pair(ratings[both, a], ratings[both, b], whose, seed, replicates)
            found.append(Agreement(thing, (readers[a], readers[b]), "kappa", *row, None, int(both.sum())))
    return found


def _with_model(
    reviews: Sequence[Review], thing: str, patients: Mapping[str, str], seed: int, replicates: int
) -> list[Agreement]:
    found = []
    for reader in sorted({one.reviewer for one in reviews}):
        own = [one for one in reviews if one.reviewer == reader]
        told = [
            (one.study, word, shown)
            for one in own
            if (word := _word(one, thing)) is not None and (shown := _shown(one, thing)) is not None
        ]
        answers = [one.answers[thing] for one in own if thing in one.answers]
        doubted = answers.count(Answer.DOUBT) / len(answers) if answers else None
        if told:
            names = {word: k for k, word in enumerate(sorted({word for _, *both in told for word in both}, key=str))}
            first, second = (np.array([names[row[side]] for row in told], np.intp) for side in (1, 2))
            row = _pair(first, second, [patients[study] for study, *_ in told], seed, replicates)
            found.append(Agreement(thing, (reader, MODEL), "kappa", *row, doubted, len(told)))
    return found


def _shown(review: Review, thing: str) -> str | bool | None:
    return review.before.finding if thing == FINDING else SHOWN.get(review.seen.get(thing, ""))


def _pair(first: Codes, second: Codes, whose: Sequence[str], seed: int, replicates: int) -> tuple[Figure, Figure]:
    weights = drawn(whose, seed=seed, replicates=replicates)
    kappa, same = cohen_kappa(first, second, weights), share((first == second).astype(float), weights)
    return figure(kappa, len(first)), figure(same, len(first))


def _equal_pairs(ratings: Codes, weights: np.ndarray) -> np.ndarray:
    """Return the share of equal among all pairs of answers to one study."""
    columns = list(combinations(range(ratings.shape[1]), 2))
    both = np.stack([(ratings[:, [a, b]] != MISSING).all(1) for a, b in columns], axis=1)
    equal = np.stack([ratings[:, a] == ratings[:, b] for a, b in columns], axis=1) & both
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray((weights @ equal.sum(1)) / (weights @ both.sum(1)))
