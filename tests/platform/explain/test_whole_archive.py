"""Every study of an archive, under every kind of linear head: the sums are exact and nothing arbitrary moves them."""

from __future__ import annotations

import numpy as np
import pytest

from osler.bottleneck import heads
from osler.explain.service import StudyExplainer
from osler.workspace import Workspace

from .every_head import KINDS, require_all


@pytest.fixture(scope="module")
def explainer(hospital: Workspace) -> StudyExplainer:
    return StudyExplainer(hospital, "random")


@pytest.mark.parametrize("kind", KINDS)
def test_every_study_is_explained_exactly(explainer: StudyExplainer, kind: str) -> None:
    assert require_all(explainer, kind, np.random.default_rng(1)) == 9


def test_no_kind_of_head_is_left_out() -> None:
    """A new head must be added to the kinds that are checked here."""
    from pathlib import Path

    held = {path.stem for path in Path(heads.__file__).parent.glob("*.py")} - {"__init__"}
    assert held == set(" over ".join(KINDS).split(" over "))
