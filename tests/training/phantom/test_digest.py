"""The digests cover all that shapes a phantom: every parameter, and every module that the drawing of a study loads."""

from __future__ import annotations

import ast
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import pytest

from osler_training.phantom import digest, parameters
from osler_training.phantom.digest import NOT_DRAWING, drawing_sources, phantom_digest

PACKAGE = "osler_training.phantom"


def loaded_by(module: str, seen: set[str]) -> set[str]:
    """Names of the package's modules that a module imports, and what those import."""
    seen.add(f"{module}.py")
    source = (files(PACKAGE) / f"{module}.py").read_text(encoding="utf-8")
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(PACKAGE):
            below = (node.module or "").removeprefix(PACKAGE).lstrip(".")
            for name in [below] if below else [alias.name for alias in node.names]:
                if f"{name}.py" not in seen:
                    loaded_by(name, seen)
    return seen


def test_every_module_that_draws_a_study_is_covered() -> None:
    used = loaded_by("study", set()) | {"phrases.yaml", "lateral.py"}
    assert {"anatomy.py", "nuisance_objects.py", "report.py"} <= used
    assert used <= drawing_sources().keys(), f"not covered: {sorted(used - drawing_sources().keys())}"


def test_what_is_left_out_exists_and_does_not_draw() -> None:
    present = {one.name for one in files(PACKAGE).iterdir()}
    assert present >= NOT_DRAWING, f"no such files: {sorted(NOT_DRAWING - present)}"


def test_one_changed_byte_is_another_digest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, source in {**drawing_sources(), "dicom.py": b""}.items():
        (tmp_path / name).write_bytes(source)
    before = phantom_digest()
    monkeypatch.setattr(digest, "files", lambda _: tmp_path)
    same = phantom_digest.__wrapped__()
    (tmp_path / "dicom.py").write_bytes(b"other")
    assert before == same == phantom_digest.__wrapped__()
    (tmp_path / "bones.py").write_bytes((tmp_path / "bones.py").read_bytes() + b" ")
    assert phantom_digest.__wrapped__() != before


def test_one_changed_figure_is_another_digest_of_the_parameters(monkeypatch: pytest.MonkeyPatch) -> None:
    before = parameters.parameters_digest()
    assert before == parameters.parameters_digest()
    monkeypatch.setattr(parameters, "PARAMETERS", replace(parameters.PARAMETERS, hedged=0.36))
    assert parameters.parameters_digest() != before
