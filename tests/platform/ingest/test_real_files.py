"""Files that nobody here made: all that ships inside pydicom."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pydicom.data
from pydicom import dcmread
from pydicom.pixels.utils import pixel_array

from osler.archive import Archive, Outcome
from osler.dicom.refusals import attempt
from osler.ingest import ingest
from osler.workspace import Workspace

FOLDER = Path(pydicom.data.__file__).parent / "test_files"
EXPECTED = {
    "CT_small.dcm": "",
    "MR_small.dcm": "",
    "SC_rgb_jpeg_dcmtk.dcm": "",
    "examples_palette.dcm": "burned-in-text",
    "examples_ybr_color.dcm": "burned-in-text",
    "image_dfl.dcm": "",
    "rtdose.dcm": "",
    "liver_1frame.dcm": "",
    "MR_small_bigendian.dcm": "conflicting-duplicate",
    "MR_truncated.dcm": "truncated",
    "rtplan_truncated.dcm": "truncated",
    "rtplan.dcm": "no-pixels",
    "waveform_ecg.dcm": "no-pixels",
    "reportsi.dcm": "no-pixels",
    "DICOMDIR-bigEnd": "no-pixels",
    "no_meta.dcm": "not-dicom",
    "ExplVR_LitEndNoMeta.dcm": "not-dicom",
    "zipMR.gz": "not-dicom",
    "SC_rgb_jpeg_gdcm.dcm": "",
    "JPEG-lossy.dcm": "",
    "meta_missing_tsyntax.dcm": "header-invalid",
    "SC_rgb_jls_lossy_line.dcm": "",
}


def test_pydicoms_own_files(workspace: Workspace) -> None:
    seen: dict[str, tuple[Outcome, str]] = {}
    summary = ingest(
        FOLDER,
        site="pydicom",
        workspace=workspace,
        contract="any-image",
        key=b"k" * 32,
        workers=0,
        on_file=lambda path, outcome, code: seen.update({str(path.relative_to(FOLDER)): (outcome, code)}),
    )
    files = [path for path in FOLDER.rglob("*") if path.is_file()]
    assert set(seen) == {str(path.relative_to(FOLDER)) for path in files}
    outcomes = Counter(outcome for outcome, _ in seen.values())
    assert summary.received == len(files) == sum(outcomes.values())
    assert summary.accepted == outcomes[Outcome.ACCEPTED] >= 55
    assert {name: seen[name][1] for name in EXPECTED if name in seen} == {
        name: code for name, code in EXPECTED.items() if name in seen
    }
    assert len(set(EXPECTED) & set(seen)) >= 20
    _originals_and_archive_agree(workspace)


def _originals_and_archive_agree(workspace: Workspace) -> None:
    """Compare pixels of every archived file with those of its original, by content: pydicom reads both."""
    archived = Counter(_pixels(image.path) for study in Archive(workspace).studies() for image in study.instances)
    originals = Counter(content for path in FOLDER.rglob("*") if path.is_file() and (content := _pixels(path)))
    assert archived <= originals


def _pixels(path: Path) -> bytes | None:
    """Return decoded values: beside them, pixel data may carry bytes that the archive does not keep."""
    return attempt(lambda: pixel_array(dcmread(path), raw=True).tobytes(), None)
