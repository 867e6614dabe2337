"""A real Orthanc for reports: DICOMweb and DIMSE, in a folder of its own."""

from __future__ import annotations

import json
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import requests

PLUGIN = "/usr/share/orthanc/plugins/libOrthancDicomWeb.so"
LOGIN = ("osler", "a-password-of-this-test")


@dataclass(frozen=True)
class Orthanc:
    """Orthanc, running."""

    rest: str
    web: str
    pacs: str
    session: requests.Session

    def files(self) -> list[bytes]:
        """Return every object that it holds, as it gives it back."""
        names = self.session.get(f"{self.rest}/instances", timeout=30).json()
        return [self.session.get(f"{self.rest}/instances/{name}/file", timeout=30).content for name in names]


@contextmanager
def running(folder: Path) -> Iterator[Orthanc]:
    """Run Orthanc until the block ends; it knows OSLER."""
    folder.mkdir()
    http, dicom = _free_port(), _free_port()
    config = {
        "StorageDirectory": str(folder / "storage"),
        "IndexDirectory": str(folder / "storage"),
        "HttpPort": http,
        "DicomPort": dicom,
        "DicomAet": "ORTHANC",
        "DicomCheckCalledAet": True,
        "DicomModalities": {"osler": ["OSLER", "127.0.0.1", 1]},
        "AuthenticationEnabled": True,
        "RegisteredUsers": dict([LOGIN]),
        "Plugins": [PLUGIN],
        "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
    }
    (folder / "orthanc.json").write_text(json.dumps(config))
    session = requests.Session()
    session.auth = LOGIN
    rest = f"http://127.0.0.1:{http}"
    with (folder / "log").open("wb") as log:
        command = ["/usr/sbin/Orthanc", str(folder / "orthanc.json")]
        process = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            _wait(process, session, rest, folder)
            yield Orthanc(rest, f"{rest}/dicom-web", f"dicom://ORTHANC@127.0.0.1:{dicom}", session)
        finally:
            process.terminate()
            process.wait(30)


def _wait(process: subprocess.Popen[bytes], session: requests.Session, rest: str, folder: Path) -> None:
    for _ in range(600):
        assert process.poll() is None, (folder / "log").read_text()[-2000:]
        try:
            if session.get(f"{rest}/system", timeout=5).ok:
                return
        except requests.ConnectionError:
            time.sleep(0.1)
    raise AssertionError("Orthanc does not answer")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
