"""Reading the archive."""

from __future__ import annotations

from pathlib import Path

import pytest

from osler.archive import Archive, InstanceRecord, StudyRecord
from osler.archive.explanations import explanations
from osler.dicom.refusals import EXPLANATIONS
from osler.files import only_writer, write_atomically
from osler.workspace import Workspace
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError


def image(uid: str, view: str, acquired: str, eligible: bool = True) -> InstanceRecord:
    return InstanceRecord(uid, Path(uid), "", "DX", view, eligible, acquired, 1, 1, "", "MONOCHROME2")


@pytest.mark.parametrize(
    ("images", "chosen"),
    [
        ([image("b", "AP", "2020"), image("c", "PA", "2021")], "c"),
        ([image("b", "PA", "2021"), image("c", "PA", "2020")], "c"),
        ([image("c", "PA", "2020"), image("b", "PA", "2020")], "b"),
        ([image("b", "", "2019"), image("c", "AP", "2020")], "c"),
        ([image("b", "LL", "2019", eligible=False)], None),
        ([], None),
    ],
)
def test_rule_for_several_frontals(workspace: Workspace, images: list[InstanceRecord], chosen: str | None) -> None:
    study = StudyRecord("s", "a", "p", "2020", tuple(images), {}, None, ())
    found = Archive(workspace).frontal(study)
    assert (found and found.uid) == chosen


def test_unknown_study(workspace: Workspace) -> None:
    with pytest.raises(OslerError) as caught:
        Archive(workspace).study("1.2")
    assert caught.value.code is Code.UNKNOWN_STUDY


def test_one_writer_at_a_time(workspace: Workspace) -> None:
    with only_writer(workspace.archive):
        with pytest.raises(OslerError) as caught, only_writer(workspace.archive):
            pass
        assert caught.value.code is Code.WORKSPACE_OCCUPIED
    with only_writer(workspace.archive):
        pass


def test_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_atomically(path, b"old")
    with pytest.raises(TypeError):
        write_atomically(path, "not bytes")  # type: ignore[arg-type]
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]
    assert path.read_bytes() == b"old"


def test_every_refusal_is_explained() -> None:
    known = explanations()
    assert {str(code) for code in EXPLANATIONS} <= set(known)
    assert {"wrong-modality", "future-date", "burned-in-text"} <= set(known)
    assert all(meaning.endswith(".") for meaning, _ in known.values())
