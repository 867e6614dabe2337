"""The report of a bottleneck: every part on annotated studies, and why not where nobody annotated them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from osler.bottleneck.heads.hybrid import HybridHead
from osler.bottleneck.pipeline import Pipeline
from osler.bottleneck.records import Features
from osler_training.evaluate.bottleneck_report import BottleneckReport, ReportRule
from osler_training.fit.problem import Cohort

C, K = 6, 3
RULE = ReportRule(replicates=20, orders=3, steps=3, levels=(1, 3))


def cohort(pipeline: Pipeline, n: int, seed: int, noise: float) -> Cohort:
    draw = np.random.default_rng(seed)
    truth = draw.integers(0, 2, (n, C)).astype(float)
    y = pipeline.predict_values(truth).logits.argmax(1)
    seen = Features(2 * truth - 1 + noise * draw.normal(size=(n, C)))
    return Cohort(seen, y, tuple(f"{seed}-{i}" for i in range(n)), concepts=truth)


@pytest.fixture(scope="module")
def report(make_pipeline: Callable[..., Pipeline]) -> BottleneckReport:
    weight = np.random.default_rng(0).normal(size=(K, C)) * 2
    weight[:, 5] = 0
    pipeline = make_pipeline(weight, -weight.sum(1) / 2)
    train, select = (cohort(pipeline, 150, seed, 0.7) for seed in (1, 2))
    return BottleneckReport(pipeline, pipeline.bank.ids, train, select, RULE, seed=0)


def test_every_part_is_measured_in_domain_and_out_of_it(report: BottleneckReport) -> None:
    tests = {"id": cohort(report.pipeline, 150, 3, 0.7), "ood": cohort(report.pipeline, 150, 4, 3.0)}
    found = json.loads(json.dumps(replace(report, rule=replace(RULE, purity=True)).of(tests), allow_nan=False))
    assert found["nec"] == 5
    assert set(found["thresholds"]) == set(report.concepts)
    for name, one in found["tests"].items():
        assert "unmeasured" not in json.dumps(one), name
        assert one["n"] == 150
        assert 1 <= one["ncc"]["value"] <= 5
        assert set(one["interventions"]) == set(RULE.policies)
        # Corrected everywhere, both sites are the head on the truth.
        assert one["interventions"]["oracle"]["curve"][-1]["value"] == 1
        assert one["sparsity"]["levels"][1]["nec"] == 3
        assert one["soft_hard"]["gap"]["value"] == pytest.approx(
            one["soft_hard"]["soft"]["value"] - one["soft_hard"]["hard"]["value"]
        )
        assert one["residual_information"]["gain"]["value"] < 0.05
        assert one["purity"]["left_out"] == []
    gains = [found["tests"][name]["interventions"]["random"]["gain"]["value"] for name in ("id", "ood")]
    assert gains[1] > gains[0] + 0.1


def test_what_nobody_annotated_is_unmeasured_and_says_why(report: BottleneckReport) -> None:
    bare = replace(cohort(report.pipeline, 100, 5, 0.7), concepts=None)
    found = replace(report, select=bare).of({"id": bare})
    assert set(found["thresholds"].values()) == {0.5}
    one = found["tests"]["id"]
    for part in ("interventions", "residual_information"):
        assert one[part] == {"unmeasured": "Nobody annotated the concepts of these studies."}
    for part in ("ncc", "sparsity", "soft_hard"):
        assert "unmeasured" not in one[part]


def test_concepts_are_found_by_name_in_a_larger_bank(report: BottleneckReport) -> None:
    names = ("stranger", *report.concepts[::-1])

    def widen(one: Cohort) -> Cohort:
        return replace(one, concepts=np.column_stack([np.full(len(one), np.nan), one.concepts[:, ::-1]]))

    tests = {"id": cohort(report.pipeline, 100, 6, 0.7)}
    wide = replace(report, concepts=names, select=widen(report.select))
    assert wide.of({"id": widen(tests["id"])}) == report.of(tests)


def test_a_residual_head_is_measured_with_its_residual(report: BottleneckReport) -> None:
    hybrid = HybridHead(report.pipeline.head, np.ones((K, C)), np.zeros(K), normalised=False)
    other = replace(report, pipeline=replace(report.pipeline, head=hybrid))
    tests = {"id": cohort(report.pipeline, 100, 7, 0.7)}
    base = other.of(tests)["tests"]["id"]["interventions"]["random"]["curve"][0]["value"]
    right = other.pipeline.predict_features(tests["id"].features).logits.argmax(1) == tests["id"].y
    assert base == pytest.approx(np.mean([right[tests["id"].y == k].mean() for k in range(K)]))
