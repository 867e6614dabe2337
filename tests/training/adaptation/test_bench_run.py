"""A bench from images to page: statistics of the pool alone, halves shared, and the same table however it was reached."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from osler.cli.main import main
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError
from osler_training.adaptation.bench import open_bench
from osler_training.adaptation.features import SiteFeatures, Store, encode_targets, read_site
from osler_training.adaptation.page import write_page
from osler_training.adaptation.recipe import AdaptRecipe, Stream
from osler_training.adaptation.run import run_bench
from osler_training.shift.lines import RecipeFile, parse_recipe

from .conftest import RECIPE

KINDS = {"neutrophil": "multilobed_nucleus", "lymphocyte": "round_nucleus", "eosinophil": "bilobed_nucleus"}
TONES = {"neutrophil": (0.5, 0.2, 0.6), "lymphocyte": (0.2, 0.2, 0.7), "eosinophil": (0.8, 0.3, 0.3)}


def write_site(folder: Path, each: int, *, seed: int, stain: float = 0.0) -> None:
    """Write a laboratory: blots whose tone tells the kind, under a stain of its own."""
    rng = np.random.default_rng(seed)
    (folder / "images").mkdir(parents=True)
    grid = np.moveaxis(np.indices((32, 32)), 0, -1) / 32
    rows = []
    for kind, tone in TONES.items():
        for number in range(each):
            image = np.full((32, 32, 3), 0.9)
            image[np.linalg.norm(grid - rng.normal(0.5, 0.05, 2), axis=-1) < rng.uniform(0.25, 0.35)] = tone
            image = np.clip(image * (1 - stain) + rng.normal(0, 0.08, image.shape), 0, 1)
            name = f"images/{kind}{number}.png"
            Image.fromarray((image * 255).astype(np.uint8)).save(folder / name)
            rows.append({"image": name, "patient_id": f"{kind[0]}{number}", "label": kind})
    table = pd.DataFrame(rows)
    table.to_csv(folder / "metadata.csv", index=False)
    truth = {concept: (table["label"] == kind).astype(int) for kind, concept in KINDS.items()}
    pd.DataFrame({"image": table["image"], **truth}).to_csv(folder / "concepts.csv", index=False)


@pytest.fixture(scope="module")
def cells(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The laboratories `home` and `away`."""
    root = tmp_path_factory.mktemp("cells")
    write_site(root / "home", 24, seed=1)
    write_site(root / "away", 10, seed=2, stain=0.3)
    return root


def recipe_file(cells: Path, changes: Mapping[str, str] | None = None) -> RecipeFile:
    """The tiny recipe on those laboratories."""
    text = RECIPE.replace("${CELLS}", str(cells))
    for old, new in (changes or {}).items():
        assert old in text
        text = text.replace(old, new)
    return parse_recipe(text, "recipe.yaml", AdaptRecipe)


@pytest.fixture(scope="module")
def ran(cells: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished bench."""
    root = tmp_path_factory.mktemp("ran")
    told = run_bench(recipe_file(cells), root / "out", cache=root / "cache", workers=1)
    assert (told.done, dict(told.refused), dict(told.failed)) == (2, {}, {})
    return root


@pytest.mark.slow
def test_a_page_shows_every_adapter_and_needs_nothing_from_elsewhere(ran: Path) -> None:
    page = write_page(ran / "out").read_text()
    assert all(name in page for name in ("site_correction", "concept_lda", "logistic_shots", "no change"))
    assert "src=" not in page
    assert not re.search(r'href="[^#]|url\([^#]', page)
    assert str(ran) not in page
    table = json.loads((ran / "out" / "table.json").read_text())
    assert {row["n"] for row in table["rows"]} == {0, 1, 2, 4}  # away has ten of each class: five adapt
    assert {row["stream"] for row in table["rows"]} == {"natural", "balanced"}
    plain = {
        (row["preprocessing"], row["stream"]): row["value"] for row in table["rows"] if row["adapter"] == "no change"
    }
    for row in table["rows"]:
        for name, other in (("no_change", row["preprocessing"]), ("none", "none")):
            assert row["gain"][name]["value"] == pytest.approx(row["value"] - plain[other, row["stream"]], abs=1e-9)
        for one in (row, *row["gain"].values()):
            assert one["ci_low"] - 1e-12 <= one["value"] <= one["ci_high"] + 1e-12


@pytest.mark.slow
def test_a_resumed_bench_gives_the_same_bytes(cells: Path, ran: Path) -> None:
    before = {name: (ran / "out" / name).read_bytes() for name in ("table.json", "lab.json")}
    cell = next(path for path in (ran / "out" / "cells").iterdir() if path.name.endswith("moments"))
    kept = (cell / "right.safetensors").read_bytes()
    shutil.rmtree(cell)
    lines: list[str] = []
    told = run_bench(
        recipe_file(cells), ran / "out", cache=ran / "cache", workers=2, resume=True, progress=lines.append
    )
    assert told.done == 2
    assert "1 of 2 cells were there" in lines
    assert (cell / "right.safetensors").read_bytes() == kept
    assert {name: (ran / "out" / name).read_bytes() for name in before} == before


@pytest.mark.slow
def test_a_folder_of_another_bench_is_not_written_into(cells: Path, ran: Path) -> None:
    with pytest.raises(OslerError) as refused:
        run_bench(recipe_file(cells, {"draws: 6": "draws: 7"}), ran / "out", cache=ran / "cache", resume=True)
    assert refused.value.code is Code.WORKSPACE_OCCUPIED


def halves_at(cells: Path, root: Path, stream: Stream) -> SiteFeatures:
    """Features of both halves of `away` under `moments`."""
    bench, encoders = open_bench(recipe_file(cells))
    store = Store(root)
    list(encode_targets(bench.lab, bench.halves, encoders, store, root / "cache"))
    return read_site(store.site("phantom_clip", "home", 3, "away", "moments", stream))


def test_statistics_are_of_the_pool_alone(cells: Path, tmp_path: Path) -> None:
    """Other images in the test half change nothing of what is made of the pool."""
    bench, _ = open_bench(recipe_file(cells))
    away, halves = bench.lab.sites["away"], bench.halves["away", 3]
    tested, pooled = (
        {Path(away.images.table["path"].iloc[row]).name for row in rows} for rows in (halves.test, halves.pool)
    )
    assert not tested & pooled
    again = shutil.copytree(cells, tmp_path / "cells")
    for name in tested:
        image = np.asarray(Image.open(again / "away" / "images" / name))
        Image.fromarray(255 - image).save(again / "away" / "images" / name)
    streams: tuple[Stream, ...] = ("natural", "balanced")
    for stream in streams:
        one, two = halves_at(cells, tmp_path / "one", stream), halves_at(again, tmp_path / "two", stream)
        assert (one.pool.pooled == two.pool.pooled).all()
        assert not np.allclose(one.test.pooled, two.test.pooled)


def test_no_image_is_encoded_under_a_preprocessing_that_no_model_is_run_under(cells: Path, tmp_path: Path) -> None:
    bench, encoders = open_bench(
        recipe_file(cells, {"options: {grounding": "preprocessing: [moments], options: {grounding"})
    )
    list(encode_targets(bench.lab, bench.halves, encoders, Store(tmp_path / "one"), tmp_path / "cache"))
    plain, _ = open_bench(recipe_file(cells, {"options: {grounding": "preprocessing: [none], options: {grounding"}))
    list(encode_targets(plain.lab, plain.halves, encoders, Store(tmp_path / "two"), tmp_path / "cache"))
    one, two = (
        {path.name.split("--")[3] for path in tmp_path.glob(f"{root}/**/*--away--*")} for root in ("one", "two")
    )
    assert one == {"none", "moments"}  # what was there before any preprocessing is compared with everywhere
    assert two == {"none"}


def test_bad_input_is_refused_with_the_line(cells: Path) -> None:
    wrong = {
        "  moments: [feature_moments]": ("  moments: [prior_shift]", Code.USAGE, "(preprocessing.moments)"),
        "least_test: 3": ("least_test: 30", Code.NOTHING_ELIGIBLE, "too few for 30 to test"),
        "  site_correction:\n": ("  site_corection:\n", Code.USAGE, "There is no adapter"),
    }
    for old, (new, code, words) in wrong.items():
        with pytest.raises(OslerError) as refused:
            open_bench(recipe_file(cells, {old: new}))
        assert refused.value.code is code
        assert words in str(refused.value)


def test_the_command_checks_a_recipe_without_fitting(
    cells: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "tiny.yaml"
    path.write_text(RECIPE.replace("${CELLS}", str(cells)))
    assert main(["adapt", "bench", str(path), "--check", "--json"]) == 0
    payload = json.loads(capsys.readouterr().out)
    assert payload["cells"] == 2
    assert payload["halves"]["away--3"]["test"] == {"neutrophil": 5, "lymphocyte": 5, "eosinophil": 5}
    assert list(payload["halves"]["away--3"]["shots"]) == ["1", "2", "4"]
    assert os.listdir(tmp_path) == ["tiny.yaml"]


@pytest.mark.slow
def test_the_command_runs_and_logs_a_run_for_each_cell(
    cells: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "tiny.yaml"
    path.write_text(RECIPE.replace("${CELLS}", str(cells)))
    out, workspace = tmp_path / "out", tmp_path / "workspace"
    arguments = ["adapt", "bench", str(path), "--out", str(out), "--workspace", str(workspace), "--json"]
    assert main(arguments) == 0
    payload = json.loads(capsys.readouterr().out)
    assert payload["done"] == len(payload["mlflow"]["cells"]) == 2
    assert Path(payload["page"]).is_file()
    text = Path(payload["markdown"]).read_text()
    assert text.count("| moments | logistic_shots | 4 |") == 3  # pooled in both streams, and at the target
    assert str(tmp_path) not in text
    assert main(arguments) == 1  # the folder is taken
    capsys.readouterr()
