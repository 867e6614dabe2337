"""Every file that ships with pydicom, decoded by Osler and by DCMTK's or GDCM's tools: the same values, or a reason."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pydicom
import pytest

from osler_training.fuzz.agreement import Agreement
from osler_training.fuzz.unmutated import agreements as found
from osler_training.fuzz.unmutated import receive

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
# What a tool reads and `any-image` keeps out all the same; text in pixels is not judged here.
QUARANTINED = {
    "MR_truncated.dcm": "truncated",
    "rtdose_expb.dcm": "pixel-format-invalid",
    "rtdose_expb_1frame.dcm": "pixel-format-invalid",
}


@pytest.fixture(scope="module")
def agreements() -> dict[Path, Agreement]:
    """Return what came of each file that is DICOM and has pixels."""
    return found(path for path in sorted(FOLDER.rglob("*")) if path.is_file() and path.suffix not in (".py", ".pyc"))


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
    reception = receive([path for path, one in agreements.items() if one.tool], tmp_path)
    assert reception.refused == QUARANTINED
    assert reception.accepted == reception.read - len(QUARANTINED) >= 85
