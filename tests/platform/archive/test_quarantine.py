"""The quarantine as a store: refused files untouched, each with its reason."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import pytest

from osler.archive.quarantine import Quarantine, Reason
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError


def reason(content: bytes, code: str = "not-dicom", severity: str = "refuse") -> Reason:
    digest = hashlib.sha256(content).hexdigest()
    return Reason(digest, code, "detail", ("truncated",), "mend", "a", "any-image", True, severity)


@pytest.fixture
def quarantine(tmp_path: Path) -> Quarantine:
    return Quarantine(tmp_path / "quarantine")


def put(quarantine: Quarantine, folder: Path, content: bytes, code: str = "not-dicom") -> Reason:
    source = folder / "source"
    source.write_bytes(content)
    quarantine.put(reason(content, code), source)
    return reason(content, code)


def test_it_keeps_finds_and_forgets(quarantine: Quarantine, tmp_path: Path) -> None:
    contents = sorted([b"one", b"two"], key=lambda content: hashlib.sha256(content).hexdigest())
    first, second = put(quarantine, tmp_path, contents[0]), put(quarantine, tmp_path, contents[1], "truncated")
    assert quarantine.reasons() == [first, second]
    assert quarantine.reasons("truncated") == [second]
    assert quarantine.reason(first.sha256[:6]) == first
    assert quarantine.file(first.sha256).read_bytes() == contents[0]
    assert quarantine.file(first.sha256).stat().st_mode & 0o077 == 0
    quarantine.release(first.sha256)
    assert quarantine.reasons() == [second]
    assert not quarantine.file(first.sha256).exists()
    for start in (first.sha256, "", "*", "../"):
        with pytest.raises(OslerError) as caught:
            quarantine.reason(start)
        assert caught.value.code is Code.UNKNOWN_FILE


def test_it_says_how_often_and_since_when_a_file_comes(quarantine: Quarantine, tmp_path: Path) -> None:
    found = put(quarantine, tmp_path, b"x")
    path = tmp_path / "quarantine" / f"{found.sha256}.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"first_seen": "2020-01-02", "last_seen": "2020-01-02"}))
    put(quarantine, tmp_path, b"x", "header-invalid")
    (again,) = quarantine
    assert (again.code, again.first_seen, again.times) == ("header-invalid", "2020-01-02", 2)
    assert again.last_seen > again.first_seen
    # Judged where it lies, it was not received again.
    quarantine.put(replace(found, code="truncated"), quarantine.file(found.sha256))
    (judged,) = quarantine
    assert (judged.code, judged.last_seen, judged.times) == ("truncated", again.last_seen, 2)


def test_a_file_that_changes_or_goes_before_it_is_copied_is_not_passed_off_as_what_was_judged(
    quarantine: Quarantine, tmp_path: Path
) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"changed")
    quarantine.put(reason(b"as judged"), source)
    quarantine.put(reason(b"gone"), tmp_path / "missing")
    for found in quarantine:
        assert not found.kept
        assert not found.releasable
    assert sorted(path.suffix for path in (tmp_path / "quarantine").iterdir()) == [".json", ".json"]


def test_only_what_was_kept_and_not_refused_may_be_released(quarantine: Quarantine) -> None:
    assert reason(b"", severity="quarantine").releasable
    assert reason(b"", severity="").releasable
    assert not reason(b"", severity="refuse").releasable
    assert not replace(reason(b"", severity="quarantine"), kept=False).releasable


def test_reasons_of_earlier_and_later_versions_are_read(quarantine: Quarantine, tmp_path: Path) -> None:
    found = put(quarantine, tmp_path, b"x")
    path = tmp_path / "quarantine" / f"{found.sha256}.json"
    data = json.loads(path.read_text())
    for name in ("severity", "first_seen", "last_seen", "times"):
        del data[name]
    path.write_text(json.dumps(data | {"something": "new"}))
    (old,) = quarantine
    assert old == replace(found, severity="")
    assert (old.first_seen, old.times) == ("", 1)
    put(quarantine, tmp_path, b"x")
    assert quarantine.reason(found.sha256).times == 2


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"also": 3}', "\udcff"])
def test_a_spoiled_reason_is_told_and_not_quoted(quarantine: Quarantine, tmp_path: Path, text: str) -> None:
    (tmp_path / "quarantine").mkdir()
    (tmp_path / "quarantine" / f"{'ab' * 32}.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(OslerError) as caught:
        quarantine.reasons()
    assert caught.value.code is Code.WORKSPACE_INVALID
