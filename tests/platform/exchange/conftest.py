"""A workspace with one small model whose encoder it carries."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from osler.bottleneck.artefact import save_bottleneck
from osler.bottleneck.encoders.open_clip import OpenClipEncoder
from osler.bottleneck.pipeline import Pipeline
from osler.workspace import Workspace


@pytest.fixture(scope="session")
def home(
    make_pipeline: Callable[..., Pipeline],
    encoder: OpenClipEncoder,
    resnet_folder: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """Return the folder of a workspace that holds the model `chest`; to be copied, not changed."""
    made = Workspace.open(tmp_path_factory.mktemp("exchange") / "home", create=True)
    pipeline = replace(make_pipeline(encoder.width, encoder=encoder), notes={"channels": "grey", "seed": 3})
    folder = save_bottleneck(pipeline, made.models / "chest", card="# A small model\n")
    shutil.copytree(resnet_folder, folder / "encoder")
    return made.root


@pytest.fixture
def workspace(home: Path, tmp_path: Path) -> Workspace:
    """Return a workspace of one's own that holds the model `chest`."""
    return Workspace.open(Path(shutil.copytree(home, tmp_path / "home")))
