"""Agreement of reviews with planted answers; only the latest signed word of a reader counts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score

from osler.feedback import Answer, Conclusion, Review
from osler.feedback.agreement import FINDING, MODEL, Agreement, agreement

STUDIES = 40
PATIENTS = {f"2.25.{n}": f"p{n // 2}" for n in range(STUDIES)}


def review(reader: str, study: int, finding: str, **change: object) -> Review:
    """Return a signed review; the model said pneumonia and showed haze as present."""
    plain = Review(
        study=f"2.25.{study}",
        site="b",
        reviewer=reader,
        corrections={},
        before=Conclusion("pneumonia", 0.6),
        after=Conclusion("pneumonia", 0.6),
        model="m",
        bank="b",
        finding=finding,
        seen={"haze": "present"},
    )
    return replace(plain, **change)  # type: ignore[arg-type]


def _one(found: list[Agreement], of: str, *between: str) -> Agreement:
    (row,) = [one for one in found if one.of == of and one.between == between]
    return row


def test_two_readers_agree_as_scikit_learn_says() -> None:
    rng = np.random.default_rng(0)
    names = np.array(["pneumonia", "heart_failure"])
    a, b = names[rng.integers(0, 2, STUDIES)], names[rng.integers(0, 2, STUDIES)]
    b = np.where(rng.random(STUDIES) < 0.6, a, b)
    found = agreement(
        [review("A", n, a[n]) for n in range(STUDIES)] + [review("B", n, b[n]) for n in range(STUDIES)], PATIENTS
    )
    row = _one(found, FINDING, "A", "B")
    assert row.chance_corrected.value == pytest.approx(cohen_kappa_score(a, b))
    assert row.same.value == pytest.approx((a == b).mean())
    assert row.chance_corrected.low is not None
    assert row.chance_corrected.low < row.chance_corrected.value < (row.chance_corrected.high or 0)
    assert row.studies == STUDIES


def test_three_readers_are_told_together_and_by_pairs() -> None:
    reviews = [review(reader, n, "pneumonia" if n % 3 else "normal") for reader in "ABC" for n in range(12)]
    found = agreement(reviews, PATIENTS, replicates=50)
    together = _one(found, FINDING, "all readers")
    assert (together.measure, together.chance_corrected.value, together.same.value) == ("alpha", 1.0, 1.0)
    assert {one.between for one in found if one.measure == "kappa"} >= {("A", "B"), ("A", "C"), ("B", "C")}


def test_a_confirmation_says_what_was_shown_and_a_doubt_says_neither() -> None:
    answers = [Answer.CONFIRM, Answer.PRESENT, Answer.ABSENT, Answer.DOUBT]
    reviews = [review("A", n, "", answers={"haze": answers[n % 4]}) for n in range(8)]
    reviews.append(review("A", 9, "", answers={"haze": Answer.CONFIRM}, seen={"haze": "uncertain"}))
    row = _one(agreement(reviews, PATIENTS, replicates=20), "haze", "A", MODEL)
    assert row.studies == 6
    assert row.same.value == pytest.approx(4 / 6)
    assert row.doubted == pytest.approx(2 / 9)


def test_only_the_latest_signed_word_of_a_reader_counts() -> None:
    reviews = [
        review("A", 1, "normal"),
        review("A", 1, "pneumonia"),
        review("A", 1, "normal", signed=False),
        review("B", 1, "pneumonia"),
        review("B", 999, "normal"),
    ]
    row = _one(agreement(reviews, PATIENTS, replicates=5), FINDING, "A", "B")
    assert (row.studies, row.same.value, row.chance_corrected.value) == (1, 1.0, None)


def test_nothing_to_compare_is_nothing() -> None:
    assert agreement([], {}) == []
    assert agreement([review("A", 1, "x", signed=False)], PATIENTS) == []
