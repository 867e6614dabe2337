"""Figures by arm against planted readers and closed forms."""

from __future__ import annotations

import csv
import io
from dataclasses import replace

import numpy as np
import pytest

from osler.feedback.figures import Figure
from osler.reader_study.results import MEASURES, PAIRED, Measure, Row, arms_table, measured

ARMS = ["unaided", "prediction"]


def row(reader: int, case: int, arm: str, answer: str, **change: object) -> Row:
    """Return a reading; cases 0 to 3 of each ten have wrong advice, the truth of all is a."""
    advice = "b" if case % 10 < 4 else "a"
    plain = Row(
        f"reader {reader}", f"case {case}", f"patient {case}", 1, 1, arm, "a", advice, advice == "a", advice == "b",
        answer, 50, 10.0, 1, "2026-01-01T00:00:00+00:00",
    )  # fmt: skip
    return replace(plain, **change)  # type: ignore[arg-type]


def believers(readers: int = 3, cases: int = 40) -> list[Row]:
    """Return readers who are right alone in all but every tenth case, and believe the advice in every second wrong one."""
    held = []
    for reader in range(readers):
        for case in range(cases):
            held.append(row(reader, case, "unaided", "b" if case % 10 == 0 else "a", seconds=20.0))
            misled = case % 10 in (0, 1)
            held.append(row(reader, case, "prediction", "b" if misled else "a", confidence=80))
    return held


def told(found: list[Measure], arm: str, name: str) -> Figure:
    (one,) = [one for one in found if (one.arm, one.measure) == (arm, name)]
    assert one.patients.value == one.both.value
    return one.both


def test_planted_readers_are_measured_exactly() -> None:
    found = measured(believers(), ARMS, "unaided", seed=0, replicates=200)
    exact = {
        ("unaided", "accuracy"): 0.9,
        ("prediction", "accuracy"): 0.8,
        ("prediction", "accuracy_minus_unaided"): -0.1,
        ("prediction", "accuracy_advice_right"): 1.0,
        ("prediction", "accuracy_advice_wrong"): 0.5,
        ("prediction", "over_reliance"): 0.5,
        ("unaided", "over_reliance"): 0.25,
        ("prediction", "over_reliance_minus_unaided"): 0.25,
        ("prediction", "under_reliance"): 0.0,
        ("prediction", "agreement_with_advice"): 0.8,
        ("prediction", "agreement_of_readers"): 1.0,
        ("prediction", "confidence"): 80.0,
        ("unaided", "seconds"): 20.0,
    }
    for (arm, name), value in exact.items():
        assert told(found, arm, name).value == pytest.approx(value), (arm, name)
    assert told(found, "prediction", "over_reliance").n == 3 * 16
    assert {one.measure for one in found} == set(MEASURES)
    assert not [one for one in found if one.arm == "unaided" and one.measure in PAIRED]


def test_the_interval_over_patients_is_as_wide_as_theory_says() -> None:
    held = [row(0, case, "unaided", "b" if case % 10 == 0 else "a") for case in range(400)]
    found = told(measured(held, ARMS, "unaided", seed=1, replicates=3000), "unaided", "accuracy")
    half = 1.96 * np.sqrt(0.9 * 0.1 / 400)
    assert found.low == pytest.approx(0.9 - half, abs=0.006)
    assert found.high == pytest.approx(0.9 + half, abs=0.006)


def test_readers_who_differ_widen_the_interval_over_both() -> None:
    held = [
        row(reader, case, "unaided", "b" if case < 10 * reader else "a") for reader in range(4) for case in range(40)
    ]
    (one,) = [one for one in measured(held, ARMS, "unaided", seed=0, replicates=500) if one.measure == "accuracy"]
    narrow, wide = ((one.low or 0, one.high or 0) for one in (one.patients, one.both))
    assert wide[1] - wide[0] > narrow[1] - narrow[0]
    alone = measured(held[:40], ARMS, "unaided", seed=0, replicates=50)
    assert all(one.patients == one.both for one in alone)


def test_pairing_keeps_to_cases_that_both_arms_have() -> None:
    held = [one for one in believers() if not (one.arm == "prediction" and one.case != "case 0")]
    found = measured(held, ARMS, "unaided", seed=0, replicates=20)
    assert told(found, "prediction", "accuracy_minus_unaided").value == 0.0
    assert told(found, "prediction", "under_reliance").value is None


def test_arms_and_seeds() -> None:
    held = believers()
    one, again = (measured(held, ARMS, "unaided", seed=4, replicates=30) for _ in range(2))
    assert one == again
    assert not [each for each in measured(held, ["prediction"], None, seed=0, replicates=5) if each.measure in PAIRED]
    table = list(csv.DictReader(io.StringIO(arms_table(one).decode())))
    assert len(table) == len(one)
    assert float(table[0]["value"]) == pytest.approx(one[0].patients.value)
