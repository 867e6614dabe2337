"""The record of a reference: what it keeps, what it must not keep, and that it is read back or refused."""

from __future__ import annotations

import json
from collections.abc import Callable

import numpy as np
import pytest

from osler_contracts.codes import Code
from osler_contracts.drift.bins import Cells, pool_rare, quantiles
from osler_contracts.drift.fields import INVALID, MISSING, OTHER
from osler_contracts.drift.observations import Observations, observe
from osler_contracts.drift.reference import SAMPLE, Profile, make_profile
from osler_contracts.errors import OslerError


def test_a_profile_is_read_back_as_it_was(draw: Callable[..., Observations]) -> None:
    profile = make_profile(draw(np.random.default_rng(1), 80, images=2), site="a", origin={"runs": [1, 2]})
    again = Profile.from_json(profile.to_json())
    assert again == profile
    assert again.sha256 == profile.sha256 == json.loads(profile.to_json())["sha256"]
    assert (again.units, again.images) == (80, 160)
    for field in again.fields.values():
        assert field.units == pytest.approx(80)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda text: text.replace('"units": 40', '"units": 41'),
        lambda text: text[: len(text) // 2],
        lambda text: text.replace('"schema": 1', '"schema": 2'),
        lambda text: "[]",
        lambda text: "",
    ],
)
def test_a_changed_record_is_refused(draw: Callable[..., Observations], spoil: object) -> None:
    text = make_profile(draw(np.random.default_rng(1), 40), site="a").to_json()
    with pytest.raises(OslerError) as raised:
        Profile.from_json(spoil(text))  # type: ignore[operator]
    assert raised.value.code is Code.PROFILE_INVALID


def test_a_word_that_few_patients_share_is_not_written() -> None:
    words = ["CHEST"] * 30 + ["GRABLOWSKI ZENOBIA"] * 40 + ["ROE"] * 4
    units = [*range(30), *([99] * 40), *range(30, 34)]  # one patient has forty images
    profile = make_profile(observe(units, {"BodyPartExamined": words}), site="a")
    assert "GRABLOWSKI" not in profile.to_json()
    assert "ROE" not in profile.to_json()
    cells = profile.fields["BodyPartExamined"].cells
    assert cells.labels == ("CHEST", OTHER, MISSING)
    assert profile.fields["BodyPartExamined"].weights == (30.0, 5.0, 0.0)


def test_a_patient_with_many_images_weighs_one() -> None:
    found = observe([0] * 40 + [1, 2, 3], {"KVP": [90.0] * 20 + [100.0] * 20 + [120.0] * 3})
    field = make_profile(found, site="a").fields["KVP"]
    held = dict(zip(field.cells.labels, field.weights, strict=True))
    assert sorted(x for x in held.values() if x) == [0.5, 0.5, 3.0]
    assert field.measured == 4
    assert field.sample == (90.0, 120.0, 120.0, 120.0)


def test_the_sample_is_bounded_and_true_to_its_distribution() -> None:
    numbers = np.random.default_rng(3).normal(size=5000)
    field = make_profile(observe(range(5000), {"KVP": numbers}), site="a").fields["KVP"]
    assert (len(field.sample), field.measured) == (SAMPLE, 5000)
    assert list(field.sample) == sorted(field.sample)
    at = np.searchsorted(np.sort(numbers), field.sample, side="right") / 5000
    assert np.max(np.abs(at - (np.arange(SAMPLE) + 0.5) / SAMPLE)) <= 0.001


@pytest.mark.parametrize("values", [[None] * 9, ["x"] * 9, [float("inf")] * 9, [7.0] * 9, [0.0] * 9])
def test_empty_odd_and_constant_measures_have_a_profile(values: list[object]) -> None:
    profile = make_profile(observe(range(9), {"KVP": values}), site="a")
    field = Profile.from_json(profile.to_json()).fields["KVP"]
    assert max(field.weights) == 9
    assert sum(weight > 0 for weight in field.weights) == 1


def test_nothing_has_no_profile() -> None:
    with pytest.raises(OslerError) as raised:
        make_profile(Observations(np.zeros(0, dtype=np.int64), {}), site="a")
    assert raised.value.code is Code.EMPTY_SOURCE


def test_cells_take_every_value() -> None:
    measure = Cells(edges=(0.0, 1.0, 2.0))
    values = [-5.0, 0.0, 0.5, 1.0, 2.0, 9.0, float("nan"), None]
    assert measure.place(values).tolist() == [0, 1, 1, 2, 3, 3, 4, 5]
    assert measure.labels == ("far below", "up to 1", "from 1", "far above", INVALID, MISSING)
    assert Cells(edges=(0.0,)).labels == ("far below", "far above", INVALID, MISSING)
    assert Cells(edges=(0.0, 1.0)).labels[:3] == ("far below", "as ever", "far above")
    assert Cells(edges=(0.0, 1.0, 2.0, 3.0)).labels[1:4] == ("up to 1", "1 to 2", "from 2")
    words = Cells(words=("AP", "PA"))
    assert words.place(["PA", "LL", MISSING, "AP", OTHER]).tolist() == [1, 2, 3, 0, 2]


def test_weighted_quantiles_are_those_of_repeated_numbers() -> None:
    rng = np.random.default_rng(5)
    numbers, times = rng.normal(size=50), rng.integers(1, 5, 50)
    levels = np.linspace(0.05, 0.95, 19)
    expected = np.quantile(np.repeat(numbers, times), levels, method="inverted_cdf")
    np.testing.assert_allclose(quantiles(numbers, times.astype(float), levels), expected)


@pytest.mark.parametrize(
    ("total", "ordered", "groups"),
    [
        ([1, 9, 9, 2], True, [0, 0, 1, 1]),
        ([9, 1, 1, 9], True, [0, 1, 1, 1]),
        ([9, 1, 3, 9, 2], False, [1, 0, 0, 2, 0]),
        ([40, 2], True, [0, 1]),
        ([40, 0, 0], True, [0, 0, 0]),
        ([3, 0, 1], True, [0, 0, 1]),
    ],
)
def test_rare_cells_are_pooled_with_what_is_near(total: list[int], ordered: bool, groups: list[int]) -> None:
    assert pool_rare(np.array(total, dtype=float), ordered).tolist() == groups
