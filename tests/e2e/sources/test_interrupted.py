"""A DICOMweb run that is cut off goes on where it was: killed itself, or left by its server."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.uid import generate_uid

from osler.workspace import Workspace

from .conftest import Content, Orthanc

STUDIES = 200  # of which outcomes are committed by 125
pytestmark = [pytest.mark.system, pytest.mark.slow]


@pytest.fixture
def filled(films: Path, orthanc: Orthanc, tmp_path: Path) -> Orthanc:
    """Orthanc with so many studies that a run takes a while: one film under many UIDs."""
    film = dcmread(next(films.rglob("*.dcm")))
    path = tmp_path / "film.dcm"
    for number in range(STUDIES):
        film.PatientID = f"MRN-{number % 2}"
        film.StudyInstanceUID = generate_uid(entropy_srcs=["study", str(number)])
        film.SeriesInstanceUID = generate_uid(entropy_srcs=["series", str(number)])
        film.SOPInstanceUID = generate_uid(entropy_srcs=["instance", str(number)])
        film.file_meta.MediaStorageSOPInstanceUID = film.SOPInstanceUID
        film.save_as(path)
        orthanc.put(path)
    return orthanc


class Run:
    """`osler ingest` from an Orthanc into a workspace, in a process of its own."""

    def __init__(self, orthanc: Orthanc, workspace: Path, *options: str) -> None:
        self.workspace = workspace
        words = [
            "ingest",
            orthanc.dicomweb,
            "--site",
            "a",
            "--workspace",
            str(workspace),
            "--workers",
            "0",
            "--json",
            *options,
        ]
        environment = {**os.environ, "OSLER_KEY_FILE": str(workspace.parent / "key"), "OMP_NUM_THREADS": "1"}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "osler.cli.main", *words],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def settled(self) -> int:
        """Return how many instances the journal holds."""
        return sum(path.read_text().count("\n") for path in self.workspace.glob("spool/*.journal"))

    def until_some_are_settled(self) -> None:
        while not self.settled():
            assert self.process.poll() is None, self.process.communicate()
            time.sleep(0.005)

    def until_some_are_fetched(self) -> None:
        while len(list(self.workspace.glob("spool/dicomweb/*.dcm"))) < STUDIES // 10:
            assert self.process.poll() is None, self.process.communicate()
            time.sleep(0.005)

    def result(self) -> tuple[int, dict[str, object]]:
        out, _ = self.process.communicate(timeout=300)
        return self.process.returncode, json.loads(out)


def test_killed_and_run_again(filled: Orthanc, content: Callable[[Workspace], Content], tmp_path: Path) -> None:
    code, whole = Run(filled, tmp_path / "whole").result()
    assert (code, whole["accepted"], whole["known"]) == (0, STUDIES, 0)
    run = Run(filled, tmp_path / "cut")
    run.until_some_are_settled()
    run.process.send_signal(signal.SIGKILL)
    run.process.communicate()
    settled = run.settled()
    assert 0 < settled < STUDIES
    code, rest = Run(filled, tmp_path / "cut").result()
    assert (code, rest["known"]) == (0, settled)
    assert rest["received"] == STUDIES - settled
    assert not list((tmp_path / "cut").glob("spool/dicomweb"))
    first, second = (content(Workspace.open(tmp_path / name)) for name in ("whole", "cut"))
    assert first[0] == second[0]
    for table in ("studies", "instances", "labels", "settings"):
        assert first[1][table] == second[1][table]
    shutil.rmtree(tmp_path / "whole")
    code, again = Run(filled, tmp_path / "cut").result()
    assert (code, again["received"], again["known"], again["code"]) == (0, 0, STUDIES, None)


def test_orthanc_stops_and_comes_back(filled: Orthanc, tmp_path: Path) -> None:
    code, half = Run(filled, tmp_path / "workspace", "--query", "PatientID=MRN-0").result()
    assert (code, half["received"]) == (0, STUDIES // 2)
    run = Run(filled, tmp_path / "workspace")
    run.until_some_are_fetched()
    filled.stop(signal.SIGKILL)
    code, answer = run.result()
    assert code == 1
    error = answer["error"]
    assert isinstance(error, dict)
    assert error["code"] == "source-unreachable"
    assert not list((tmp_path / "workspace").glob("spool/dicomweb"))
    filled.start()
    code, rest = Run(filled, tmp_path / "workspace").result()
    assert (code, rest["known"], rest["accepted"]) == (0, STUDIES // 2, STUDIES // 2)
    assert len(list((tmp_path / "workspace" / "archive").rglob("*.dcm"))) == STUDIES
