"""What the documents name: commands in `console` blocks are run, others must exist, and links lead to a file and a heading."""

from __future__ import annotations

import re
import shlex
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from osler.cli.main import build_parser

ROOT = Path(__file__).parents[2]
DOCUMENTS = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def _lines(path: Path, *languages: str) -> list[str]:
    blocks = [text for found, text in BLOCK.findall(path.read_text(encoding="utf-8")) if found in languages]
    joined = "\n".join(blocks).replace("\\\n", " ")
    return [line.strip().removeprefix("$ ").partition("  #")[0] for line in joined.splitlines() if line.strip()]


@pytest.fixture
def folder(demo: Path, tmp_path: Path) -> Path:
    """A folder as the documents take it to be: a finished demonstration, the examples, and a table of images."""
    home = tmp_path / "home"
    shutil.copytree(demo / "workspace", home / "workspace", ignore=shutil.ignore_patterns("phantoms"))
    shutil.copytree(ROOT / "docs" / "examples", home / "examples")
    images = home / "images"
    images.mkdir()
    rng = np.random.default_rng(0)
    for name in ("one.png", "two.png"):
        Image.fromarray(rng.integers(0, 255, (200, 180), dtype=np.uint8)).save(images / name)
    rows = "image,patient_id,view,label\none.png,1,PA,normal\ntwo.png,2,AP,pneumonia\n"
    (images / "table.csv").write_text(rows, encoding="utf-8")
    return home


@pytest.mark.parametrize("document", [one for one in DOCUMENTS if _lines(one, "console")], ids=lambda path: path.name)
def test_commands_in_console_blocks_run(document: Path, folder: Path, osler: Any) -> None:
    run = replace(osler, folder=folder)
    for line in _lines(document, "console"):
        words = shlex.split(line)
        assert words[0] == "osler", f"{document.name}: only osler commands belong into console blocks, found {line}"
        # Some inputs of the documents' own examples are spoiled on purpose: exit code 3.
        run(*words[1:], expect=3 if "ingest incoming" in line else 0)


def _named(document: Path) -> list[str]:
    """Return the commands of blocks that are not run: those of a shell may stand behind `docker-compose exec SERVICE`."""
    lines = [
        re.sub(r"^docker-compose (?:exec|run) .*? (?=osler [a-z])", "", one) for one in _lines(document, "sh", "bash")
    ]
    return [line for line in lines if re.match(r"(?:osler|make) [a-z]", line)]


@pytest.mark.parametrize("document", [one for one in DOCUMENTS if _named(one)], ids=lambda path: path.name)
def test_commands_in_other_blocks_exist(document: Path) -> None:
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    for line in _named(document):
        words = shlex.split(line, comments=True)
        if words[0] == "make":
            assert words[1] in targets, line
        else:
            build_parser(words[1:])[0].parse_args(words[1:])


def _anchors(document: Path) -> set[str]:
    """Return the names of a document's headings, as GitHub makes them."""
    text = BLOCK.sub("", document.read_text(encoding="utf-8"))
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", document.read_text(encoding="utf-8")):
        if "://" not in target:
            name, _, anchor = target.partition("#")
            place = document.parent / name if name else document
            assert place.exists(), f"{document.name} links to {target}"
            assert not anchor or anchor in _anchors(place), f"{document.name} links to {target}"


def test_every_picture_is_shown_somewhere() -> None:
    shown = "".join(document.read_text(encoding="utf-8") for document in DOCUMENTS)
    assert [path.name for path in (ROOT / "docs" / "images").iterdir() if f"images/{path.name})" not in shown] == []
