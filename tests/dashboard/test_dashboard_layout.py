"""The dashboard asks the floors below; it knows neither torch nor DICOM files nor SQL."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import osler_dashboard

ROOT = Path(osler_dashboard.__file__).parent
MODULES = sorted(ROOT.rglob("*.py"))
BANNED = {
    "torch",
    "torchvision",
    "open_clip",
    "pydicom",
    "sqlalchemy",
    "sqlite3",
    "safetensors",
    "mlflow",
    "osler_training",
}
# Experiments are what researchers ran: their page alone asks the floor that runs them.
LAB = {"lab_services.py", "views/results.py"}


def _imported(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module.partition(".")[0])
    return names


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_module_reaches_past_the_services(path: Path) -> None:
    allowed = {"osler_training"} if str(path.relative_to(ROOT)) in LAB else set()
    assert not _imported(path) & (BANNED - allowed)


def test_command_is_light() -> None:
    """`osler --help` imports the command's module: it must not pull Streamlit in."""
    tree = ast.parse((ROOT / "command.py").read_text(encoding="utf-8"))
    top = {node.module or "" for node in tree.body if isinstance(node, ast.ImportFrom)}
    assert not {name for name in top if name.startswith(("streamlit", "pandas", "altair", "osler_dashboard.services"))}


def test_every_asset_is_used() -> None:
    code = "".join(path.read_text(encoding="utf-8") for path in MODULES)
    assert {path.name for path in (ROOT / "assets").iterdir() if path.name not in code} == set()
