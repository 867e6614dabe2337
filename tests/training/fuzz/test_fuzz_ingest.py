"""A small seeded share of the damaged files, through the real ingestion; the whole run is `training/benchmarks/fuzz.py`."""

from __future__ import annotations

from pathlib import Path

import pytest

from osler_training.fuzz import streams
from osler_training.fuzz.generate import ALL_MUTATIONS, pydicom_files
from osler_training.fuzz.run import run_fuzz


@pytest.fixture(autouse=True)
def _small_bombs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Deflate little: packing a gigabyte takes seconds."""
    monkeypatch.setattr(streams, "_BOMB_BYTES", (1 << 10, 1 << 20, 2 << 20))


def small_bases() -> list[Path]:
    return [path for path in pydicom_files() if path.stat().st_size < 40_000]


def test_every_damaged_file_has_one_outcome(tmp_path: Path) -> None:
    result = run_fuzz(small_bases(), tmp_path, count=4 * len(ALL_MUTATIONS), seed=11, workers=1, verify=False)
    assert result.complete
    assert result.received == 4 * len(ALL_MUTATIONS)
    assert result.outcomes["accepted"] == result.archived > 5
    assert {"truncated", "header-invalid"} <= set(result.codes)
    assert not {"decode-crash", "decode-timeout", "internal"} & set(result.codes)


@pytest.mark.system
def test_what_was_archived_stands_up_to_other_tools(tmp_path: Path) -> None:
    result = run_fuzz(small_bases(), tmp_path, count=8 * len(ALL_MUTATIONS), seed=12, workers=2)
    assert result.complete
    assert result.archived > 20
    assert (result.rejected, result.unequal) == ({}, {})
    assert sum(result.by_decoder.values()) == result.archived
