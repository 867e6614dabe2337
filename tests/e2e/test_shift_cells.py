"""A site that nobody has seen: train at one laboratory, bring another's table of images, and ask how the model does there."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

RECIPE = """\
name: two
task: blood-cell
classes: [neutrophil, lymphocyte]
data:
  home: {dataset: any_csv, root: home, options: {concepts_file: concepts.csv}}
source: home
encoders: [phantom_clip]
preprocessing: {moments: [feature_moments]}
methods: {bottleneck: {options: {grounding: {held_out_least: 1, Cs: [1000]}}}}
replicates: 50
"""


def write_site(folder: Path, each: int, seed: int, tint: float) -> None:
    """Write pale cells: a lymphocyte's nucleus is one disc, a neutrophil's is three."""
    rng = np.random.default_rng(seed)
    (folder / "images").mkdir(parents=True)
    y, x = np.mgrid[:60, :60] / 60
    rows = []
    for number in range(2 * each):
        kind = ("neutrophil", "lymphocyte")[number % 2]
        image = np.full((60, 60, 3), (0.9, 0.85 - tint, 0.8))
        places = [(0.5, 0.5, 0.3)] if kind == "lymphocyte" else [(0.3, 0.3, 0.1), (0.7, 0.35, 0.1), (0.5, 0.7, 0.1)]
        for row, column, radius in places:
            image[np.hypot(y - row, x - column) < radius] = (0.35 + tint, 0.2, 0.5)
        image = np.clip(image + rng.normal(0, 0.04, image.shape), 0, 1)
        name = f"images/{number}.png"
        Image.fromarray((255 * image).astype(np.uint8)).save(folder / name)
        rows.append({"image": name, "patient_id": f"p{number}", "label": kind})
    table = pd.DataFrame(rows)
    table.to_csv(folder / "metadata.csv", index=False)
    lobed = (table["label"] == "neutrophil").astype(int)
    concepts = table[["image"]].assign(multilobed_nucleus=lobed, round_nucleus=1 - lobed)
    concepts.to_csv(folder / "concepts.csv", index=False)


@pytest.mark.slow
def test_a_table_of_an_unseen_site_is_answered_by_three_commands(osler, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    write_site(tmp_path / "home", 30, seed=1, tint=0.0)
    write_site(tmp_path / "away", 10, seed=2, tint=0.02)
    (tmp_path / "two.yaml").write_text(RECIPE, encoding="utf-8")
    osler("train", "two.yaml", "--method", "bottleneck", "--out", "cells")
    osler("dicomize", "away/metadata.csv", "dicom", "--kind", "microscopy", "--site", "away")
    osler("ingest", "dicom/dicom", "--site", "away", "--labels", "dicom/labels.csv", "--contract", "cell-microscopy")
    told = json.loads(osler("evaluate", "--model", "cells", "--site", "away", "--json").stdout)
    assert (told["n"], told["patients"], told["studies"]["left_out"]) == (20, 20, {})
    assert told["metrics"]["balanced_accuracy"]["value"] > 0.8, "lobes tell these kinds, whatever the tint"
    assert told["corrections"]["measured_on"] == 20
    assert told["prevalence"]["in_training"] == {"neutrophil": 0.5, "lymphocyte": 0.5}
    assert (Path(told["predictions"]) / "predictions.parquet").is_file()
    said = osler("evaluate", "--model", "cells", "--site", "away").stdout
    assert "balanced accuracy" in said
    assert "not a medical device" in said
