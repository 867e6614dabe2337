"""Generated cells: a coloured disc with a nucleus, of three kinds, as two laboratories with another stain would see them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

KINDS = ("neutrophil", "lymphocyte", "eosinophil")
RECIPE = """\
name: tiny
seed: 3
task: blood-cell
classes: [neutrophil, lymphocyte, eosinophil]
data:
  home:
    dataset: any_csv
    root: ${CELLS}/home
    options: {concepts_file: concepts.csv}
  away:
    dataset: any_csv
    root: ${CELLS}/away
source: home
splits: {train: 0.5, select: 0.15, calibrate: 0.15, test: 0.2}
encoders: [phantom_clip]
preprocessing:
  none: []
  moments: [feature_moments]
methods:
  linear_probe:
  bottleneck: {options: {grounding: {held_out_least: 1}}}
examined: [bottleneck]
replicates: 50
"""


def draw_cell(kind: str, rng: np.random.Generator, *, stain: float = 0.0, side: int = 48) -> np.ndarray:
    """Return one cell (side, side, 3) as bytes: lobes of the nucleus and colour of the granules tell the kind."""
    grid = np.moveaxis(np.indices((side, side)), 0, -1) / side
    image = np.full((side, side, 3), (0.95, 0.92 - stain, 0.85))
    centre = 0.5 + rng.normal(0, 0.02, 2)
    body = np.linalg.norm(grid - centre, axis=-1) < rng.uniform(0.36, 0.42)
    image[body] = {"neutrophil": (0.85, 0.7, 0.75), "lymphocyte": (0.6, 0.65, 0.9), "eosinophil": (0.95, 0.55, 0.45)}[
        kind
    ]
    lobes = {"neutrophil": 3, "lymphocyte": 1, "eosinophil": 2}[kind]
    for number in range(lobes):
        angle = 2 * np.pi * number / lobes + rng.uniform(0, 1)
        off = 0.0 if lobes == 1 else 0.17
        place = centre + off * np.array([np.cos(angle), np.sin(angle)])
        image[np.linalg.norm(grid - place, axis=-1) < (0.28 if lobes == 1 else 0.12)] = (
            0.35 + stain,
            0.2,
            0.55 - stain,
        )
    return (np.clip(image + rng.normal(0, 0.03, image.shape), 0, 1) * 255).astype(np.uint8)


def write_site(folder: Path, counts: dict[str, int], *, seed: int, stain: float = 0.0, side: int = 48) -> pd.DataFrame:
    """Write `images/`, `metadata.csv` and `concepts.csv` of one laboratory; returns the table."""
    rng = np.random.default_rng(seed)
    (folder / "images").mkdir(parents=True)
    rows = []
    for kind, count in counts.items():
        for number in range(count):
            name = f"images/{kind}{number}.png"
            Image.fromarray(draw_cell(kind, rng, stain=stain, side=side)).save(folder / name)
            rows.append({"image": name, "patient_id": f"{kind[0]}{number // 2}", "label": kind})
    table = pd.DataFrame(rows)
    table.to_csv(folder / "metadata.csv", index=False)
    truth = {
        "multilobed_nucleus": table["label"] == "neutrophil",
        "round_nucleus": table["label"] == "lymphocyte",
        "bilobed_nucleus": table["label"] == "eosinophil",
    }
    concepts = pd.DataFrame({"image": table["image"], **{name: values.astype(int) for name, values in truth.items()}})
    concepts.to_csv(folder / "concepts.csv", index=False)
    return table


@pytest.fixture(scope="session")
def cells(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the laboratories `home` and `away`."""
    root = tmp_path_factory.mktemp("cells")
    write_site(root / "home", dict.fromkeys(KINDS, 24), seed=1)
    write_site(root / "away", dict.fromkeys(KINDS, 8), seed=2, stain=0.2, side=64)
    return root


@pytest.fixture
def recipe_file(cells: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Writes a recipe on those laboratories, with some texts replaced."""
    monkeypatch.setenv("CELLS", str(cells))

    def write(**changes: str) -> Path:
        text = RECIPE
        for old, new in changes.items():
            lines = [new if line.startswith(f"{old}:") else line for line in text.splitlines()]
            text = "\n".join(lines) + "\n"
        path = tmp_path / "recipe.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    return write
