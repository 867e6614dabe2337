"""The pointing experiment on few phantoms: maps that are the masks hit, and the cache gives back what was made."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from osler.bottleneck.encoders.catalogue import open_encoder
from osler.bottleneck.encoders.open_clip import OpenClipEncoder
from osler_training.experiments.pointing import Drawn, PointingPlan, Shown, draw, encoded, point, summary
from osler_training.phantom.plan import mixed_plan
from osler_training.phantom.sites import HOSPITAL_A

PLAN = PointingPlan(render_size=128)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def drawn(cache: Path) -> Drawn:
    return draw([(one, HOSPITAL_A) for one in mixed_plan(12, ["pneumonia", "lung_nodule"], 1)], PLAN, cache)


def test_what_was_drawn_and_encoded_comes_back_from_the_cache(drawn: Drawn, cache: Path) -> None:
    again = draw([(one, HOSPITAL_A) for one in mixed_plan(12, ["pneumonia", "lung_nodule"], 1)], PLAN, cache)
    assert again.key == drawn.key
    np.testing.assert_array_equal(again.images, drawn.images)
    assert [sorted(one) for one in again.regions] == [sorted(one) for one in drawn.regions]
    encoder = open_encoder()
    assert isinstance(encoder, OpenClipEncoder)
    first, second = (encoded(drawn, encoder, cache) for _ in range(2))
    np.testing.assert_array_equal(first.tokens, second.tokens)
    assert first.grid == encoder.grid


def test_maps_that_are_the_masks_hit_and_maps_of_elsewhere_miss(drawn: Drawn) -> None:
    rows = np.arange(len(drawn.images))
    concepts = ("focal_opacity", "rounded_opacity", "never_drawn")
    empty = np.zeros((PLAN.side, PLAN.side), bool)
    masks = np.stack([[one.get(name, empty) for name in concepts] for one in drawn.regions]).astype(float)
    kinds = {
        "mask": Shown(masks, concepts),
        "elsewhere": Shown(1 - masks, concepts),
        "flat": Shown(np.ones((len(rows), 1, 4, 4))),
    }
    setting = SimpleNamespace(drawn=drawn, rows=rows, test=SimpleNamespace(patients=drawn.patients))
    found = point(setting, kinds, concepts, least=3)
    assert set(found) == set(concepts[:2])
    for one in found.values():
        hits = one.scores["pointing"]
        np.testing.assert_array_equal(hits["mask"], 1)
        np.testing.assert_array_equal(hits["elsewhere"], 0)
        np.testing.assert_allclose(hits["flat"], hits["chance by area"])
        np.testing.assert_array_equal(one.scores["overlap"]["mask"], 1)
        assert (one.scores["mass_ratio"]["mask"] > 5).all()
    means = summary(found, "pointing", concepts)
    assert means["mask"].ci == (1.0, 1.0)
    assert means["flat"].value == pytest.approx(np.mean([one.area for one in found.values()]))
    assert means["mask"].minus(means["flat"]).ci[0] > 0.9
