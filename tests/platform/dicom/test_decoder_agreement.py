"""Every file that ships with pydicom, decoded by Osler and by DCMTK's or GDCM's tools: the same values, or a reason."""

from __future__ import annotations

import shutil
import warnings
from collections import Counter, defaultdict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pydicom
import pytest
from pydicom import dcmread
from pydicom.errors import InvalidDicomError

from osler.archive import Outcome
from osler.ingest import ingest
from osler.workspace import Workspace
from osler_training.fuzz.agreement import Agreement, compare

FOLDER = Path(pydicom.__file__).parent / "data"

# Refused by Osler with this code, and read by this tool (none where it is empty).
REFUSED = {
    "JPEG2000-embedded-sequence-delimiter.dcm": ("pixels-undecodable", ""),  # its codestream claims another size
    "MR_truncated.dcm": ("pixels-undecodable", "gdcmconv"),  # cut off; DCMTK refuses it too, GDCM fills it up
    "badVR.dcm": ("header-invalid", ""),  # "1A" frames; dcm2pnm shows the first of its 15
    "meta_missing_tsyntax.dcm": ("header-invalid", ""),
    "nested_priv_SQ.dcm": ("header-invalid", ""),  # two bytes of pixel data without rows or columns
    # 32 bits a sample, most significant byte first: the tools swap 16-bit words, pydicom wrote and reads whole samples.
    "rtdose_expb.dcm": ("pixel-format-invalid", "dcmconv"),
    "rtdose_expb_1frame.dcm": ("pixel-format-invalid", "dcmconv"),
}
# Decoded to the same values, and quarantined by the contract `any-image`.
QUARANTINED = {
    "GDCMJ2K_TextGBR.dcm": "burned-in-text",
    "JPEGLSNearLossless_08.dcm": "uid-invalid",  # no study
    "JPEGLSNearLossless_16.dcm": "uid-invalid",
    "MR_truncated.dcm": "truncated",
    "SC_rgb_jls_lossy_line.dcm": "uid-invalid",
    "SC_rgb_jls_lossy_sample.dcm": "uid-invalid",
    "examples_jpeg2k.dcm": "burned-in-text",
    "examples_palette.dcm": "burned-in-text",
    "examples_rgb_color.dcm": "burned-in-text",
    "examples_ybr_color.dcm": "burned-in-text",
    "rtdose_expb.dcm": "pixel-format-invalid",
    "rtdose_expb_1frame.dcm": "pixel-format-invalid",
}


def _agreement(path: Path) -> Agreement | None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return compare(path)
    except InvalidDicomError:
        return None


@pytest.fixture(scope="module")
def agreements() -> dict[Path, Agreement]:
    """Return what came of each file that is DICOM and has pixels."""
    paths = sorted(path for path in FOLDER.rglob("*") if path.is_file() and path.suffix not in (".py", ".pyc"))
    with ThreadPoolExecutor(2) as pool:
        found = zip(paths, pool.map(_agreement, paths), strict=True)
        return {path: one for path, one in found if one is not None and one.code != "no-pixels"}


@pytest.mark.system
def test_two_decoders_one_picture(agreements: dict[Path, Agreement]) -> None:
    refused = {path.name: (one.code, one.tool) for path, one in agreements.items() if one.code}
    assert refused == REFUSED
    decoded = {path.name: one for path, one in agreements.items() if not one.code}
    # Lossy ones too: both decoders round alike. The bound for those, were it needed, is 2 of 255.
    assert [name for name, one in decoded.items() if not one.exact] == []
    syntaxes = Counter(one.syntax for path, one in agreements.items() if not one.code)
    assert sum(syntaxes.values()) >= 100
    assert len(syntaxes) >= 12


@pytest.mark.system
@pytest.mark.slow
def test_what_a_tool_reads_is_accepted(agreements: dict[Path, Agreement], tmp_path: Path) -> None:
    seen: dict[str, str] = {}
    for number, paths in enumerate(_rounds([path for path, one in agreements.items() if one.tool])):
        source = tmp_path / f"round-{number}"
        source.mkdir()
        for index, path in enumerate(paths):
            shutil.copy(path, source / f"{index:03d}-{path.name}")
        ingest(
            source,
            site="pydicom",
            workspace=Workspace.open(tmp_path / f"workspace-{number}", create=True),
            contract="any-image",
            key=b"k" * 32,
            workers=1,
            on_file=lambda path, outcome, code: seen.update(
                {path.name[4:]: code if outcome is Outcome.QUARANTINED else ""}
            ),
        )
    assert {name: code for name, code in seen.items() if code} == QUARANTINED
    assert sum(not code for code in seen.values()) >= 80


def _rounds(paths: list[Path]) -> list[list[Path]]:
    """Part files that share a SOP Instance UID: only one of them can enter an archive."""
    rounds: dict[int, list[Path]] = defaultdict(list)
    copies: Counter[str] = Counter()
    for path in paths:
        uid = str(dcmread(path, stop_before_pixels=True).get("SOPInstanceUID"))
        rounds[copies[uid]].append(path)
        copies[uid] += 1
    return list(rounds.values())
