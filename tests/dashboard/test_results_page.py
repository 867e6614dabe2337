"""The Shift lab draws the tracker's experiments and the demonstration's summary, with intervals, and says where there is none."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tests.training.adaptation.test_bench_run import recipe_file
from tests.training.adaptation.test_bench_run import write_site as write_laboratory

from osler.access import Role
from osler.workspace import Workspace
from osler_dashboard import lab_services
from osler_training.adaptation.run import run_bench
from osler_training.adaptation.track import track as track_bench
from osler_training.experiments.tracked import compare, experiments, unfold
from osler_training.shift.lines import read_recipe
from osler_training.shift.run import run_recipe
from osler_training.shift.track import track

KINDS = {"neutrophil": (0.8, 0.3, 0.6), "lymphocyte": (0.3, 0.3, 0.8)}
RECIPE = """\
name: two_laboratories
seed: {seed}
notes: ["<script>alert(1)</script>"]
task: blood-cell
classes: [neutrophil, lymphocyte]
data:
  home: {{dataset: any_csv, root: "{root}/home", options: {{concepts_file: concepts.csv}}}}
  away: {{dataset: any_csv, root: "{root}/away", options: {{concepts_file: concepts.csv}}}}
source: [home, away]
splits: {{train: 0.5, select: 0.15, calibrate: 0.15, test: 0.2}}
encoders: [phantom_clip]
preprocessing: {{none: []}}
methods:
  linear_probe:
  bottleneck: {{options: {{grounding: {{held_out_least: 1}}}}}}
replicates: 50
"""


def _write_site(folder: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    (folder / "images").mkdir(parents=True)
    rows, concepts = ["image,patient_id,label"], ["image,multilobed_nucleus,round_nucleus"]
    for number in range(56):
        kind = list(KINDS)[number % 2]
        image = np.clip(np.full((40, 40, 3), KINDS[kind]) + rng.normal(0, 0.1, (40, 40, 3)), 0, 1)
        Image.fromarray((255 * image).astype(np.uint8)).save(folder / "images" / f"{number}.png")
        rows.append(f"images/{number}.png,p{number},{kind}")
        concepts.append(f"images/{number}.png,{number % 2 ^ 1},{number % 2}")
    (folder / "metadata.csv").write_text("\n".join(rows) + "\n")
    (folder / "concepts.csv").write_text("\n".join(concepts) + "\n")


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Return a workspace in which a small recipe was run twice, with two seeds, and tracked."""
    root = tmp_path_factory.mktemp("lab")
    for seed, site in enumerate(("home", "away")):
        _write_site(root / site, seed)
    workspace = Workspace.open(root / "workspace", create=True)
    for seed in (1, 1, 2):
        out = root / f"out{seed}{len(list(root.glob('out*')))}"
        (root / "recipe.yaml").write_text(RECIPE.format(seed=seed, root=root))
        told = run_recipe(
            read_recipe(root / "recipe.yaml"), out, cache=root / "cache", workers=1, progress=lambda line: None
        )
        assert (told.done, dict(told.failed)) == (4, {})
        track(workspace, out)
    return workspace


def _moved(ran: Workspace, demo: Any) -> Workspace:
    """Return the dashboard's workspace with experiments in it that were logged at another address."""
    shutil.copyfile(ran.root / "mlflow.db", demo.workspace.root / "mlflow.db")
    shutil.copytree(ran.artifacts, demo.workspace.artifacts, dirs_exist_ok=True)
    opened: Workspace = demo.workspace
    return opened


@pytest.fixture
def lab(ran: Workspace, demo: Any) -> Workspace:
    """Return the dashboard's workspace with the runs of the recipe in it."""
    return _moved(ran, demo)


@pytest.fixture
def benched(demo: Any, tmp_path: Path) -> Path:
    """Run a small adaptation bench, track it in the dashboard's workspace, and return the folder that it left."""
    cells = tmp_path / "cells"
    write_laboratory(cells / "home", 24, seed=1)
    write_laboratory(cells / "away", 10, seed=2, stain=0.3)
    smaller = {"draws: 6": "draws: 2", "shots: [1, 2, 4, 8]": "shots: [1, 2]", "replicates: 50": "replicates: 20"}
    told = run_bench(recipe_file(cells, smaller), tmp_path / "out", cache=tmp_path / "cache", workers=1)
    assert (told.done, dict(told.failed)) == (2, {})
    away = Workspace.open(tmp_path / "away", create=True)
    track_bench(away, tmp_path / "out")
    _moved(away, demo)
    return tmp_path / "out"


def lines_of(screen: Any) -> list[list[str]]:
    """Return the cells of every line of the tables that are drawn."""
    markup = "".join(one.proto.body for one in screen.app.get("html"))
    return [
        [re.sub(r"<[^>]+>", "", cell) for cell in re.findall(r"<td>(.*?)</td>", line, re.DOTALL)]
        for line in re.findall(r"<tr>(.*?)</tr>", markup, re.DOTALL)
    ]


def points(one: dict[str, float], sign: str = "") -> str:
    """Say a figure of a table with its interval."""
    return f"{100 * one['value']:{sign}.1f} {100 * one['ci_low']:.1f} to {100 * one['ci_high']:.1f}"


def test_figures_and_intervals_are_those_of_the_summary(open_page: Callable[..., Any]) -> None:
    screen = open_page("results", roles=(Role.RESEARCHER,))
    assert re.search(r"Linear probe\s+95\.0%\s+91\.0 to 99\.0\s+31\.0%\s+26\.0 to 36\.0", screen.words)
    assert re.search(r"Bottleneck with prior\s+90\.0%\s+86\.0 to 94\.0\s+80\.0%", screen.words)
    assert "Phantom data" in screen.words
    (chart,) = screen.app.get("vega_lite_chart")
    assert json.loads(chart.proto.spec)["layer"]


def test_an_empty_or_broken_summary_is_told(demo: Any, open_page: Callable[..., Any]) -> None:
    for text in ("{}", "{not json"):
        demo.workspace.summary.write_text(text)
        assert "no experiments here yet" in open_page("results").words
    assert not (demo.workspace.root / "mlflow.db").exists(), "looking makes no tracker"


def test_a_clinician_has_no_shift_lab(open_page: Callable[..., Any]) -> None:
    assert "not among your pages" in open_page("results", roles=(Role.CLINICIAN,)).words


@pytest.mark.slow
def test_an_experiment_is_drawn_from_the_tracker(lab: Workspace, open_page: Callable[..., Any]) -> None:
    table = json.loads((unfold(lab, experiments(lab)[0]) / "table.json").read_text())
    for path in unfold(lab, experiments(lab)[0]).glob("cells/*/cell.json"):
        record = json.loads(path.read_text())
        assert next(iter(record["scores"])) == record["cell"]["source"]
        assert next(iter(record["concepts"]), record["cell"]["source"]) == record["cell"]["source"]
    screen = open_page("results")
    offered = screen.app.selectbox(key="experiment").options
    assert "two_laboratories" in offered[0]
    assert len(set(offered)) == len(offered) == 4, "runs of one minute are told apart"
    assert screen.app.get("image")
    for row in table["goal"]:
        assert f"{100 * row['value']:.1f} {100 * row['ci_low']:.1f} to {100 * row['ci_high']:.1f}" in re.sub(
            r"\s+", " ", screen.words
        )
    assert not [one for one in screen.app.get("html") if "<script" in one.proto.body]
    views = next(one for one in screen.app.button_group if one.key and one.key.startswith("view-"))
    told = {
        "Site by site": r"learned at\s+away\s+home|learned at\s+home\s+away",
        "Gaps": r"ID\s+OOD\s+gap\s+Avg",
        "Concepts": r"standard deviations within the classes",
        "Model cards": r"use by readers\s+unmeasured",
        "Controls and more": r"Unmeasured: the recipe has no control",
        "Data": r"home\s+56\s+56",
    }
    for title, words in told.items():
        views.set_value(title).run()
        assert re.search(words, screen.words), title


@pytest.mark.slow
def test_a_bench_is_drawn_from_the_tracker(benched: Path, open_page: Callable[..., Any]) -> None:
    """Each figure of the bench's own table stands in the line of its adapter, in every view that shows it."""
    table = json.loads((benched / "table.json").read_text())
    lab = json.loads((benched / "lab.json").read_text())

    def line_of(row: dict[str, Any]) -> list[str]:
        harmed = (row["harmed"][name] for name in ("no_change", "label_free"))
        return [
            row["preprocessing"],
            row["adapter"],
            str(row["n"] or "–"),
            points(row),
            *(points(row["gain"][name], "+") for name in ("no_change", "none", "label_free")),
            f"{100 * row['worst_class']:.1f}",
            *(f"{100 * one['share']:.0f}% at most {100 * one['upper']:.0f}%" for one in harmed),
            f"{100 * row['unchanged']:.0f}%",
            f"{100 * row['source_lost']:.1f}",
        ]

    screen = open_page("results", roles=(Role.RESEARCHER,))
    assert screen.app.selectbox(key="experiment").options[0].startswith("tiny · adaptation bench · ")
    assert [one for one in lines_of(screen) if one] == [line_of(row) for row in table["pooled"]]
    streams = {row["stream"] for row in table["pooled"]}
    assert streams == {"natural", "balanced"}
    assert len(screen.app.get("image")) == 3 * len(streams), "one drawing a rival, in each stream"
    views = next(one for one in screen.app.button_group if one.key and one.key.startswith("view-"))
    assert list(views.options) == ["Gain by shots", "Site by site", "Baselines", "Data"], "nothing to compare with"
    views.set_value("Site by site").run()
    assert [one for one in lines_of(screen) if one] == [line_of(row) for row in table["rows"]]
    assert re.search(r"home → away: bottleneck on phantom_clip, seed 3, natural", screen.words)
    views.set_value("Baselines").run()
    for row in table["label_free"]:
        best = f"{row['preprocessing']}, {row['adapter']}"
        ground = [str(row[key]) for key in ("source", "target", "seed", "method", "encoder", "stream")]
        assert [*ground, best, points(row)] in lines_of(screen)
    views.set_value("Data").run()
    held = lab["halves"]["away--3"]
    sizes = [f"{held['test'][name]} / {held['pool'][name]}" for name in ("neutrophil", "lymphocyte", "eosinophil")]
    assert ["away--3", *sizes, "1, 2"] in lines_of(screen)


@pytest.mark.slow
def test_two_runs_are_compared_patient_by_patient_where_they_can_be(
    lab: Workspace, open_page: Callable[..., Any]
) -> None:
    last, *_, first = experiments(lab)
    again = next(one for one in experiments(lab) if one.id not in (last.id, first.id))
    same = compare(lab, first, again, replicates=50)
    assert len(same) == 8
    assert all(one.paired and one.difference["value"] == one.difference["ci_low"] == 0 for one in same)
    assert compare(lab, first, last, replicates=50) == [], "another seed has other cells"
    screen = open_page("results")
    screen.app.selectbox(key="experiment").set_value(first.id).run()
    next(one for one in screen.app.button_group).set_value("Compare").run()
    screen.app.selectbox(key="compared").set_value(again.id).run()
    assert len(re.findall(r"to 0\.0\s+same studies", screen.words)) == 8


@pytest.mark.slow
def test_lost_or_damaged_files_are_told(lab: Workspace, open_page: Callable[..., Any]) -> None:
    one = experiments(lab)[0]
    parent = lab.artifacts / one.kind / one.id / "artifacts"
    (parent / "lab.json").write_text("{}")
    assert "cannot be read" in open_page("results").words
    shutil.rmtree(lab.cache / "experiments")
    (parent / "lab.json").unlink()
    assert "not in this workspace" in open_page("results").words


def test_a_drawing_takes_the_colours_of_the_theme() -> None:
    svg = '<svg width="1"><path style="fill: #ffffff"/><path style="stroke: #000000"/><text>a</text></svg>'
    dark, light = lab_services.themed(svg, True), lab_services.themed(svg, False)
    assert dark != light
    assert "#ffffff" not in dark
    assert "#000000" not in dark
    assert dark.count('<svg fill="#EAE7E0"') == 1
