"""An ingested site as a data set: colour images and radiographs, labels, pseudonyms."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from osler.deid.options import BurnedIn, Option, Profile
from osler.dicomize import dicomize
from osler.ingest import ingest
from osler.workspace import Workspace
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError
from osler_training.datasets import open_dataset

ROWS = [
    ("7", "PA", "F", "36", "sick", "train", "s1", "1"),
    ("7", "AP", "F", "36", "", "val", "s2", "0"),
    ("", "LL", "M", "50", "well", "test", "", ""),
]
HEADER = "image,patient_id,view,sex,age,label,split_hint,scanner,concept_halo"


def ingested(folder: Path, kind: str, contract: str) -> Workspace:
    folder.mkdir()
    rng = np.random.default_rng(3)
    shape = (600, 600) if kind == "radiograph" else (150, 140, 3)
    lines = [HEADER]
    for number, cells in enumerate(ROWS):
        y, x = np.mgrid[0:1:600j, 0:1:600j] if kind == "radiograph" else (0, 0)
        smooth = 128 + 90 * np.sin(3 * (x + number) + 2 * y) * np.cos(4 * y) if kind == "radiograph" else 128
        pixels = np.clip(smooth + rng.normal(0, 12, shape), 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
        lines.append(f"{number}.png,{','.join(cells)}")
    (folder / "table.csv").write_text("\n".join(lines) + "\n")
    made = dicomize(
        folder / "table.csv", folder / "out", kind=kind, site="north",
        body_part="CHEST" if kind == "radiograph" else "", orientation=("L", "F") if kind == "radiograph" else (),
    )  # fmt: skip
    workspace = Workspace.open(folder / "workspace", create=True)
    summary = ingest(
        made.files,
        site="north",
        workspace=workspace,
        contract=contract,
        key=b"k" * 32,
        labels=made.labels,
        workers=0,
        profile=Profile(BurnedIn.UNJUDGED, frozenset({Option.CHARACTERISTICS})),
    )
    assert summary.accepted == len(ROWS), summary.to_dict()
    return workspace


def test_colour_images_come_with_their_labels(tmp_path: Path) -> None:
    workspace = ingested(tmp_path / "cells", "microscopy", "cell-microscopy")
    images = open_dataset("archive", workspace.root, site="north")
    assert sorted(images.table["label"]) == ["", "sick", "well"]
    known = images.table.set_index("part")
    assert known.loc["train", "patient"] == known.loc["val", "patient"] != known.loc["test", "patient"]
    assert known.loc["train", "scanner"] == "s1"
    assert known.loc["test", ["sex", "age"]].tolist() == ["M", 50.0]  # from the header, where it was retained
    assert not known["patient"].str.contains("7$").any()
    for row, path in enumerate(images.table["path"]):
        assert Path(path).is_relative_to(workspace.root)
        values = images.load(row)
        assert (values.shape, values.dtype) == ((150, 140, 3), np.float32)
        assert 0 <= values.min() < values.max() <= 1
    assert images.concepts.columns.tolist() == ["halo"]
    seen = dict(zip(images.table["part"], images.concepts["halo"], strict=True))
    assert (seen["train"], seen["val"], np.isnan(seen["test"])) == (1, 0, True)
    assert "concept_halo" not in images.table
    assert images.findings.loc[images.table["label"] == "", "sick"].isna().all()
    labelled = open_dataset("archive", workspace.root, site="north", labelled=True)
    assert (len(labelled), labelled.left_out) == (2, {"unlabelled": 1})


def test_radiographs_come_frontal_only(tmp_path: Path) -> None:
    workspace = ingested(tmp_path / "chest", "radiograph", "chest-radiograph")
    images = open_dataset("archive", workspace.root, site="north")
    assert sorted(images.table["view"]) == ["AP", "PA"]
    assert images.left_out == {"not-frontal": 1}
    assert images.load(0).ndim == 2


def test_a_site_that_is_not_there_is_refused(tmp_path: Path) -> None:
    workspace = Workspace.open(tmp_path / "empty", create=True)
    with pytest.raises(OslerError) as refused:
        open_dataset("archive", workspace.root, site="nowhere")
    assert refused.value.code is Code.NOTHING_ELIGIBLE
    with pytest.raises(OslerError) as unopened:
        open_dataset("archive", tmp_path / "none", site="nowhere")
    assert unopened.value.code is Code.WORKSPACE_INVALID
