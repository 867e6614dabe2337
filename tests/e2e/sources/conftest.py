"""A real Orthanc, and phantom studies to put into it."""

from __future__ import annotations

import json
import signal
import socket
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import requests

from osler.sources.login import PASSWORD, USER
from osler.workspace import Workspace
from osler_training.phantom.generate import generate_site
from osler_training.phantom.plan import mixed_plan

PLUGIN = "/usr/share/orthanc/plugins/libOrthancDicomWeb.so"
LOGIN = ("osler", "a-password-of-this-test")
Content = tuple[dict[str, bytes], dict[str, list[str]]]
LEFT_OUT = ("source_sha256",)
QUERIES = {
    "studies": "SELECT * FROM studies",
    "instances": "SELECT * FROM instances",
    "labels": "SELECT * FROM labels",
    "settings": "SELECT * FROM settings",
    "outcomes": "SELECT outcome, code, detail FROM intake",
}


@dataclass
class Orthanc:
    """Orthanc in a folder of its own, at free ports, with authentication on."""

    folder: Path
    http_port: int
    dicom_port: int
    process: subprocess.Popen[bytes] | None = None
    session: requests.Session = field(default_factory=requests.Session)

    @property
    def rest(self) -> str:
        return f"http://127.0.0.1:{self.http_port}"

    @property
    def dicomweb(self) -> str:
        return f"{self.rest}/dicom-web"

    def start(self) -> None:
        """Start it, and wait until it answers; it keeps its ports and its storage."""
        config = {
            "Name": "test",
            "StorageDirectory": str(self.folder / "storage"),
            "IndexDirectory": str(self.folder / "storage"),
            "HttpPort": self.http_port,
            "DicomPort": self.dicom_port,
            "DicomAet": "ORTHANC",
            "DicomCheckCalledAet": True,
            "RemoteAccessAllowed": False,
            "AuthenticationEnabled": True,
            "RegisteredUsers": dict([LOGIN]),
            "Plugins": [PLUGIN],
            "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
        }
        (self.folder / "orthanc.json").write_text(json.dumps(config))
        with (self.folder / "log").open("ab") as log:
            command = ["/usr/sbin/Orthanc", str(self.folder / "orthanc.json")]
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        self.session.auth = LOGIN
        for _ in range(300):
            assert self.process.poll() is None, (self.folder / "log").read_text()[-2000:]
            try:
                if self.session.get(f"{self.rest}/system", timeout=5).ok:
                    return
            except requests.ConnectionError:
                time.sleep(0.1)
        raise AssertionError("Orthanc does not answer")

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        if self.process is not None:
            self.process.send_signal(how)
            self.process.wait(30)
            self.process = None

    def put(self, path: Path) -> None:
        """Store a file."""
        self.session.post(f"{self.rest}/instances", data=path.read_bytes(), timeout=30).raise_for_status()

    def know(self, title: str, port: int) -> None:
        """Make an application entity known, as one who may ask and be sent to."""
        entity = {"AET": title, "Host": "127.0.0.1", "Port": port}
        self.session.put(f"{self.rest}/modalities/{title}", json=entity, timeout=30).raise_for_status()

    def send(self, title: str) -> None:
        """Send everything to a known application entity by C-STORE."""
        studies = self.session.get(f"{self.rest}/studies", timeout=30).json()
        self.session.post(f"{self.rest}/modalities/{title}/store", json=studies, timeout=120).raise_for_status()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def orthanc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Orthanc]:
    """An empty Orthanc, torn down afterwards; its login is in the environment."""
    (tmp_path / "orthanc").mkdir()
    server = Orthanc(tmp_path / "orthanc", free_port(), free_port())
    monkeypatch.setenv(USER, LOGIN[0])
    monkeypatch.setenv(PASSWORD, LOGIN[1])
    try:
        server.start()
        yield server
    finally:
        server.stop(signal.SIGKILL)


@pytest.fixture(scope="session")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve phantom studies of two sites, small."""
    folder = tmp_path_factory.mktemp("phantoms") / "films"
    generate_site("reference", mixed_plan(12, ("heart_failure", "pneumonia"), 5), folder, size=128, workers=0, seed=5)
    return folder


def _row(row: sqlite3.Row) -> str:
    return repr({key: value for key, value in dict(row).items() if key not in LEFT_OUT})


@pytest.fixture(scope="session")
def content() -> Callable[[Workspace], Content]:
    """Return what tells one archive from another: objects by path, and rows of the index.

    Left out is what must differ: the hash of the bytes that came, which a PACS rewrites, and the bookkeeping of runs.
    """

    def read(workspace: Workspace) -> Content:
        files = {
            path.relative_to(workspace.archive).as_posix(): path.read_bytes()
            for path in workspace.archive.rglob("*.dcm")
        }
        with closing(sqlite3.connect(workspace.archive / "index.sqlite")) as index:
            index.row_factory = sqlite3.Row
            rows = {table: sorted(map(_row, index.execute(query))) for table, query in QUERIES.items()}
        return files, rows

    return read
