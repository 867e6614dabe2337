"""The crosswalk: sealed, appendable by two at once, robust against a cut-off line, audited on each look-up."""

from __future__ import annotations

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from osler import audit
from osler.deid.crosswalk import Crosswalk, open_crosswalk
from osler.deid.links import Link
from osler.workspace import Workspace
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

KEY = b"x" * 32


def link(number: int) -> Link:
    return Link(
        "patient",
        f"P{number:016d}",
        f"P{number:016d}",
        {"PatientName": "Grablowski^Zenobia", "PatientID": f"MRN{number}"},
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "secret" / "crosswalk"


def test_nothing_is_readable_without_the_key(path: Path, workspace: Workspace) -> None:
    assert Crosswalk(path, KEY, workspace).add([link(1), link(2), link(1)]) == 2
    content = path.read_bytes()
    for secret in (b"Grablowski", b"MRN1", b"P0000000000000001", b"PatientName"):
        assert secret not in content
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with pytest.raises(OslerError) as caught:
        Crosswalk(path, b"y" * 32, workspace).originals()
    assert caught.value.code is Code.CROSSWALK_INVALID


def test_a_look_up_is_audited_by_hash(path: Path, workspace: Workspace) -> None:
    crosswalk = Crosswalk(path, KEY, workspace)
    crosswalk.add([link(1)])
    found = crosswalk.look_up(link(1).pseudonym, actor="Dr Osler", reason="call back")
    assert found == [link(1)]
    with pytest.raises(OslerError) as caught:
        crosswalk.look_up("MRN1", actor="Dr Osler", reason="mistyped")
    assert caught.value.code is Code.UNKNOWN_PSEUDONYM
    entries = audit.entries(workspace)
    assert [entry.action for entry in entries] == ["crosswalk.look-up"] * 2
    assert "MRN1" not in (workspace.feedback / audit.LOG).read_text()
    with pytest.raises(OslerError):
        crosswalk.look_up(link(1).pseudonym, actor="Dr Osler", reason=" ")


def test_a_cut_off_line_is_closed_by_the_next(path: Path, workspace: Workspace) -> None:
    Crosswalk(path, KEY, workspace).add([link(1), link(2)])
    whole = path.read_bytes()
    for cut in range(0, len(whole), 9):
        path.write_bytes(whole[:cut])
        crosswalk = Crosswalk(path, KEY, workspace)
        crosswalk.add([link(1), link(2)])
        assert len(path.read_bytes()) == len(whole)
        if cut % 27 == 0:
            assert crosswalk.originals() == {"Grablowski^Zenobia", "MRN1", "MRN2"}


def test_two_writers_leave_each_record_once(path: Path, workspace: Workspace) -> None:
    writers = [Crosswalk(path, KEY, workspace) for _ in range(4)]

    def write(number: int) -> int:
        return sum(writers[number].add([link(start), link(start + 1)]) for start in range(40))

    with ThreadPoolExecutor(4) as pool:
        added = sum(pool.map(write, range(4)))
    assert added == 41 == len(path.read_bytes().splitlines())


def test_a_changed_record_is_found(path: Path, workspace: Workspace) -> None:
    Crosswalk(path, KEY, workspace).add([link(1), link(2)])
    first, second = path.read_bytes().splitlines()
    path.write_bytes(first[:64] + second[64:] + b"\n")  # one record under the name of another
    with pytest.raises(OslerError):
        Crosswalk(path, KEY, workspace).originals()


def test_it_lies_outside_the_workspace_and_apart_from_its_key(path: Path, workspace: Workspace, tmp_path: Path) -> None:
    with pytest.raises(OslerError, match="inside the workspace"):
        Crosswalk(workspace.root / "crosswalk", KEY, workspace)
    with pytest.raises(OslerError, match="beside its key"):
        open_crosswalk(path, workspace, key_file=path.with_name("key"), create=True)
    crosswalk = open_crosswalk(path, workspace, key_file=tmp_path / "keys" / "crosswalk.key", create=True)
    crosswalk.add([link(1)])
    path.chmod(0o640)
    with pytest.raises(OslerError, match="open to other users"):
        Crosswalk(path, KEY, workspace)


def test_a_forgotten_patient_is_gone(path: Path, workspace: Workspace) -> None:
    crosswalk = Crosswalk(path, KEY, workspace)
    crosswalk.add([link(1), link(2)])
    assert crosswalk.forget(link(1).patient) == 1
    assert crosswalk.originals() == {"Grablowski^Zenobia", "MRN2"}
    assert crosswalk.add([link(1), link(2)]) == 1
