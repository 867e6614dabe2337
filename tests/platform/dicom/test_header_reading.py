"""Headers of sound and of broken files."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
)

from osler.dicom.header import read_header, sha256_of
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError
from osler_contracts.headers import COLUMNS

Make = Callable[..., Dataset]
Write = Callable[..., Path]
LENGTH = 136 * 128 * 2


def refusal_of(path: Path) -> Code:
    with pytest.raises(OslerError) as caught:
        read_header(path)
    return caught.value.code


def cut(path: Path, length: int) -> Path:
    path.write_bytes(path.read_bytes()[:length])
    return path


def test_row_has_every_column_of_the_table(make_radiograph: Make, write_dicom: Write) -> None:
    row = read_header(write_dicom(make_radiograph())).row
    assert set(row) == set(COLUMNS) - {"content_sha256"}  # known to who read the bytes
    assert row["pixel_data_length"] == row["pixel_length_expected"] == row["decoded_length"] == LENGTH
    assert (row["modality"], row["patient_orientation"]) == ("DX", ["L", "F"])
    assert row["private_identifier"] is False


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian])
def test_pixel_length_in_every_encoding(make_radiograph: Make, write_dicom: Write, syntax: UID) -> None:
    dataset = make_radiograph()
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset["PixelData"].VR = "OW"
    assert read_header(write_dicom(dataset)).row["pixel_data_length"] == LENGTH


def test_short_pixels_show_in_the_lengths(make_radiograph: Make, write_dicom: Write) -> None:
    path = write_dicom(make_radiograph())
    row = read_header(cut(path, path.stat().st_size - 10)).row
    assert (row["pixel_data_length"], row["pixel_length_expected"]) == (LENGTH - 10, LENGTH)


def test_missing_pixels_show_in_the_row(make_radiograph: Make, write_dicom: Write) -> None:
    assert read_header(write_dicom(make_radiograph(PixelData=None))).row["pixel_data_present"] is False


def test_compressed_pixels_have_no_length(make_radiograph: Make, write_dicom: Write) -> None:
    dataset = make_radiograph()
    dataset.compress(JPEG2000Lossless)
    path = write_dicom(dataset)
    row = read_header(path).row
    assert (row["pixel_data_length"], row["pixel_length_expected"], row["decoded_length"]) == (None, None, LENGTH)
    assert refusal_of(cut(path, path.stat().st_size - 20)) is Code.TRUNCATED


def test_file_cut_off_anywhere_never_looks_whole(make_radiograph: Make, write_dicom: Write) -> None:
    path = write_dicom(make_radiograph())
    content = path.read_bytes()
    codes = set()
    for kept in [*range(160, 1000, 3), *range(1000, len(content), 5000)]:
        path.write_bytes(content[:kept])
        try:
            row = read_header(path).row
        except OslerError as error:
            codes.add(error.code)
        else:
            # Cut between two elements it reads well, but its pixels are missing or short.
            assert row["pixel_data_length"] != row["pixel_length_expected"] or not row["pixel_data_present"]
    assert codes == {Code.TRUNCATED}


@pytest.mark.parametrize(
    "content", [b"", b"report: no finding\n" * 20, b"\0" * 132, b"\x89PNG\r\n\x1a\n" + b"\0" * 200]
)
def test_other_files_are_not_dicom(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    assert refusal_of(path) is Code.NOT_DICOM


def test_directory_of_a_medium_has_no_pixels() -> None:
    path = get_testdata_file("DICOMDIR-empty.dcm", download=False)
    assert isinstance(path, str)
    assert refusal_of(Path(path)) is Code.NO_PIXELS


def test_pipes_and_dead_links_are_unreadable(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for name in ("pipe", "link"):
        with pytest.raises(OslerError) as caught:
            sha256_of(tmp_path / name)
        assert caught.value.code is Code.UNREADABLE


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ("seen by GRABLOWSKI, ward 3", True),
        ("19510203", True),
        ("mrn00000", True),
        ("03.02.1951", True),
        ("grab", False),
    ],
)
def test_identifiers_in_private_elements(make_radiograph: Make, write_dicom: Write, value: str, found: bool) -> None:
    for nested in (False, True):
        dataset, item = make_radiograph(), Dataset()
        target = item if nested else dataset
        target.private_block(0x0099, "VENDOR", create=True).add_new(1, "LO", value)
        if nested:
            dataset.private_block(0x0099, "VENDOR", create=True).add_new(2, "SQ", [item])
        assert read_header(write_dicom(dataset)).row["private_identifier"] is found


def test_identifier_in_private_bytes(make_radiograph: Make, write_dicom: Write) -> None:
    dataset = make_radiograph()
    dataset.private_block(0x0099, "VENDOR", create=True).add_new(1, "OB", b"\x01\x02Zenobia\x00\x03")
    assert read_header(write_dicom(dataset)).row["private_identifier"] is True
