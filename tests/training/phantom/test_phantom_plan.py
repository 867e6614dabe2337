"""Plans hold what they promise: balance, confounding, visits."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from osler_contracts.errors import OslerError
from osler_training.phantom.parameters import DIAGNOSES
from osler_training.phantom.plan import confounded_plan, mixed_plan

CLASSES = ("heart_failure", "pneumonia")


@given(
    n=st.integers(2, 120).map(lambda half: 2 * half),
    confounding=st.floats(0, 1),
    seed=st.integers(0, 2**31),
    swapped=st.booleans(),
)
def test_classes_are_balanced_and_visits_consistent(n: int, confounding: float, seed: int, swapped: bool) -> None:
    plans = confounded_plan(n, CLASSES, "zipper", confounding, reversed=swapped, seed=seed)
    assert Counter(plan.diagnosis for plan in plans) == dict.fromkeys(CLASSES, n // 2)
    assert len({(plan.patient, plan.visit) for plan in plans}) == n
    diagnosis = {plan.patient: plan.diagnosis for plan in plans}
    assert all(diagnosis[plan.patient] == plan.diagnosis for plan in plans)
    first = {plan.patient for plan in plans if plan.visit == 0}
    assert {plan.patient for plan in plans} == first == set(range(len(first)))
    assert plans == confounded_plan(n, CLASSES, "zipper", confounding, reversed=swapped, seed=seed)


@pytest.mark.parametrize(
    ("confounding", "swapped"), [(0.0, False), (0.5, False), (0.8, True), (1.0, False), (1.0, True)]
)
def test_the_nuisance_goes_with_the_class_as_often_as_asked(confounding: float, swapped: bool) -> None:
    plans = confounded_plan(8000, CLASSES, "zipper", confounding, reversed=swapped, seed=3)
    for name, sign in zip(CLASSES, (-1, 1) if swapped else (1, -1), strict=True):
        of_class = [plan.nuisance for plan in plans if plan.diagnosis == name]
        share = sum(one == "zipper" for one in of_class) / len(of_class)
        expected = 0.5 + sign * confounding / 2
        assert share == pytest.approx(expected, abs=4 * (expected * (1 - expected) / 4000) ** 0.5 + 1e-12)


def test_first_class_stands_against_all_others() -> None:
    plans = confounded_plan(90, ("pneumonia", "normal", "heart_failure"), "zipper", 1.0, seed=1)
    assert all((plan.nuisance == "zipper") == (plan.diagnosis == "pneumonia") for plan in plans)
    assert set(Counter(plan.diagnosis for plan in plans).values()) == {30}


def test_second_visits_come_at_their_share() -> None:
    plans = confounded_plan(4000, CLASSES, None, 0.0, seed=2, share_second_visit=0.2)
    assert sum(plan.visit for plan in plans) / 4000 == pytest.approx(0.2, abs=0.03)
    assert all(plan.nuisance is None for plan in plans)


def test_mixed_plans_hold_every_diagnosis_alike() -> None:
    plans = mixed_plan(80, DIAGNOSES, 4)
    assert Counter(plan.diagnosis for plan in plans) == dict.fromkeys(DIAGNOSES, 10)
    assert {plan.nuisance for plan in plans} == {None}


@pytest.mark.parametrize(
    ("n", "classes", "confounding"),
    [(10, ("heart_failure", "gout"), 0.5), (10, ("pneumonia",), 0.5), (0, CLASSES, 0.5), (10, CLASSES, 1.5)],
)
def test_impossible_plans_are_refused(n: int, classes: tuple[str, ...], confounding: float) -> None:
    with pytest.raises(OslerError):
        confounded_plan(n, classes, "zipper", confounding, seed=1)
