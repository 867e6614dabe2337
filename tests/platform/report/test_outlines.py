"""Outlines in a presentation state: around the map that was checked, where it is in the image, and of no other concept."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import dcmread
from scipy.ndimage import map_coordinates
from skimage.measure import points_in_poly

from osler.explain.explanation import Measured
from osler.explain.validation import ConceptCheck, Validation, check_map
from osler.report.outlines import MOST_CONCEPTS, contours

from .conftest import PLAIN, Hospital, uid


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 999),
    shape=st.tuples(st.integers(2, 9), st.integers(2, 9)),
    rows=st.integers(40, 900),
    columns=st.integers(40, 900),
    mode=st.sampled_from(["squash", "shortest"]),
)
def test_an_outline_runs_where_the_map_is_half_as_strong(
    seed: int, shape: tuple[int, int], rows: int, columns: int, mode: str
) -> None:
    """Interpolated by another library, the map has half its maximum at every point that is not held at the border."""
    strengths = np.random.default_rng(seed).uniform(size=shape)
    lines = contours(strengths, rows, columns, mode)
    assert lines
    side = min(rows, columns)
    height, width = (rows, columns) if mode == "squash" else (side, side)
    for line in lines:
        x, y = line.T
        assert x.min() >= 1
        assert y.min() >= 1
        assert x.max() <= columns
        assert y.max() <= rows
        cells = np.stack(
            [(y - (rows - height) / 2) / height * shape[0], (x - (columns - width) / 2) / width * shape[1]]
        )
        found = map_coordinates(np.pad(strengths, 1), cells + 0.5, order=1, mode="constant")
        inside = (x > 1) & (x < columns) & (y > 1) & (y < rows)
        np.testing.assert_allclose(found[inside], strengths.max() / 2, atol=1e-6)


@pytest.mark.parametrize("mode", ["squash", "shortest"])
def test_the_cell_that_is_strong_lies_inside(mode: str) -> None:
    strengths = np.zeros((4, 4))
    strengths[2, 2] = 0.9
    (line,) = contours(strengths, 100, 300, mode)
    expected = (300 * 2.5 / 4, 100 * 2.5 / 4) if mode == "squash" else (100 + 100 * 2.5 / 4, 62.5)
    assert points_in_poly([expected], line).all()
    np.testing.assert_allclose(line.mean(axis=0), expected)


def test_a_weak_map_has_no_outline() -> None:
    assert contours(np.full((4, 4), 0.2), 100, 100, "squash") == []


@pytest.mark.slow
def test_concepts_whose_maps_were_checked_are_outlined_and_no_others(hospital: Hospital) -> None:
    explainer = hospital.reporter.explainer
    readings = explainer.explain(uid(PLAIN)).concepts
    likely = [one.id for one in readings if one.probability is not None and one.probability > 0.5][:6]
    checked, unchecked = likely[: len(likely) // 2], likely[len(likely) // 2 :]
    assert checked
    assert unchecked
    sure = ConceptCheck(present_from=0.5, present=Measured(0.95, 0.9, 0.99, 60, 57, "planted"))
    pointed = check_map(sure, np.full(60, 0.9), np.ones(60), (np.arange(60) > 2).astype(float), "planted")
    checks = dict.fromkeys(unchecked, sure) | dict.fromkeys(
        checked, ConceptCheck(present_from=0.5, present=sure.present, localisation=pointed)
    )
    Validation(explainer.pipeline.digest, "planted", checks).save(hospital.workspace.models / "random")
    hospital.settle("concepts: 32\n")
    reporter = hospital.reporter
    content, instance = reporter.content(uid(PLAIN)), reporter.image(reporter.explainer.archive.study(uid(PLAIN)))
    assert {one.id for one in content.concepts if one.mapped} == set(checked)
    state = dcmread(BytesIO(reporter.make(uid(PLAIN), "gsps").data))
    (annotation,) = state.GraphicAnnotationSequence
    drawn = [np.array(one.GraphicData).reshape(-1, 2) for one in annotation.GraphicObjectSequence]
    wanted = []
    for name in checked[:MOST_CONCEPTS]:
        logits = reporter.explainer.concept_map(uid(PLAIN), name)
        assert logits is not None
        wanted += contours(np.maximum(0, np.tanh(logits / 2)), instance.rows, instance.columns, "squash")
    assert len(drawn) == len(wanted) > 0
    for one in drawn:
        np.testing.assert_array_equal(one[0], one[-1])
        assert len({tuple(point) for point in one.tolist()}) == len(one) - 1, (
            "no point twice but the one that closes it"
        )
        assert any(np.allclose(one[:-1], line, atol=1e-3) for line in wanted if len(line) == len(one) - 1)
    assert all(hospital.reporter.explainer.concept_map(uid(PLAIN), name) is None for name in unchecked)
