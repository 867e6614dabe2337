"""Image tables in: what becomes of rows, good and bad."""

from __future__ import annotations

import csv
import subprocess
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydicom import dcmread
from pydicom.dataset import FileDataset

from osler.dicomize import Columns, DicomizeSummary, dicomize
from osler.dicomize.build import Kind
from osler.dicomize.images import MAX_PIXELS
from osler.ingest import ingest
from osler.workspace import Workspace
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

GREY = np.random.default_rng(1).integers(0, 256, (150, 140), dtype=np.uint8)
COLOUR = np.random.default_rng(2).integers(0, 256, (150, 140, 3), dtype=np.uint8)


def save(folder: Path, name: str, pixels: np.ndarray, **options: object) -> bytes:
    folder.mkdir(exist_ok=True)
    Image.fromarray(pixels).save(folder / name, **options)  # type: ignore[arg-type]
    return (folder / name).read_bytes()


def table(folder: Path, *lines: str, header: str = "image,patient_id,view,sex,age,label,text") -> Path:
    path = folder / "table.csv"
    path.write_text("\n".join([header, *lines]) + "\n")
    return path


def convert(path: Path, out: Path, kind: str = "radiograph", **options: object) -> DicomizeSummary:
    return dicomize(path, out, kind=kind, site="a", **options)  # type: ignore[arg-type]


def files(summary: DicomizeSummary) -> list[FileDataset]:
    return [dcmread(path) for path in sorted(summary.files.glob("*.dcm"))]


def test_jpeg_is_wrapped_and_not_encoded_again(tmp_path: Path) -> None:
    content = save(tmp_path, "a.jpg", GREY)
    (result,) = files(convert(table(tmp_path, "a.jpg,7,PA,f,36,normal,clear"), tmp_path / "out"))
    assert np.array_equal(result.pixel_array, np.asarray(Image.open(BytesIO(content))))
    assert result.file_meta.TransferSyntaxUID.name == "JPEG Baseline (Process 1)"
    assert (result.LossyImageCompression, result.LossyImageCompressionMethod) == ("01", "ISO_10918_1")
    assert float(result.LossyImageCompressionRatio) == pytest.approx(GREY.size / len(content), abs=0.01)
    assert (result.PatientID, result.ViewPosition, result.PatientSex, result.PatientAge) == ("7", "PA", "F", "036Y")
    assert "PixelSpacing" not in result
    assert "ImagerPixelSpacing" not in result


@pytest.mark.parametrize("depth", [np.uint8, np.uint16])
def test_png_keeps_every_value(tmp_path: Path, depth: type) -> None:
    pixels: np.ndarray = GREY.astype(depth) * (200 if depth is np.uint16 else 1)
    save(tmp_path, "a.png", pixels)
    (result,) = files(convert(table(tmp_path, "a.png,,,,,,"), tmp_path / "out"))
    assert np.array_equal(result.pixel_array, pixels)
    assert result.BitsStored == np.dtype(depth).itemsize * 8
    assert "LossyImageCompression" not in result


def test_progressive_and_turned_jpegs_are_decoded_with_their_past(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    save(tmp_path, "turned.jpg", GREY, exif=exif)
    save(tmp_path, "progressive.jpg", COLOUR, progressive=True)
    summary = convert(table(tmp_path, "turned.jpg,1,,,,,"), tmp_path / "grey")
    (turned,) = files(summary)
    assert turned.pixel_array.shape == GREY.T.shape
    (progressive,) = files(convert(table(tmp_path, "progressive.jpg,1,,,,,"), tmp_path / "colour", kind="dermoscopy"))
    assert np.array_equal(progressive.pixel_array, np.asarray(Image.open(tmp_path / "progressive.jpg")))
    for result in (turned, progressive):
        assert not result.file_meta.TransferSyntaxUID.is_compressed
        assert result.LossyImageCompression == "01"


def test_grey_saved_in_colour_is_a_radiograph_and_colour_is_not(tmp_path: Path) -> None:
    save(tmp_path, "grey.png", np.repeat(GREY[..., None], 3, axis=2))
    save(tmp_path, "colour.png", COLOUR)
    summary = convert(table(tmp_path, "grey.png,1,,,,,", "colour.png,2,,,,,"), tmp_path / "out")
    assert summary.refused == {2: "image-invalid"}
    assert np.array_equal(files(summary)[0].pixel_array, GREY)


def test_every_bad_row_has_a_code_and_the_rest_is_written(tmp_path: Path) -> None:
    inside, outside = tmp_path / "in", tmp_path / "secret.png"
    save(inside, "good.png", GREY)
    save(tmp_path, "secret.png", GREY)
    (inside / "link.png").symlink_to(outside)
    (inside / "text.png").write_text("text")
    (inside / "cut.jpg").write_bytes(save(inside, "whole.jpg", GREY)[:400])
    save(inside, "clear.png", np.dstack([COLOUR, GREY]))
    side = int(MAX_PIXELS**0.5) + 1
    Image.new("1", (side, side)).save(inside / "huge.png")
    expected = {
        "good.png": "",
        "missing.png": "image-missing",
        "": "image-missing",
        "../secret.png": "path-outside",
        str(outside): "path-outside",
        "link.png": "path-outside",
        "text.png": "image-invalid",
        "cut.jpg": "image-invalid",
        "clear.png": "image-invalid",
        "huge.png": "absurd-size",
    }
    lines = [f"{name},1,,,,," for name in [*expected, "good.png"]]
    summary = convert(table(inside, *lines), tmp_path / "out")
    codes = [*expected.values(), "duplicate"]
    assert summary.refused == {number: code for number, code in enumerate(codes, 1) if code}
    assert (summary.rows, summary.written) == (len(codes), 1)


def test_invalid_values_are_left_empty_and_counted(tmp_path: Path) -> None:
    save(tmp_path, "a.png", GREY)
    summary = convert(table(tmp_path, "a.png,a\\b,sideways,woman,50+,,"), tmp_path / "out")
    assert summary.dropped == {"patient": 1, "view": 1, "sex": 1, "age": 1}
    (result,) = files(summary)
    assert (result.PatientID, result.ViewPosition, result.PatientSex) == ("", "", "")
    assert "PatientAge" not in result


def test_labels_are_keyed_by_study(tmp_path: Path) -> None:
    save(tmp_path, "a.png", GREY)
    summary = convert(table(tmp_path, "a.png,1,PA,F,3,normal,clear"), tmp_path / "out", columns=Columns(report="text"))
    with summary.labels.open() as stream:
        (row,) = csv.DictReader(stream)
    assert row == {"study_instance_uid": files(summary)[0].StudyInstanceUID, "label": "normal", "report": "clear"}


def test_same_table_same_bytes(tmp_path: Path) -> None:
    save(tmp_path, "a.png", GREY)
    save(tmp_path, "b.jpg", GREY)
    path = table(tmp_path, "a.png,1,PA,F,3,normal,clear", "b.jpg,1,PA,F,3,normal,clear")
    first, second = (convert(path, tmp_path / name) for name in ("one", "two"))
    assert [p.read_bytes() for p in sorted(first.files.iterdir())] == [
        p.read_bytes() for p in sorted(second.files.iterdir())
    ]
    assert len({result.StudyInstanceUID for result in files(first)}) == 2


@pytest.mark.parametrize("content", [None, "", "image\n", "picture\na.png\n"])
def test_bad_tables(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "table.csv"
    if content is not None:
        path.write_text(content)
    with pytest.raises(OslerError) as caught:
        convert(path, tmp_path / "out")
    assert caught.value.code is (Code.SOURCE_MISSING if content is None else Code.TABLE_INVALID)


CONTRACTS = {"radiograph": "chest-radiograph", "dermoscopy": "dermoscopy", "microscopy": "cell-microscopy"}


def tables_of_each_kind(tmp_path: Path, kind: str) -> DicomizeSummary:
    pixels = GREY if kind == "radiograph" else COLOUR
    for name in ("a.png", "b.jpg"):
        save(tmp_path, name, pixels)
    save(tmp_path, "c.jpg", pixels, progressive=True)
    path = table(tmp_path, "a.png,1,PA,F,30,x,", "b.jpg,2,AP,M,40,y,", "c.jpg,,,,,z,")
    return convert(path, tmp_path / "out", kind=kind, body_part="CHEST", orientation=("L", "F"))


@pytest.mark.parametrize("kind", Kind)
def test_what_is_written_passes_its_contract(tmp_path: Path, workspace: Workspace, kind: Kind) -> None:
    summary = tables_of_each_kind(tmp_path, kind)
    taken = ingest(
        summary.files,
        site="a",
        workspace=workspace,
        contract=CONTRACTS[kind],
        key=b"k" * 32,
        workers=0,
        labels=summary.labels,
    )
    assert (taken.accepted, taken.labelled) == (3, 3)
    assert taken.eligible_frontal == (3 if kind is Kind.RADIOGRAPH else 0)


@pytest.mark.system
@pytest.mark.parametrize("kind", Kind)
def test_dciodvfy_finds_no_error(tmp_path: Path, workspace: Workspace, kind: Kind) -> None:
    """Both what `dicomize` writes and what ingestion makes of it."""
    summary = tables_of_each_kind(tmp_path, kind)
    ingest(summary.files, site="a", workspace=workspace, contract=CONTRACTS[kind], key=b"k" * 32, workers=0)
    checked = [*summary.files.glob("*.dcm"), *workspace.archive.rglob("*.dcm")]
    assert len(checked) == 6
    for path in checked:
        done = subprocess.run(["dciodvfy", str(path)], capture_output=True, text=True, check=False)
        assert "Error" not in done.stderr, done.stderr
