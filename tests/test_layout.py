"""The folders at the top are roots, not packages; imports go down; files stay short."""

from __future__ import annotations

import ast
import platform
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = {
    "platform": "osler",
    "knowledge": "osler_knowledge",
    "data_contracts": "osler_contracts",
    "training": "osler_training",
    "dashboard": "osler_dashboard",
}
# Scripts beside a package: run by path, never imported, not in the wheel.
SCRIPTS = {"training": ["benchmarks"]}
LONGEST_FILE = 600
HEAVY = {
    "torch",
    "torchvision",
    "mlflow",
    "great_expectations",
    "spacy",
    "open_clip",
    "sqlalchemy",
    "streamlit",
    "pandas",
}
HEAVY |= {"pydicom", "numpy", "scipy", "sklearn"}


def _sources() -> list[Path]:
    return sorted(path for folder, package in PACKAGES.items() for path in (ROOT / folder / package).rglob("*.py"))


def _scripts() -> list[Path]:
    return sorted(
        path for root, names in SCRIPTS.items() for name in names for path in (ROOT / root / name).glob("*.py")
    )


def _top_level_imports(path: Path) -> set[str]:
    """Return the first names of what a module imports when it is imported itself; `if TYPE_CHECKING` does not run."""
    names: set[str] = set()
    pending: list[ast.AST] = [ast.parse(path.read_text(encoding="utf-8"))]
    while pending:
        node = pending.pop()
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            continue
        if isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
            pending += node.orelse
            continue
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            names.add(node.module.split(".")[0])
        pending += ast.iter_child_nodes(node)
    return names


@pytest.mark.parametrize("folder", PACKAGES)
def test_a_root_holds_no_module_of_its_own(folder: str) -> None:
    found = sorted(path.name for path in (ROOT / folder).glob("*.py"))
    assert not found, f"{folder}/ holds {found}: an __init__.py in platform/ hides the standard library's platform"


@pytest.mark.parametrize(("folder", "package"), PACKAGES.items())
def test_a_root_holds_one_typed_package(folder: str, package: str) -> None:
    inside = {path.name for path in (ROOT / folder).iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert inside == {package, *SCRIPTS.get(folder, ())}
    assert (ROOT / folder / package / "py.typed").is_file()


def test_the_standard_library_platform_is_the_one_imported() -> None:
    assert platform.system()


def test_imports_go_down_only() -> None:
    # A test of its own process: import-linter reads the sources and imports nothing.
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 kept, 0 broken" in done.stdout


def test_no_file_is_too_long() -> None:
    lengths = {
        path.relative_to(ROOT): len(path.read_text(encoding="utf-8").splitlines())
        for path in [*_sources(), *_scripts()]
    }
    assert {str(path): lines for path, lines in lengths.items() if lines > LONGEST_FILE} == {}


def test_every_module_says_what_it_is_and_delays_its_annotations() -> None:
    silent = []
    for path in [*_sources(), *_scripts()]:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        future = any(isinstance(node, ast.ImportFrom) and node.module == "__future__" for node in tree.body)
        if ast.get_docstring(tree) is None or not (future or path.name == "__init__.py"):
            silent.append(str(path.relative_to(ROOT)))
    assert silent == []


def test_modules_of_the_command_line_import_nothing_heavy() -> None:
    found = {}
    for path in _sources():
        if "cli" in path.parts and (heavy := _top_level_imports(path) & HEAVY):
            found[str(path.relative_to(ROOT))] = sorted(heavy)
    assert found == {}


def test_great_expectations_is_imported_inside_functions_of_the_contracts_only() -> None:
    for path in _sources():
        assert "great_expectations" not in _top_level_imports(path), path
        if "osler_contracts" not in path.parts:
            assert not re.search(
                r"^\s*(import|from) great_expectations", path.read_text(encoding="utf-8"), re.MULTILINE
            ), path


def test_the_reader_of_imports_sees_what_it_should(tmp_path: Path) -> None:
    source = tmp_path / "module.py"
    text = """
import torch.nn
from typing import TYPE_CHECKING
if TYPE_CHECKING:
    import pandas
else:
    import scipy
try:
    import mlflow
except ImportError:
    pass
class Thing:
    import numpy
def work():
    import streamlit
"""
    source.write_text(text, encoding="utf-8")
    assert _top_level_imports(source) == {"torch", "typing", "scipy", "mlflow", "numpy"}
