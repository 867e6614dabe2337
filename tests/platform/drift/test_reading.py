"""Reading watched values of archived files, and the cache that may be damaged at any time."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset

from osler.drift.arrived import Arrived
from osler.drift.reading import ValueCache, observations_of, read_values
from osler_contracts.codes import Code
from osler_contracts.drift.fields import FIELDS, IMAGE_FIELDS
from osler_contracts.errors import OslerError


def arrived(path: Path, number: int = 0) -> Arrived:
    return Arrived(
        number, 1, "2026-01-01T00:00:00+00:00", "any", f"s{number}", f"p{number}", "", f"{number:064x}", path
    )


def test_header_and_image_are_read(make_radiograph: Callable[..., Dataset], write_dicom: Callable[..., Path]) -> None:
    noise = np.random.default_rng(1).integers(0, 4096, (136, 128)).astype("<u2")
    values = read_values(write_dicom(make_radiograph(1, noise, KVP="120", Manufacturer="Lumenara")))
    assert (values["KVP"], values["Manufacturer"], values["PatientOrientation"]) == ("120", "Lumenara", "L\\F")
    assert (values["Rows"], values["TransferSyntaxUID"]) == ("136", "1.2.840.10008.1.2.1")
    assert values["stored_middle"] == pytest.approx(0.5, abs=0.01)
    assert values["image_mean"] == pytest.approx(0.5, abs=0.02)
    assert values["Exposure"] is None
    assert set(values) == set(FIELDS)


def test_colour_has_no_detector_range(
    make_radiograph: Callable[..., Dataset], write_dicom: Callable[..., Path]
) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (20, 30, 3)).astype(np.uint8)
    colour = {"PhotometricInterpretation": "RGB", "SamplesPerPixel": 3, "PlanarConfiguration": 0}
    bits = {"BitsAllocated": 8, "BitsStored": 8, "HighBit": 7}
    values = read_values(write_dicom(make_radiograph(1, pixels, **colour, **bits)))
    assert values["image_mean"] == pytest.approx(0.5, abs=0.02)
    assert "stored_middle" not in values


def test_pixels_that_cannot_be_decoded_leave_the_header(
    make_radiograph: Callable[..., Dataset], write_dicom: Callable[..., Path]
) -> None:
    values = read_values(write_dicom(make_radiograph(1, PixelData=b"\0" * 10)))
    assert values["Modality"] == "DX"
    assert {values[name] for name in IMAGE_FIELDS} == {None}


def test_what_is_cached_is_not_read_again(
    make_radiograph: Callable[..., Dataset], write_dicom: Callable[..., Path], tmp_path: Path
) -> None:
    path = write_dicom(make_radiograph(1, KVP="90"))
    told: list[tuple[int, int]] = []
    once = observations_of([arrived(path)], tmp_path, progress=lambda done, total: told.append((done, total)))
    path.unlink()
    assert observations_of([arrived(path)], tmp_path).columns == once.columns
    assert told == [(1, 1)]
    with pytest.raises(OslerError) as raised:
        observations_of([arrived(path, 2)], tmp_path)
    assert raised.value.code is Code.UNREADABLE


@pytest.mark.parametrize("damage", [b"", b"{}", b"[1]", b'{"sha256": "0", "values": {}}', b"\xff\xfe"])
def test_a_damaged_cache_is_filled_again(
    make_radiograph: Callable[..., Dataset], write_dicom: Callable[..., Path], tmp_path: Path, damage: bytes
) -> None:
    image = arrived(write_dicom(make_radiograph(1, KVP="90")))
    before = observations_of([image], tmp_path)
    (held,) = (path for path in (tmp_path / "drift").rglob("*.json"))
    held.write_bytes(damage)
    assert observations_of([image], tmp_path).columns == before.columns
    assert ValueCache(tmp_path).load(image.sha256) is not None


def test_a_cache_that_cannot_be_written_costs_nothing_else(
    make_radiograph: Callable[..., Dataset], write_dicom: Callable[..., Path], tmp_path: Path
) -> None:
    image = arrived(write_dicom(make_radiograph(1, KVP="90")))
    (tmp_path / "taken").write_text("a file where the folder should be", encoding="utf-8")
    assert list(observations_of([image], tmp_path / "taken").columns["KVP"]) == [90.0]
