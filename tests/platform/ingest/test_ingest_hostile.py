"""Folders and files that mean harm, or merely come from a hospital."""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable
from datetime import date
from io import BytesIO
from pathlib import Path

import pytest
from pydicom import dcmwrite
from pydicom.dataset import Dataset
from pydicom.uid import DeflatedExplicitVRLittleEndian

from osler.archive import Archive, Outcome
from osler.engine.limits import Limits
from osler.ingest import IngestSummary, ingest
from osler.ingest.source import Arrival
from osler.ingest.sources import FolderSource
from osler.workspace import Workspace
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

Make = Callable[..., Dataset]
Write = Callable[..., Path]
NAMES = (
    b"new\nline.dcm",
    b"latin-\xe9\xff.dcm",
    b"n" * 255,
    b"...",
    b"..dcm",
    b"-rf",
    b"a\\..\\..\\b.dcm",
    b"$(id);`id`|'\".dcm",
    b"\x1b[31m\x07\x7f",
    "Müller^Jürgen \u202e.dcm".encode(),
)


def take(source: Path, workspace: Workspace, **options: object) -> IngestSummary:
    arguments: dict[str, object] = {"site": "a", "key": b"k" * 32, "workers": 0, "today": date(2024, 1, 1)}
    return ingest(source, workspace=workspace, **(arguments | options))  # type: ignore[arg-type]


def test_hostile_names(make_radiograph: Make, write_dicom: Write, workspace: Workspace, tmp_path: Path) -> None:
    for number, name in enumerate(NAMES):
        plain = write_dicom(make_radiograph(number), "plain.dcm")
        os.rename(os.fsencode(plain), os.path.join(os.fsencode(plain.parent), name))
    folder = tmp_path / "source"
    summary = take(folder, workspace, workers=1)
    assert (summary.received, summary.accepted) == (len(NAMES), len(NAMES))
    written = [path.name for path in workspace.root.rglob("*")]
    assert all(name.isascii() and name.isprintable() for name in written)
    assert sorted(map(os.fsencode, os.listdir(folder))) == sorted(NAMES)


def test_a_tree_deeper_than_any_path(make_radiograph: Make, write_dicom: Write, workspace: Workspace) -> None:
    folder = write_dicom(make_radiograph()).parent
    home, name = os.open(".", os.O_RDONLY), "d" * 200
    os.chdir(folder)
    try:
        for _level in range(30):
            os.mkdir(name)
            os.chdir(name)
    finally:
        os.fchdir(home)
        os.close(home)
    summary = take(folder, workspace)
    assert (summary.received, summary.accepted, summary.by_reason) == (2, 1, {"unreadable": 1})


def test_read_only_source(make_radiograph: Make, write_dicom: Write, workspace: Workspace) -> None:
    path = write_dicom(make_radiograph())
    before = path.stat()
    path.chmod(0o400)
    path.parent.chmod(0o500)
    try:
        assert take(path.parent, workspace).accepted == 1
    finally:
        path.parent.chmod(0o700)
    assert (path.stat().st_mtime_ns, path.stat().st_ino) == (before.st_mtime_ns, before.st_ino)


@pytest.mark.parametrize(
    "values",
    [
        {"Rows": 65535, "Columns": 65535},
        {"NumberOfFrames": 2147483647},
        {"Rows": 0},
        {"BitsAllocated": 65535},
        {"SamplesPerPixel": 65535},
    ],
)
def test_absurd_dimensions(
    make_radiograph: Make, write_dicom: Write, workspace: Workspace, values: dict[str, int]
) -> None:
    path = write_dicom(make_radiograph(**values))
    assert take(path, workspace, contract="any-image").quarantined == 1


def deflated_bomb(dataset: Dataset, gigabytes: int) -> bytes:
    """Build a file of the deflated transfer syntax whose pixels are zeros, and which is a thousandth of them long."""
    dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    del dataset.PixelData
    buffer = BytesIO()
    dcmwrite(buffer, dataset, enforce_file_format=True)
    whole = buffer.getvalue()
    start = 144 + int.from_bytes(whole[140:144], "little")
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    header = zlib.decompress(whole[start:], wbits=-zlib.MAX_WBITS)
    length = (gigabytes << 30).to_bytes(4, "little")
    first = packer.compress(header + b"\xe0\x7f\x10\x00OW\x00\x00" + length) + packer.flush(zlib.Z_FULL_FLUSH)
    zeros = packer.compress(bytes(1 << 26)) + packer.flush(zlib.Z_FULL_FLUSH)
    return whole[:start] + first + zeros * (gigabytes << 4) + packer.flush()


def test_a_deflated_bomb_is_refused_alone(make_radiograph: Make, write_dicom: Write, workspace: Workspace) -> None:
    folder = write_dicom(make_radiograph(1), "a.dcm").parent
    (folder / "b.dcm").write_bytes(deflated_bomb(make_radiograph(2), gigabytes=3))
    write_dicom(make_radiograph(3), "c.dcm")
    seen: dict[str, str] = {}
    take(
        folder,
        workspace,
        workers=1,
        limits=Limits(memory_bytes=2 << 30),
        on_file=lambda path, _outcome, code: seen.update({path.name: code}),
    )
    assert seen == {"a.dcm": "", "b.dcm": "absurd-size", "c.dcm": ""}
    (reason,) = Archive(workspace).quarantine.reasons()
    assert (reason.code, reason.kept) == (Code.ABSURD_SIZE, True)


def test_second_ingest_at_once_is_refused_and_nothing_is_lost(
    make_radiograph: Make, write_dicom: Write, workspace: Workspace
) -> None:
    for number in range(3):
        folder = write_dicom(make_radiograph(number), f"{number}.dcm").parent
    refused: list[Code] = []

    def meanwhile(_path: Path, _outcome: Outcome, _code: str) -> None:
        with pytest.raises(OslerError) as caught:
            take(folder, workspace)
        refused.append(caught.value.code)

    assert take(folder, workspace, on_file=meanwhile).accepted == 3
    assert refused == [Code.WORKSPACE_OCCUPIED] * 3
    assert take(folder, workspace).duplicates == 3


class Refusing(FolderSource):
    """A folder that refuses its second file, and says what was settled."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.heard: list[Path] = []

    def __iter__(self):  # type: ignore[no-untyped-def]
        for number, arrival in enumerate(super().__iter__()):
            refused = OslerError(Code.TRANSFER_FAILED, "It did not arrive.", "Ask again.")
            yield Arrival(arrival.path, refused) if number == 1 else arrival

    def settled(self, arrivals) -> None:  # type: ignore[no-untyped-def]
        self.heard += [arrival.path for arrival in arrivals]


def test_what_a_source_refuses_is_quarantined_unread(
    make_radiograph: Make, write_dicom: Write, workspace: Workspace
) -> None:
    for number in range(3):
        folder = write_dicom(make_radiograph(number), f"{number}.dcm").parent
    source = Refusing(folder)
    summary = take(source, workspace)  # type: ignore[arg-type]
    assert (summary.received, summary.accepted, summary.by_reason) == (3, 2, {"transfer-failed": 1})
    assert [path.name for path in source.heard] == ["0.dcm", "1.dcm", "2.dcm"]
    assert not list(workspace.quarantine.glob("*.dcm"))


@pytest.mark.slow
def test_ten_thousand_files_in_one_folder(make_radiograph: Make, write_dicom: Write, workspace: Workspace) -> None:
    folder = write_dicom(make_radiograph()).parent
    for number in range(9_999):
        (folder / f"{number}.txt").write_text("note")
    summary = take(folder, workspace, workers=2)
    assert (summary.received, summary.accepted, summary.by_reason) == (10_000, 1, {"not-dicom": 9_999})
    assert len(Archive(workspace).quarantine.reasons()) == 1
