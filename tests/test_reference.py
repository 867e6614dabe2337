"""The API reference: what a floor offers is on a page of its own, and what says nothing of itself ends the build."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]
SCRIPT = ROOT / "docs" / "reference" / "build.py"
SMALL = ("osler_contracts", "osler_contracts.codes", "osler_contracts.errors", "osler", "osler.ingest", "osler.seals")


@pytest.fixture(scope="module")
def reference() -> ModuleType:
    """Return the script as a module."""
    spec = importlib.util.spec_from_file_location("reference", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the pages of a few modules, built as `make reference` builds all."""
    out = tmp_path_factory.mktemp("reference") / "pages"
    command = [sys.executable, str(SCRIPT), str(out), *SMALL]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300, env={**os.environ})
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return out


class _Addresses(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, str]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [(tag, value) for name, value in attrs if name in ("href", "src") and value]


def _addresses(page: Path) -> list[tuple[str, str]]:
    reader = _Addresses()
    reader.feed(page.read_text(encoding="utf-8"))
    return reader.found


def test_every_module_has_a_page_and_the_front_page_leads_to_it(pages: Path) -> None:
    expected = {name.replace(".", "/") + ".html" for name in SMALL}
    assert {path.relative_to(pages).as_posix() for path in pages.rglob("*.html")} == expected | {"index.html"}
    assert expected <= {address for _, address in _addresses(pages / "index.html")}


def test_a_page_tells_what_the_docstring_tells(pages: Path) -> None:
    page = (pages / "osler" / "seals.html").read_text(encoding="utf-8")
    for name in ("seal_of", "sealed", "written", "opened", "SealError"):
        assert f'id="{name}"' in page
    assert "Formats of before there were seals" in page
    assert 'id="IngestSummary"' in (pages / "osler" / "ingest.html").read_text(encoding="utf-8"), (
        "imported on first use"
    )


def test_links_stay_inside_and_lead_somewhere(pages: Path) -> None:
    for page in pages.rglob("*.html"):
        for tag, address in _addresses(page):
            assert not re.match(r"(https?:)?//", address), f"{page.name} asks {address}"
            place = address.partition("#")[0]
            if place and not address.startswith("data:"):
                assert (page.parent / place).exists(), (page.name, tag, address)


def test_all_floors_but_the_dashboard_are_told_and_neither_commands_nor_migrations(reference: ModuleType) -> None:
    names = list(reference.modules())
    assert {name.partition(".")[0] for name in names} == set(reference.FLOORS)
    assert len(names) == len(set(names))
    assert {"osler.explain.service", "osler_knowledge.bank", "osler_training.shift.run"} <= set(names)
    assert not [name for name in names if re.search(r"\.cli\b|\.migrations\b|\._", name)]


def test_what_says_nothing_of_itself_ends_the_build(tmp_path: Path) -> None:
    (tmp_path / "quiet.py").write_text(
        '"""A module."""\n\n\ndef mute() -> None: ...\n\n\nclass Told:\n    """Told."""\n\n    def step(self) -> None: ...\n'
    )
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    command = [sys.executable, str(SCRIPT), str(tmp_path / "out"), "quiet"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300, env=environment)
    assert done.returncode == 1
    assert done.stderr.splitlines() == ["quiet.mute has no docstring", "quiet.Told.step has no docstring"]
