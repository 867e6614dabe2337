"""Site by site on a hand table; id, ood, gap and avg of any figure; Overall."""

from __future__ import annotations

import json
from collections.abc import Callable

import numpy as np
import pytest

from osler_contracts.codes import Code
from osler_contracts.errors import OslerError
from osler_training.evaluate.bootstrap import Estimate
from osler_training.evaluate.records import Records
from osler_training.evaluate.shift import Predicted, overall, shift_estimates, shift_table
from osler_training.evaluate.shift_matrix import shift_matrix


def model(make_records: Callable[..., Records], right: dict[str, float], n: int = 100) -> Records:
    """Build a model that is right on a share of the studies of each site."""
    sites = [site for site in right for _ in range(n)]
    y = np.tile(np.arange(n) % 3, len(right))
    hits = np.concatenate([np.arange(n) < share * n for share in right.values()])
    return make_records(
        n=len(sites),
        y=y,
        prob=np.eye(3)[np.where(hits, y, (y + 1) % 3)],
        sites=tuple(sites),
        patients=tuple(f"{site}{i}" for i, site in enumerate(sites)),
    )


def test_the_matrix_on_a_hand_table(make_records: Callable[..., Records]) -> None:
    models = {
        "a": model(make_records, {"a": 0.9, "b": 0.6, "c": 0.5}),
        "b": model(make_records, {"a": 0.7, "b": 0.8, "c": 0.4}),
    }
    found = shift_matrix(models, "accuracy", seed=0, replicates=300)
    assert found.trained == ("a", "b")
    assert found.tested == ("a", "b", "c")
    assert {cell: one.value for cell, one in found.cells.items()} == {
        ("a", "a"): 0.9,
        ("a", "b"): 0.6,
        ("a", "c"): 0.5,
        ("b", "a"): 0.7,
        ("b", "b"): 0.8,
        ("b", "c"): 0.4,
    }
    mean, worst = found.off_diagonal_mean, found.off_diagonal_worst
    assert mean is not None
    assert worst is not None
    assert mean.value == pytest.approx(0.55)
    assert mean.ci[0] < 0.55 < mean.ci[1]
    assert worst.value == 0.4
    assert found.worst_cell == ("b", "c")
    record = json.loads(json.dumps(found.to_record()))
    assert len(record["cells"]) == 6
    assert record["worst_cell"] == ["b", "c"]
    assert all(one["n"] == 100 for one in record["cells"])


def test_models_are_paired_within_a_site_of_test(make_records: Callable[..., Records]) -> None:
    one = model(make_records, {"a": 0.9, "b": 0.6})
    found = shift_matrix({"a": one, "b": one}, "accuracy", seed=0, replicates=50)
    assert found.cells["a", "b"].minus(found.cells["b", "b"]).ci == (0.0, 0.0)
    # Sites of test are not: two sites alike in all but their names are drawn apart.
    alike = shift_matrix({"a": model(make_records, {"a": 0.6, "b": 0.6})}, "accuracy", seed=0, replicates=50)
    assert not np.array_equal(alike.cells["a", "a"].replicates, alike.cells["a", "b"].replicates)


def test_a_model_at_home_only_has_nothing_away(make_records: Callable[..., Records]) -> None:
    found = shift_matrix({"a": model(make_records, {"a": 0.9})}, "accuracy", seed=0, replicates=5)
    assert found.off_diagonal_mean is found.off_diagonal_worst is found.worst_cell is None
    assert found.to_record()["off_diagonal_mean"] is None
    with pytest.raises(OslerError) as caught:
        shift_matrix({"a": make_records().at("nowhere")}, seed=0)
    assert caught.value.code == Code.NOTHING_ELIGIBLE


def test_a_table_of_shift_agrees_with_the_record_of_shift(make_records: Callable[..., Records]) -> None:
    both = model(make_records, {"a": 0.9, "b": 0.5})
    source, target = both.at("a"), both.at("b")
    found = shift_table(source, target, ["accuracy", "concept_auroc"], seed=4, replicates=1000)
    pair = [Predicted(one.prob, one.y, one.patients) for one in (source, target)]
    for name, one in shift_estimates(*pair, seed=4).items():
        assert found["accuracy"][name].value == pytest.approx(one.value)
        assert found["accuracy"][name].ci == pytest.approx(one.ci)
    assert found["accuracy"]["gap"].value == pytest.approx(0.4)
    assert set(found) == {"accuracy", "concept_auroc", *(f"concept_auroc/concept_{c}" for c in range(4))}


def test_overall_on_a_hand_table() -> None:
    some = [Estimate(value, np.full(3, value)) for value in (0.6, 0.8, 0.9)]
    assert overall(some[:2], some[2:]).value == pytest.approx(0.8)
    assert overall(some[:2], some[2:]).ci == pytest.approx((0.8, 0.8))
