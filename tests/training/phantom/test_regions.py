"""Masks of concepts: where there is one the concept is true, and a device's mask lies where the picture changes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from osler_training.phantom.parameters import DEVICES, DIAGNOSES
from osler_training.phantom.plan import mixed_plan
from osler_training.phantom.regions import FINDING_OF, concept_regions, device_masks
from osler_training.phantom.render import project
from osler_training.phantom.sites import HOSPITAL_B
from osler_training.phantom.study import study_spec

SIZE = 128


def test_regions_belong_to_concepts_that_are_there_and_lie_in_the_mask_of_their_finding() -> None:
    seen = set()
    for plan in mixed_plan(32, DIAGNOSES, 3):
        spec = study_spec(plan, HOSPITAL_B)
        drawn = project(spec, SIZE)
        regions = concept_regions(spec, drawn.concepts, drawn.masks, SIZE)
        for concept, mask in regions.items():
            assert drawn.concepts[concept] == 1
            assert 0 < mask.mean() < 0.6
            if concept in FINDING_OF:
                allowed = np.any([drawn.masks[one] for one in FINDING_OF[concept] if one in drawn.masks], axis=0)
                assert not (mask & ~allowed).any()
        for kind in ("consolidation", "nodule", "pneumothorax"):
            if kind in drawn.masks:
                assert any(kind in FINDING_OF.get(concept, ()) for concept in regions)
        seen |= set(regions)
    assert set(DEVICES) & seen
    assert len(set(FINDING_OF) & seen) > 8


def test_a_coarser_mask_keeps_a_finding_that_is_smaller_than_a_cell() -> None:
    plan = next(one for one in mixed_plan(16, ["lung_nodule"], 4))
    spec = study_spec(plan, HOSPITAL_B)
    drawn = project(spec, SIZE)
    for size in (SIZE, 32, 8):
        mask = concept_regions(spec, drawn.concepts, drawn.masks, size)["rounded_opacity"]
        assert mask.shape == (size, size)
        rows, columns = np.nonzero(drawn.masks["nodule"])
        assert mask[int(rows.mean() * size / SIZE), int(columns.mean() * size / SIZE)]


def test_a_device_lies_where_its_picture_differs_from_the_one_without_it() -> None:
    plain = replace(study_spec(mixed_plan(1, ["normal"], 5)[0], HOSPITAL_B), devices=())
    without = project(plain, SIZE, scatter=0, photons=1e12)
    for device in DEVICES:
        spec = replace(plain, devices=(device,))
        drawn = project(spec, SIZE, scatter=0, photons=1e12)
        mask = device_masks(spec, SIZE)[device]
        if device == "endotracheal_tube":  # its length is drawn before the vessels, which move with it
            assert mask[: SIZE // 4, SIZE // 2 - 4 : SIZE // 2 + 4].any()
            continue
        metal = drawn.attenuation - without.attenuation > 0.12
        assert metal.any()
        assert mask[metal].mean() > 0.5, device
