"""DICOMDIR: what it names is received, there or not; what lies beside it is not taken."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset
from pydicom.fileset import FileSet

from osler.ingest.source import Source
from osler.sources.dicomdir import DicomdirSource, is_dicomdir
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

Take = Callable[[Source], list[tuple[bytes | None, str]]]
Make = Callable[..., Dataset]


@pytest.fixture
def medium(make_radiograph: Make, tmp_path: Path) -> Path:
    """Write a medium with three films of two patients, and return its DICOMDIR."""
    files = FileSet()
    for number in range(3):
        dataset = make_radiograph(number, StudyID="1", SeriesNumber=1, InstanceNumber=number)
        dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
        files.add(dataset)
    files.write(tmp_path / "medium")
    return tmp_path / "medium" / "DICOMDIR"


def rewrite(directory: Path, change: Callable[[Dataset], None]) -> None:
    """Change the records that name a file; no length of a record changes anything that is read here."""
    dataset = dcmread(directory)
    for record in dataset.DirectoryRecordSequence:
        if "ReferencedFileID" in record:
            change(record)
    dataset.save_as(directory)


def test_names_what_it_holds_and_nothing_beside(take: Take, medium: Path) -> None:
    named = sorted(path for path in medium.parent.rglob("*") if path.is_file() and path != medium)
    (medium.parent / "viewer.exe").write_bytes(b"MZ")
    assert take(DicomdirSource(medium)) == [(path.read_bytes(), "") for path in named]
    assert len(named) == 3


def test_missing_files_are_received_and_refused(take: Take, medium: Path) -> None:
    sorted(path for path in medium.parent.rglob("*") if path.is_file() and path != medium)[1].unlink()
    assert [code for _, code in take(DicomdirSource(medium))] == ["", "file-missing", ""]


def test_media_mounted_in_lower_case(take: Take, medium: Path) -> None:
    for path in sorted(medium.parent.rglob("*"), reverse=True):
        path.rename(path.with_name(path.name.lower()))
    assert [code for _, code in take(DicomdirSource(medium.with_name("dicomdir")))] == ["", "", ""]


@pytest.mark.filterwarnings("ignore:Invalid value for VR")
@pytest.mark.parametrize("name", [["..", "secret"], ["/etc/passwd"], ["a/../../secret"], [".."]])
def test_names_that_lead_out(take: Take, medium: Path, name: list[str]) -> None:
    (medium.parent.parent / "secret").write_bytes(b"another patient")
    rewrite(medium, lambda record: setattr(record, "ReferencedFileID", name))
    assert take(DicomdirSource(medium)) == [(None, "path-outside")]


def test_links_that_lead_out(take: Take, medium: Path) -> None:
    (medium.parent.parent / "secret").write_bytes(b"another patient")
    path = min(path for path in medium.parent.rglob("*") if path.is_file() and path != medium)
    path.unlink()
    path.symlink_to(medium.parent.parent / "secret")
    assert [code for _, code in take(DicomdirSource(medium))] == ["path-outside", "", ""]


def test_records_not_in_use_and_named_twice(take: Take, medium: Path) -> None:
    records: list[Dataset] = []

    def change(record: Dataset) -> None:
        records.append(record)
        if len(records) == 2:
            record.RecordInUseFlag = 0
        if len(records) == 3:
            record.ReferencedFileID = records[0].ReferencedFileID

    rewrite(medium, change)
    assert len(take(DicomdirSource(medium))) == 1


def test_offsets_in_a_circle_end(take: Take, medium: Path) -> None:
    first = dcmread(medium).OffsetOfTheFirstDirectoryRecordOfTheRootDirectoryEntity
    dataset = dcmread(medium)
    for record in dataset.DirectoryRecordSequence:
        record.OffsetOfTheNextDirectoryRecord = first
    dataset.save_as(medium)
    assert len(take(DicomdirSource(medium))) == 3


def test_the_medium_that_ships_with_pydicom(take: Take) -> None:
    path = Path(str(get_testdata_file("DICOMDIR")))
    taken = take(DicomdirSource(path))
    assert len(taken) == len(FileSet(dcmread(path))) == 31
    assert {code for _, code in taken} == {""}


@pytest.mark.system
def test_a_medium_written_by_dcmtk(take: Take, medium: Path) -> None:
    named = sorted(path for path in medium.parent.rglob("*") if path.is_file() and path != medium)
    medium.unlink()
    names = [str(path.relative_to(medium.parent)) for path in named[:2]]
    subprocess.run(["dcmmkdir", "+I", "-Nxc", *names], cwd=medium.parent, check=True, capture_output=True)
    assert take(DicomdirSource(medium)) == [(path.read_bytes(), "") for path in named[:2]]


def test_is_dicomdir(medium: Path) -> None:
    image = next(path for path in medium.parent.rglob("*") if path.is_file() and path != medium)
    assert is_dicomdir(medium)
    assert is_dicomdir(medium.rename(medium.with_name("index")))
    assert not is_dicomdir(image)
    (medium.parent / "text").write_text("a note")
    assert not is_dicomdir(medium.parent / "text")


@pytest.mark.parametrize("content", [b"", b"no DICOM", None])
def test_what_is_no_dicomdir(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "DICOMDIR"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(OslerError) as caught, DicomdirSource(path):
        pass
    assert caught.value.code is (Code.SOURCE_MISSING if content is None else Code.SOURCE_INVALID)


def test_an_image_called_dicomdir(file_bytes: Callable[..., bytes], tmp_path: Path) -> None:
    (tmp_path / "DICOMDIR").write_bytes(file_bytes(1))
    with pytest.raises(OslerError) as caught, DicomdirSource(tmp_path / "DICOMDIR"):
        pass
    assert caught.value.code is Code.SOURCE_INVALID
