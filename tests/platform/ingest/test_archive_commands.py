"""`osler ingest`, `osler archive` and `osler quarantine`, as typed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import Dataset

from osler.cli.main import main

Run = Callable[..., tuple[int, dict[str, Any], str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    """Return a runner of subcommands in one workspace: exit code, JSON of stdout, stderr."""

    def runner(*arguments: object) -> tuple[int, dict[str, Any], str]:
        code = main([*map(str, arguments), "--workspace", str(tmp_path / "w"), "--json"])
        captured = capsys.readouterr()
        return code, json.loads(captured.out), captured.err

    return runner


def test_from_folder_to_quarantine(
    make_radiograph: Callable[..., Dataset], write_dicom: Callable[..., Path], run: Run, tmp_path: Path
) -> None:
    folder = write_dicom(make_radiograph()).parent
    (folder / "note.txt").write_text("text")
    ingest = ("ingest", folder, "--site", "a", "--workers", 0, "--key-file")
    code, summary, said = run(*ingest, tmp_path / "key")
    assert (code, summary["received"], summary["accepted"]) == (3, 2, 1)
    assert "2 of 2 files" in said
    (study,) = run("archive", "list")[1]["studies"]
    assert study["frontal"]
    assert study["patient"].startswith("P")
    assert "MRN" not in str(study)
    (refused,) = run("quarantine", "list", "--code", "not-dicom")[1]["files"]
    shown = run("quarantine", "show", refused["sha256"][:8])[1]
    assert Path(shown["file"]).read_text() == "text"
    assert run("quarantine", "show", "ffff")[1]["error"]["code"] == "unknown-file"
    code, answer, _ = run(*ingest, tmp_path / "w" / "key")
    assert (code, answer["error"]["code"]) == (1, "key-invalid")


def test_codes_are_explained(run: Run, tmp_path: Path) -> None:
    (tmp_path / "w").mkdir()
    assert "DICOMDIR" in run("quarantine", "explain", "no-pixels")[1]["no-pixels"][0]["meaning"]
    assert run("quarantine", "explain", "no-such-code")[1]["error"]["code"] == "usage"


def test_only_text_is_one_clear_line(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "note.txt").write_text("text")
    options = ["--site", "a", "--workers", "0", "--workspace", str(tmp_path / "w"), "--key-file", str(tmp_path / "key")]
    assert main(["ingest", str(tmp_path / "texts"), *options]) == 3
    assert "Nothing was accepted" in capsys.readouterr().out
