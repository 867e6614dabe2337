"""What the documents promise of versions and formats is what the code reads and the tests run on."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path

import pytest

from osler import backup, workspace
from osler.adapt import patch
from osler.bottleneck import artefact
from osler.calibrate import record
from osler.database.schema import HEAD
from osler.doctor.machine import OLDEST_PYTHON
from osler.exchange import manifest
from osler.explain import explanation, validation
from osler_contracts.codes import Code
from osler_knowledge import bank

ROOT = Path(__file__).parents[2]


def rows(document: str, mark: str) -> dict[str, list[str]]:
    """Return the table after a mark: further cells by the first."""
    text = (ROOT / "docs" / document).read_text(encoding="utf-8").partition(f"<!-- {mark}:")[2]
    table = [line for line in text.partition("\n\n")[2].partition("\n\n")[0].splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in table[2:]]
    return {first: rest for first, *rest in cells}


def test_the_formats_are_those_that_the_code_writes_and_reads() -> None:
    steps = sorted(f"{number:04d}" for number in range(1, int(HEAD)))
    expected = {
        "Tables": (HEAD, steps),
        "Workspace folder": (str(workspace.FORM), []),
        "Model": (artefact.FORMAT, [artefact.FORMER]),
        "Site patch": (patch.FORMAT, [patch.FORMER]),
        "Calibration of a site": (record.FORMAT, [record.FORMER]),
        "What a concept was checked against": (validation.FORMAT, [validation.FORMER]),
        "Concept bank": (bank.FORMAT, [bank.FORMER]),
        "Copy of a workspace": (backup.FORMAT, []),
        "Exported model": (manifest.FORMAT, []),
        "Explanation, as it goes out": (explanation.SCHEMA, []),
    }
    told = {
        name: (cells[0].strip("`"), re.findall(r"`(\S+?)`", cells[1]))
        for name, cells in rows("upgrade.md", "formats").items()
    }
    assert told == expected


def test_every_code_of_the_page_is_one() -> None:
    cells = [*(row[2] for row in rows("upgrade.md", "formats").values())]
    text = (ROOT / "docs" / "upgrade.md").read_text(encoding="utf-8").partition("## When it is refused")[2]
    named = {one.strip("`") for one in cells if one} | set(re.findall(r"`([a-z]+-(?:older|newer|invalid))`", text))
    assert named
    assert named <= {str(code) for code in Code}


def test_the_oldest_python_is_the_one_that_the_project_asks_for_and_the_doctor_refuses_older() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    oldest = ".".join(map(str, OLDEST_PYTHON))
    assert rows("support.md", "versions")["Python"][0] == oldest
    assert project["requires-python"] == f">={oldest}"


@pytest.mark.system
def test_the_servers_are_those_that_the_tests_run_on() -> None:
    told = rows("support.md", "versions")
    [postgres] = re.findall(r"PostgreSQL (\d+)", told["Database"][0])
    assert postgres in {path.name for path in Path("/usr/lib/postgresql").iterdir()}
    [orthanc] = re.findall(r"Orthanc (\d+\.\d+)", told["PACS"][0])
    shown = subprocess.run(["Orthanc", "--version"], capture_output=True, text=True, check=True, timeout=60).stdout
    assert re.search(rf"\b{re.escape(orthanc)}\.", shown)
