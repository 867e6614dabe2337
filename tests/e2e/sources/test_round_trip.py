"""Phantoms and the real files that ship with pydicom: into Orthanc by STOW-RS, back by DICOMweb, against the disk."""

from __future__ import annotations

import shutil
import sqlite3
import warnings
from collections.abc import Callable
from contextlib import closing
from datetime import date
from pathlib import Path

import pytest
import requests
from pydicom import Dataset, dcmread
from pydicom.data import get_testdata_files

from osler.dicom.refusals import attempt
from osler.ingest import IngestSummary, ingest
from osler.sources.opening import SourceOptions, open_source
from osler.workspace import Workspace

from .conftest import Content, Orthanc

KEY = b"k" * 32
# What Orthanc 1.10 does not take, and why; everything else must come back as it went in.
REFUSED = {
    "JPEGLSNearLossless_08.dcm": "no Study and Series Instance UID",
    "JPEGLSNearLossless_16.dcm": "no Study and Series Instance UID",
    "SC_rgb_jls_lossy_line.dcm": "no Study and Series Instance UID",
    "SC_rgb_jls_lossy_sample.dcm": "no Study and Series Instance UID",
    "SC_rgb_jpeg.dcm": "the file meta says explicit VR, and the data set is implicit",
    "UN_sequence.dcm": "no SOP Instance UID",
}
pytestmark = [pytest.mark.system, pytest.mark.slow]


def real_files() -> dict[str, Path]:
    """Return the first of pydicom's files for each SOP Instance UID: Orthanc drops repeats."""
    found: dict[str, Path] = {}
    for path in sorted(map(Path, get_testdata_files())):
        uid = attempt(lambda path=path: _header(path).get("SOPInstanceUID", ""), None)  # type: ignore[misc]
        if uid is not None:
            found.setdefault(str(uid), path)
    return found


def _header(path: Path) -> Dataset:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return dcmread(path, stop_before_pixels=True)


def stow(orthanc: Orthanc, path: Path) -> tuple[int, int]:
    """Store one file by STOW-RS; return how many instances the answer says were stored, and were not (PS3.18 I.2)."""
    boundary = b"a-boundary-of-this-test"
    body = b"--%b\r\nContent-Type: application/dicom\r\n\r\n%b\r\n--%b--\r\n" % (boundary, path.read_bytes(), boundary)
    kind = f'multipart/related; type="application/dicom"; boundary={boundary.decode()}'
    headers = {"Content-Type": kind, "Accept": "application/dicom+json"}
    answer = orthanc.session.post(f"{orthanc.dicomweb}/studies", data=body, headers=headers, timeout=60)
    if answer.status_code == requests.codes.bad_request:
        return 0, 1  # Orthanc 1.10 answers so where nothing was stored, its sequences empty
    answer.raise_for_status()
    told = answer.json()
    stored, failed = (len(told.get(tag, {}).get("Value", [])) for tag in ("00081199", "00081198"))
    return stored, failed


def take(source: str, workspace: Workspace) -> IngestSummary:
    opened = open_source(source, workspace=workspace, site="a", key=KEY, options=SourceOptions())
    return ingest(
        opened, site="a", workspace=workspace, key=KEY, contract="any-image", workers=0, today=date(2026, 1, 1)
    )


def outcomes(workspace: Workspace) -> dict[str, tuple[str, str]]:
    """Return outcome and code of each content received."""
    with closing(sqlite3.connect(workspace.archive / "index.sqlite")) as index:
        return {
            sha256: (outcome, code)
            for sha256, outcome, code in index.execute("SELECT source_sha256, outcome, code FROM intake")
        }


def test_what_comes_back_is_what_went_in(
    films: Path, orthanc: Orthanc, content: Callable[[Workspace], Content], tmp_path: Path
) -> None:
    real = real_files()
    assert len(real) == 121
    stored = tmp_path / "stored"
    stored.mkdir()
    refused = set()
    for number, path in enumerate([*sorted(films.rglob("*.dcm")), *real.values()]):
        done, failed = stow(orthanc, path)
        assert done + failed == 1, path.name
        if done:
            shutil.copy(path, stored / f"{number:04d}.dcm")
        else:
            refused.add(path.name)
    assert refused == set(REFUSED)
    count = len(list(stored.iterdir()))
    assert orthanc.session.get(f"{orthanc.rest}/statistics", timeout=30).json()["CountInstances"] == count
    disk, web = (Workspace.open(tmp_path / name, create=True) for name in ("disk", "web"))
    assert take(str(stored), disk).received == take(orthanc.dicomweb, web).received == count
    # The same bytes, so the same hash and the same outcome for each, and the same archive.
    assert outcomes(disk) == outcomes(web)
    assert content(disk) == content(web)
    kept = [sorted(path.name for path in workspace.quarantine.iterdir()) for workspace in (disk, web)]
    assert kept[0] == kept[1]
