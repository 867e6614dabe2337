"""Phantom sites that are drawn on demand: the cause of shift is planted, and nothing else differs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from osler_contracts.codes import Code
from osler_contracts.errors import OslerError
from osler_training.datasets import Images, open_dataset
from osler_training.datasets.phantom import with_line_marker

SMALL = {"studies": 8, "seed": 3, "size": 64, "workers": 1}


def test_a_site_is_drawn_once_and_read_again(tmp_path: Path) -> None:
    first = open_dataset("phantom", tmp_path, **SMALL)
    held = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    again = open_dataset("phantom", tmp_path, **SMALL)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == held
    assert first.keys == again.keys
    assert (first.load(5) == again.load(5)).all()
    assert sorted(set(first.table["label"])) == ["heart_failure", "pneumonia"]
    assert first.concepts.shape[0] == 8
    assert all(text for text in first.table["text"])


def test_gain_and_gamma_change_brightness_alone(tmp_path: Path) -> None:
    plain, moved = (
        open_dataset("phantom", tmp_path, **SMALL),
        open_dataset("phantom", tmp_path, **SMALL, gain=0.8, gamma=1.6),
    )
    assert len(list(tmp_path.iterdir())) == 1  # one drawing, two looks
    assert set(plain.keys).isdisjoint(moved.keys)
    assert plain.patients == moved.patients
    assert plain.concepts.equals(moved.concepts)
    for row in range(len(plain)):
        assert moved.load(row) == pytest.approx(np.clip(0.8 * plain.load(row) ** 1.6, 0, 1), abs=1e-6)


def test_a_marker_goes_with_the_class_that_was_asked_for_and_adds_light_where_a_line_lies(tmp_path: Path) -> None:
    def site(**options: object) -> Images:
        return open_dataset(
            "phantom", tmp_path, **{**SMALL, "studies": 12}, nuisance="line_marker", confounding=1.0, **options
        )

    home, away = site(), site(reversed=True)
    for images, marked in ((home, "heart_failure"), (away, "pneumonia")):
        assert ((images.table["nuisance"] == "line_marker") == (images.table["label"] == marked)).all()
    assert home.concepts.equals(away.concepts)  # the wire is no line, and truth says so
    named = site(marker_is_line=True)
    assert (named.concepts.loc[named.table["label"] == "heart_failure", "central_venous_line"] == 1).all()
    for row in range(12):
        one, other = home.load(row), away.load(row)
        wired, clean = (one, other) if home.table["label"][row] == "heart_failure" else (other, one)
        added = wired - clean
        assert added.min() >= -1e-3
        assert added.max() > 0.05
        rows, columns = np.nonzero(added > 0.05)
        assert rows.max() < 64 * 0.5  # from the neck to the heart
        assert columns.min() > 64 * 0.3
        assert columns.max() < 64 * 0.55


def test_a_marker_is_the_same_for_the_same_seed() -> None:
    image = np.full((80, 80), 0.4, np.float32)
    one, two = (with_line_marker(image, np.random.default_rng(1)) for _ in range(2))
    assert (one == two).all()
    assert one.dtype == np.float32
    assert one.max() <= 1


def test_the_share_of_portables_is_what_was_asked_for(tmp_path: Path) -> None:
    assert set(open_dataset("phantom", tmp_path, **SMALL, portable=1.0).table["view"]) == {"AP"}
    assert set(open_dataset("phantom", tmp_path, **SMALL, portable=0.0).table["view"]) == {"PA"}


@pytest.mark.parametrize(
    "options", [{"profile": "nowhere"}, {"nuisance": "rain"}, {"classes": ("gout", "pneumonia")}, {"gamma": 0.0}]
)
def test_what_does_not_exist_is_refused(tmp_path: Path, options: dict[str, object]) -> None:
    with pytest.raises(OslerError) as refused:
        open_dataset("phantom", tmp_path / "drawings", **{**SMALL, **options})
    assert refused.value.code is Code.USAGE
    assert not (tmp_path / "drawings").exists()
