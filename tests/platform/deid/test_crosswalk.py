"""The crosswalk: sealed, appendable by two at once, robust against a cut-off line, audited on each look-up."""

from __future__ import annotations

import stat
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

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


@given(deeds=st.lists(st.tuples(st.sampled_from(["add", "again", "forget", "ask"]), st.integers(1, 4)), max_size=12))
@settings(max_examples=25, deadline=None)
def test_who_looks_up_for_long_finds_what_others_did_meanwhile(deeds: list[tuple[str, int]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        workspace = Workspace.open(Path(folder) / "workspace", create=True)
        path = Path(folder) / "secret" / "crosswalk"
        lasting, other = (Crosswalk(path, KEY, workspace) for _ in range(2))
        other.add([link(0)])
        held = {0: [link(0)]}
        for deed, number in [*deeds, ("ask", 1)]:
            if deed == "add":
                other.add([link(number)])
                held.setdefault(number, [link(number)])
            elif deed == "again" and number in held:
                more = replace(link(number), originals=dict(link(number).originals) | {"PatientID": "moved"})
                other.add([more])
                held[number] = [more]
            elif deed == "forget":
                other.forget(link(number).patient)
                held.pop(number, None)
            names = [link(number).pseudonym for number in range(5)]
            found = lasting.look_up_all(names, subject="s", actor="Dr Osler", reason="test")
            assert {one.pseudonym: one for one in found} == {one[0].pseudonym: one[0] for one in held.values()}


def test_a_look_up_reads_what_is_new_and_what_is_asked_alone(
    path: Path, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    crosswalk, opened = Crosswalk(path, KEY, workspace), []
    crosswalk.add([link(number) for number in range(50)])
    monkeypatch.setattr(
        Crosswalk, "_open", lambda self, line, was=Crosswalk._open: opened.append(line) or was(self, line)
    )
    for number, lines in ((7, 51), (8, 1)):
        opened.clear()
        crosswalk.look_up(link(number).pseudonym, actor="Dr Osler", reason="test")
        assert len(opened) == lines


def test_a_patient_is_found_by_the_hospitals_own_number(path: Path, workspace: Workspace) -> None:
    crosswalk = Crosswalk(path, KEY, workspace)
    study = Link("study", "2.25.7", link(1).patient, {"StudyInstanceUID": "1.2.3", "AccessionNumber": "ACC7"})
    crosswalk.add([link(1), link(2), study])
    assert crosswalk.find(" MRN1 ", actor="Dr Osler", reason="call back") == [link(1)]
    assert crosswalk.find("ACC7", actor="Dr Osler", reason="call back") == [study]
    for unknown in ("MRN", "mrn1", "Grablowski^Zenobia", "1.2.3", "MRN1\\MRN2", "MRN*", "P0000000000000001"):
        assert crosswalk.find(unknown, actor="Dr Osler", reason="call back") == []


def test_one_number_may_be_of_two_patients(path: Path, workspace: Workspace) -> None:
    crosswalk = Crosswalk(path, KEY, workspace)
    twin = Link("patient", "P2", "P2", {"PatientID": "MRN1", "IssuerOfPatientID": "Other"})
    crosswalk.add([link(1), twin])
    assert {one.pseudonym for one in crosswalk.find("MRN1", actor="a", reason="b")} == {"P2", link(1).pseudonym}


@pytest.mark.parametrize(("identifier", "actor", "reason"), [(" ", "a", "b"), ("MRN1", "", "b"), ("MRN1", "a", " ")])
def test_nothing_is_found_without_name_and_reason(
    path: Path, workspace: Workspace, identifier: str, actor: str, reason: str
) -> None:
    crosswalk = Crosswalk(path, KEY, workspace)
    crosswalk.add([link(1)])
    with pytest.raises(OslerError) as caught:
        crosswalk.find(identifier, actor=actor, reason=reason)
    assert caught.value.code is Code.USAGE
    assert audit.entries(workspace) == []


def test_finding_is_audited_before_reading_under_a_hash_that_needs_the_key(path: Path, workspace: Workspace) -> None:
    crosswalk = Crosswalk(path, KEY, workspace)
    crosswalk.add([link(1)])
    path.write_bytes(b"no record\n")
    with pytest.raises(OslerError):
        crosswalk.find("MRN1", actor="Dr Osler", reason="call back")
    (entry,) = audit.entries(workspace)
    assert (entry.actor, entry.action, entry.details) == ("Dr Osler", "crosswalk.find", {"reason": "call back"})
    assert "MRN1" not in entry.line().decode()
    plain = {sha256(text.encode()).hexdigest() for text in ("MRN1", "find MRN1", sha256(b"MRN1").hexdigest())}
    assert entry.subject not in plain
