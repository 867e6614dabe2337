"""What `osler train` stores beside the model: what a patch may correct a site by."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from skimage.color import rgb2lab
from sklearn.metrics import roc_auc_score

from osler.adapt.adapters.image_moments import ImageMomentsAdapter
from osler.bottleneck.artefact import load_bottleneck
from osler.bottleneck.encoders.catalogue import open_encoder
from osler.bottleneck.records import Support
from osler.bottleneck.source import SourceReference
from osler.cli.main import main
from osler.explain.validation import load_validation

from .conftest import KINDS, RECIPE, draw_cell, write_site


def test_a_trained_model_can_take_a_sites_own_colour_off(cells: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(RECIPE.replace("${CELLS}", str(cells)), encoding="utf-8")
    words = ["train", str(recipe), "--method", "bottleneck", "--preprocessing", "none", "--out", "cells"]
    assert main([*words, "--workspace", str(tmp_path / "ws")]) == 0
    encoder = open_encoder("phantom_clip")
    pipeline = load_bottleneck(tmp_path / "ws" / "models" / "cells", encoder)
    known = {one.name: one for one in pipeline.references}
    assert sorted(known) == ["feature_moments", "image_moments", "mixture_alignment"]
    # Half of the images are those of the training part: their look is that of all of them, but for chance.
    table = pd.read_csv(cells / "home" / "metadata.csv")
    pictures = [np.asarray(Image.open(cells / "home" / name), float) / 255 for name in table["image"]]
    pixels = np.stack([rgb2lab(image) for image in pictures])
    moments = known["image_moments"].reference
    assert moments["count"] == known["feature_moments"].reference["count"][0] < len(table)
    np.testing.assert_allclose(moments["mean"], pixels.mean(axis=(0, 1, 2)), atol=3.0)
    rng = np.random.default_rng(5)
    images = [draw_cell(kind, rng) / 255 for kind in KINDS * 10]
    stained = [np.clip(0.6 * image + 0.1, 0, 1) for image in images]
    support = Support(encoder.encode(stained[:3]), None, "away", images=stained)
    patch = ImageMomentsAdapter().fit(pipeline, support, created="2026-01-01")
    assert patch.corrections[0].studies == 30
    patched = patch.apply(pipeline, on="2026-01-01")
    clean, before = pipeline.predict(images).logits, pipeline.predict(stained).logits
    after = patched.predict(stained, site="away").logits
    assert np.abs(after - clean).mean() < np.abs(before - clean).mean() / 2
    np.testing.assert_array_equal(patched.predict(stained, site="home").logits, before)
    order = [support.images[place] for place in rng.permutation(30)]
    again = ImageMomentsAdapter().fit(
        pipeline, Support(support.features, None, "away", images=order), created="2026-01-01"
    )
    assert again == patch
    # With a memory of more than a few cells, the guard tells that look from the source's, whatever the mix of classes.
    y = np.arange(120) % 3
    cells_of_home = [draw_cell(KINDS[k], rng) / 255 for k in y]
    values = pipeline.predict(cells_of_home).state.static
    source = SourceReference.measure(pipeline.bank.ids, values, y, values, y, classes=3, site="home")
    pipeline, guarded = replace(pipeline, source=source), ImageMomentsAdapter(guarded=True)
    found = guarded.fit(pipeline, support, created="2026-01-01")
    assert found.corrections == patch.corrections, found.guards
    alike = [draw_cell(kind, rng) / 255 for kind in ("neutrophil",) * 20 + ("lymphocyte",) * 5]
    told = guarded.fit(pipeline, Support(encoder.encode(alike[:3]), None, "away", images=alike), created="2026-01-01")
    assert told.changes_nothing, told.guards
    assert told.reason.startswith("No change: 25 studies lie ")


def test_a_trained_model_says_how_well_its_signs_are_read(tmp_path: Path) -> None:
    write_site(tmp_path / "home", dict.fromkeys(KINDS, 60), seed=1)
    write_site(tmp_path / "away", dict.fromkeys(KINDS, 8), seed=2, stain=0.2, side=64)
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(RECIPE.replace("${CELLS}", str(tmp_path)), encoding="utf-8")
    words = ["train", str(recipe), "--method", "bottleneck", "--preprocessing", "none", "--out", "cells"]
    assert main([*words, "--workspace", str(tmp_path / "ws")]) == 0
    folder = tmp_path / "ws" / "models" / "cells"
    encoder = open_encoder("phantom_clip")
    pipeline = load_bottleneck(folder, encoder)
    held = load_validation(folder, pipeline.digest)
    assert held.where == "held-out images of home"
    known = {one: check for one, check in held.concepts.items() if check.auroc is not None}
    assert set(known) == {"multilobed_nucleus", "round_nucleus", "bilobed_nucleus"}
    table = pd.read_csv(tmp_path / "home" / "concepts.csv").set_index("image")
    images = [np.asarray(Image.open(tmp_path / "home" / name), float) / 255 for name in table.index]
    values = pipeline.predict(images).state.static
    for concept, check in known.items():
        assert check.auroc is not None
        assert 40 <= check.auroc.studies <= 70  # of 180 images those of select and calibrate, by patient
        whole = roc_auc_score(table[concept], values[:, pipeline.bank.ids.index(concept)])
        assert check.auroc.value == pytest.approx(whole, abs=0.1)
        assert check.localisation is None
        if check.present_from is not None:
            called = values[:, pipeline.bank.ids.index(concept)] >= check.present_from
            assert table[concept][called].mean() >= 0.85
    (folder / "validation.json").unlink()
    assert not load_validation(folder, pipeline.digest).concepts
