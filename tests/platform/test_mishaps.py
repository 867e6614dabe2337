"""The log of mishaps: where it happened, never what was in hand, and bounded."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from osler import mishaps


def _stumble() -> None:
    raise ValueError("Doe^Jane was born in 1950")


def _note(log: Path) -> str:
    try:
        _stumble()
    except ValueError as error:
        return mishaps.note(error, log)
    raise AssertionError


def test_a_reference_leads_to_the_place_and_to_no_value(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        first, second = _note(tmp_path / "a.log"), _note(tmp_path / "a.log")
    lines = (tmp_path / "a.log").read_text(encoding="utf-8").splitlines()
    assert first != second
    assert [reference in line for reference, line in zip((first, second), lines, strict=True)] == [True, True]
    assert "ValueError at test_mishaps.py" in lines[0]
    assert "_stumble" in lines[0]
    assert "Doe" not in "".join(lines)
    assert caplog.records == [], "nothing of it reaches the terminal of a server"


def test_two_workspaces_have_two_logs(tmp_path: Path) -> None:
    references = {name: _note(tmp_path / name) for name in ("a.log", "b.log")}
    for name, reference in references.items():
        assert [reference in line for line in (tmp_path / name).read_text().splitlines()] == [True]


def test_the_log_cannot_fill_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mishaps, "BYTES", 400)
    for _ in range(40):
        _note(tmp_path / "small.log")
    kept = list(tmp_path.glob("small.log*"))
    assert len(kept) == 1 + mishaps.FILES
    assert sum(path.stat().st_size for path in kept) <= 400 * len(kept)
