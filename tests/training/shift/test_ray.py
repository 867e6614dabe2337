"""A recipe run by Ray's workers comes to the table of this machine's, to the byte."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from osler.engine import EngineChoice
from osler_training.shift.lines import read_recipe
from osler_training.shift.run import run_recipe


@pytest.mark.system
def test_the_table_is_the_same(recipe_file: Callable[..., Path], tmp_path: Path) -> None:
    """Ray is started for the run, since no address is named, and ended with it."""
    file = read_recipe(recipe_file())
    for name, engine in (("local", EngineChoice(workers=2)), ("ray", EngineChoice("ray", workers=2))):
        ran = run_recipe(file, tmp_path / name, cache=tmp_path / f"{name}.features", engine=engine)
        assert (ran.done, dict(ran.failed)) == (4, {})
    for kind in ("table.json", "cells/*/cell.json", "features/*/*/*.safetensors"):
        local = sorted((tmp_path / "local").glob(kind))
        assert local
        for path in local:
            other = tmp_path / "ray" / path.relative_to(tmp_path / "local")
            assert other.read_bytes() == path.read_bytes(), other
