"""A run gives the same table by the same seed, goes on after it was killed, and its page needs nothing from elsewhere."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from osler.workspace import Workspace
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError
from osler_training.evaluate.metrics import balanced_accuracy
from osler_training.evaluate.records import Records
from osler_training.shift.lines import read_recipe
from osler_training.shift.page import write_page
from osler_training.shift.recipe import ShiftRecipe
from osler_training.shift.run import run_recipe
from osler_training.shift.table import baselines, cells_of
from osler_training.shift.track import track

from .conftest import RECIPE


@pytest.fixture(scope="module")
def ran(cells: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished run."""
    root = tmp_path_factory.mktemp("ran")
    recipe = root / "recipe.yaml"
    recipe.write_text(RECIPE.replace("${CELLS}", str(cells)), encoding="utf-8")
    lines: list[str] = []
    told = run_recipe(read_recipe(recipe), root / "out", cache=root / "cache", workers=1, progress=lines.append)
    (root / "progress.txt").write_text("\n".join(lines))
    assert (told.done, dict(told.refused), dict(told.failed)) == (4, {}, {})
    return root


def test_the_table_says_what_the_saved_predictions_say(ran: Path) -> None:
    table = json.loads((ran / "out" / "table.json").read_text())
    assert len(table["goal"]) == 8
    for row in table["goal"]:
        name = "--".join(str(row[key]) for key in ("source", "seed", "encoder", "preprocessing", "method"))
        records = Records.load(ran / "out" / "cells" / name / row["test"])
        again = balanced_accuracy(records.y, records.prob, np.ones((1, len(records))))[0]
        assert row["value"] == pytest.approx(again)
        assert records.head["split_digest"] == table["splits"]["home--3"]
        assert row["ci_low"] <= row["value"] <= row["ci_high"]
        if row["method"] == "linear_probe":
            assert row["minus_same"]["value"] == 0
    assert "NaN" not in (ran / "out" / "table.json").read_text()


def test_progress_tells_how_much_is_left(ran: Path) -> None:
    lines = (ran / "progress.txt").read_text().splitlines()
    counted = [line for line in lines if re.match(r"\d of 4 cells, about [\d.]+ min left", line)]
    assert [line[:6] for line in counted] == ["2 of 4", "4 of 4"]


@pytest.mark.slow
def test_a_killed_run_goes_on_to_the_very_same_table(ran: Path, tmp_path: Path) -> None:
    """Kill the process group while cells are running, whatever it had done by then, and resume with two workers."""
    out = tmp_path / "out"
    command = [sys.executable, "-m", "osler.cli.main", "shift", "run", str(ran / "recipe.yaml"), "--out", str(out)]
    command += ["--cache", str(tmp_path / "cache"), "--no-tracking", "--workspace", str(tmp_path / "ws")]
    process = subprocess.Popen([*command, "--workers", "1"], stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    cells = out / "cells"
    while process.poll() is None and not list(cells.glob("[!.]*/cell.json")):
        time.sleep(0.02)
    assert process.poll() is None, "it was done before it could be killed"
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    time.sleep(0.5)  # children end with their parent
    there = {path.parent.name: path.read_bytes() for path in cells.glob("[!.]*/cell.json")}
    assert 0 < len(there) < 4
    assert not (out / "table.json").exists()
    done = subprocess.run([*command, "--workers", "2", "--resume"], capture_output=True, text=True, check=True)
    assert f"{len(there)} of 4 cells were there" in done.stderr
    assert (out / "table.json").read_bytes() == (ran / "out" / "table.json").read_bytes()


def test_another_recipe_does_not_go_into_the_same_folder(ran: Path, tmp_path: Path) -> None:
    shutil.copytree(ran / "out", tmp_path / "out")
    other = tmp_path / "other.yaml"
    other.write_text((ran / "recipe.yaml").read_text().replace("seed: 3", "seed: 4"))
    for recipe, resume in ((ran / "recipe.yaml", False), (other, True)):
        with pytest.raises(OslerError) as caught:
            run_recipe(read_recipe(recipe), tmp_path / "out", cache=ran / "cache", resume=resume)
        assert caught.value.code is Code.WORKSPACE_OCCUPIED


def test_the_page_is_whole_and_says_what_it_must(ran: Path, tmp_path: Path) -> None:
    page = write_page(ran / "out", tmp_path / "page.html").read_text()
    links = re.findall(r"""(?:src|href)=["']([^"'#][^"']*)""", page)
    assert not links, "the page asks for something from elsewhere"
    assert "<script" not in page
    assert "@import" not in page
    assert "url(http" not in page
    table = json.loads((ran / "out" / "table.json").read_text())
    for needed in ("not a medical device", "unmeasured", "linear_probe", "moments", "multilobed nucleus", "away"):
        assert needed in page
    assert table["splits"]["home--3"][:12] in page
    assert table["bank"]["digest"][:12] in page
    assert page.count("<svg") >= 4


def test_what_corrections_are_worth_is_measured_where_concepts_are_annotated(ran: Path, tmp_path: Path) -> None:
    """The first test is annotated, the other laboratory is not: the same keys, and the reason there."""
    found = [json.loads(path.read_text()) for path in (ran / "out" / "cells").glob("*--bottleneck/cell.json")]
    assert len(found) == 2
    for cell in found:
        home, away = cell["examined"]["tests"].values()
        curve = home["interventions"]["random"]
        assert curve["curve"][0]["value"] == pytest.approx(cell["scores"]["home"]["balanced_accuracy"]["value"])
        assert curve["gain"]["value"] == pytest.approx(curve["curve"][-1]["value"] - curve["curve"][0]["value"])
        assert "unmeasured" in away["interventions"]
        assert away["ncc"]["value"] > 0
    black_boxes = [json.loads(path.read_text()) for path in (ran / "out" / "cells").glob("*--linear_probe/cell.json")]
    assert black_boxes
    assert not any("examined" in cell for cell in black_boxes)
    assert "What corrections are worth" in write_page(ran / "out", tmp_path / "page.html").read_text()


def test_what_a_recipe_says_cannot_become_markup(ran: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    shutil.copytree(ran / "out", out)
    lab = json.loads((out / "lab.json").read_text())
    lab["recipe"]["notes"] = ["<script>alert(1)</script>"]
    (out / "lab.json").write_text(json.dumps(lab))
    assert "<script" not in write_page(out, tmp_path / "page.html").read_text()


@pytest.mark.slow
def test_runs_are_nested_and_logged_once(ran: Path, tmp_path: Path) -> None:
    workspace = Workspace.open(tmp_path / "ws", create=True)
    first = track(workspace, ran / "out")
    from mlflow.tracking import MlflowClient

    client = MlflowClient(tracking_uri=workspace.tracking_uri)
    assert len(first["cells"]) == 4
    for run in first["cells"].values():
        record = client.get_run(run)
        assert record.data.tags["mlflow.parentRunId"] == first["parent"]
        assert record.data.params["split_digest"]
        assert record.data.params["bank_version"] == "1"
    assert track(workspace, ran / "out") == first
    assert first["parent"] in write_page(ran / "out", tmp_path / "page.html").read_text()


def test_baselines_are_chosen_on_the_source_alone(ran: Path) -> None:
    recipe = ShiftRecipe.model_validate(json.loads((ran / "out" / "recipe.json").read_text())["recipe"])
    cells = cells_of(recipe)
    better = {"none": 0.7, "moments": 0.9}
    results = {
        cell: {"select": {"balanced_accuracy": better[cell.preprocessing], "cross_entropy": 1.0}, "scores": {"away": 1}}
        for cell in cells
    }
    plain = next(cell for cell in cells if cell.preprocessing == "none" and cell.method == "bottleneck")
    chosen = baselines(recipe, results, plain)
    assert (chosen["same"].method, chosen["same"].preprocessing) == ("linear_probe", "none")
    assert (chosen["any"].method, chosen["any"].preprocessing) == ("linear_probe", "moments")
