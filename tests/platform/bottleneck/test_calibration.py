"""Calibration and the source's moments, against planted truth."""

from __future__ import annotations

import numpy as np
import pytest

from osler.bottleneck.calibration import Calibration
from osler.bottleneck.source import SourceReference
from osler_contracts.errors import OslerError


def test_calibration_keeps_the_order_and_sums_to_one():
    logits = np.random.default_rng(1).normal(size=(50, 4)) * 5
    raw, calibrated = Calibration().probabilities(logits), Calibration(temperature=2.5).probabilities(logits)
    np.testing.assert_allclose(calibrated.sum(axis=1), 1)
    np.testing.assert_array_equal(raw.argmax(axis=1), calibrated.argmax(axis=1))
    assert (calibrated.max(axis=1) < raw.max(axis=1)).all()


def test_moments_of_the_source_are_those_of_its_classes():
    draw = np.random.default_rng(2)
    y = np.repeat([0, 1], [300, 100])
    values = draw.normal(size=(400, 2)) * 0.1 + np.array([[0.2, 0.5], [0.8, 0.5]])[y]
    values[:, 1] = 0.5
    source = SourceReference.measure(("a", "b"), values, y, values[:50], y[:50], classes=2)
    np.testing.assert_allclose(source.mean, [[0.2, 0.5], [0.8, 0.5]], atol=0.03)
    np.testing.assert_allclose(source.std[:, 0], 0.1, atol=0.02)
    np.testing.assert_array_equal(source.std[:, 1], 1)  # a constant concept is not infinitely significant
    np.testing.assert_allclose(source.neutral, [0.5, 0.5], atol=0.02)  # balanced by class, not by study
    np.testing.assert_allclose(source.class_prior, [0.75, 0.25])
    np.testing.assert_array_equal(source.aligned(("b", "a")).mean, source.mean[:, ::-1])
    with pytest.raises(OslerError):
        SourceReference.measure(("a", "b"), values, y, values, y, classes=3)
