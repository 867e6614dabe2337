"""Every study of the demonstration's archive, under both its bottlenecks and every kind of linear head: the sums are exact."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.platform.explain.every_head import KINDS, require_all, require_exact

from osler.explain.service import StudyExplainer
from osler.workspace import Workspace

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", params=["bottleneck", "bottleneck_prior"])
def explainer(request: pytest.FixtureRequest, demo: Path) -> StudyExplainer:
    return StudyExplainer(Workspace.open(demo / "workspace"), request.param)


def eligible(explainer: StudyExplainer) -> list[str]:
    archive = explainer.archive
    return [study.uid for study in archive.studies() if archive.image(study) is not None]


@pytest.mark.parametrize("kind", KINDS)
def test_every_study_is_explained_exactly_and_truth_decides(explainer: StudyExplainer, kind: str) -> None:
    assert require_all(explainer, kind, np.random.default_rng(2)) == len(eligible(explainer)) > 100


def test_what_a_reader_is_shown_of_every_study_sums_up_under_the_patches_in_force(explainer: StudyExplainer) -> None:
    for uid in eligible(explainer):
        require_exact(explainer.explain(uid))
