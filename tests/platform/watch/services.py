"""Orthanc and `osler watch` as processes of their own, which can be killed at any moment and started again."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

import requests
from pydicom import dcmread
from pydicom.dataset import Dataset

PLUGIN = "/usr/share/orthanc/plugins/libOrthancDicomWeb.so"
LOGIN = ("osler", "a-password-of-this-test")
PATIENCE_S = 120.0


class Service:
    """A process that can be killed and started again."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self.kills = 0

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def kill(self) -> bool:
        """Kill the process with all of its group (SIGKILL); return whether it still ran."""
        process = self._process
        if process is None or process.poll() is not None:
            return False
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        self.kills += 1
        return True

    def stop(self) -> int:
        """End the process gracefully (SIGTERM), and return its exit code."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(60)

    def _start(self, command: Sequence[str], log: Path, environment: dict[str, str]) -> None:
        with log.open("ab") as stream:
            self._process = subprocess.Popen(
                command, stdout=stream, stderr=stream, env=os.environ | environment, start_new_session=True
            )


class Orthanc(Service):
    """Orthanc with DICOMweb and DIMSE, in a folder of its own and at ports that stay."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        folder.mkdir()
        self._folder, self._http, self.port = folder, free_port(), free_port()
        self.receive = free_port()
        config = {
            "StorageDirectory": str(folder / "storage"),
            "IndexDirectory": str(folder / "storage"),
            "HttpPort": self._http,
            "DicomPort": self.port,
            "DicomAet": "ORTHANC",
            "DicomModalities": {"osler": ["OSLER", "127.0.0.1", self.receive]},
            "AuthenticationEnabled": True,
            "RegisteredUsers": dict([LOGIN]),
            "Plugins": [PLUGIN],
            "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
        }
        (folder / "orthanc.json").write_text(json.dumps(config))
        self.rest = f"http://127.0.0.1:{self._http}"
        self.web = f"{self.rest}/dicom-web"
        self.pacs = f"dicom://ORTHANC@127.0.0.1:{self.port}"
        self.session = requests.Session()
        self.session.auth = LOGIN

    def start(self) -> None:
        """Start it, and wait until it answers."""
        command = ["/usr/sbin/Orthanc", str(self._folder / "orthanc.json")]
        self._start(command, self._folder / "log", {})
        until = time.monotonic() + PATIENCE_S
        while time.monotonic() < until:
            assert self.running, (self._folder / "log").read_text()[-2000:]
            try:
                if self.session.get(f"{self.rest}/system", timeout=5).ok:
                    return
            except requests.ConnectionError:
                time.sleep(0.05)
        raise AssertionError("Orthanc does not answer")

    def send(self, path: Path, title: str = "XRAY1") -> bool:
        """Send a file or a folder by storescu; return whether it says that all went well."""
        return send(path, self.port, title, "ORTHANC")

    def reports(self) -> dict[str, list[Dataset]]:
        """Return the SRs that it holds, by study."""
        found: dict[str, list[Dataset]] = {}
        for series in self.session.get(f"{self.rest}/series?expand", timeout=60).json():
            if series["MainDicomTags"].get("Modality") == "SR":
                for name in series["Instances"]:
                    content = self.session.get(f"{self.rest}/instances/{name}/file", timeout=60).content
                    report = dcmread(BytesIO(content))
                    found.setdefault(str(report.StudyInstanceUID), []).append(report)
        return found

    def has_report(self, study: str) -> bool:
        """Return whether it holds an SR of a study; False where it does not answer."""
        wanted: dict[str, Any] = {"Level": "Series", "Query": {"StudyInstanceUID": study, "Modality": "SR"}}
        try:
            return bool(self.session.post(f"{self.rest}/tools/find", json=wanted, timeout=30).json())
        except (requests.RequestException, ValueError):
            return False

    def studies(self) -> set[str]:
        """Return the UIDs of the studies that it holds."""
        found = self.session.get(f"{self.rest}/studies?expand", timeout=60).json()
        return {one["MainDicomTags"]["StudyInstanceUID"] for one in found}


@dataclass
class Watcher(Service):
    """`osler watch run` of a workspace."""

    workspace: Path
    log: Path
    environment: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__init__()

    def start(self, *more: str) -> None:
        """Start it."""
        command = [sys.executable, "-m", "osler.cli.main", "watch", "run", "--workspace", str(self.workspace), *more]
        login = {"OSLER_DICOMWEB_USER": LOGIN[0], "OSLER_DICOMWEB_PASSWORD": LOGIN[1], "OMP_NUM_THREADS": "1"}
        self._start(command, self.log, login | self.environment)

    def wait(self, seconds: float = PATIENCE_S) -> int:
        """Wait until it ends by itself."""
        assert self._process is not None
        return self._process.wait(seconds)


def send(path: Path, port: int, title: str = "XRAY1", called: str = "ORTHANC") -> bool:
    """Send a file or a folder by storescu; return whether it says that all went well."""
    command = ["storescu", "-aet", title, "-aec", called, "+sd", "127.0.0.1", str(port), str(path)]
    return subprocess.run(command, capture_output=True, check=False, timeout=60).returncode == 0


def until_taken(path: Path, port: int) -> None:
    """Send to a watch that may still be starting, as a modality would."""
    until = time.monotonic() + PATIENCE_S
    while not send(path, port, called="WATCH"):
        assert time.monotonic() < until
        time.sleep(0.2)


def wait_for(holds: Callable[[], bool], watcher: Watcher) -> None:
    """Wait until something holds, while the watch runs."""
    until = time.monotonic() + PATIENCE_S
    while not holds():
        assert watcher.running, watcher.log.read_text()[-2000:]
        assert time.monotonic() < until
        time.sleep(0.1)


def current(reports: Sequence[Dataset]) -> list[str]:
    """Return the SOP Instance UIDs of the reports that no other report replaces."""
    replaced = {
        str(one.ReferencedSOPInstanceUID)
        for report in reports
        for document in report.get("PredecessorDocumentsSequence", ())
        for series in document.ReferencedSeriesSequence
        for one in series.ReferencedSOPSequence
    }
    return [str(report.SOPInstanceUID) for report in reports if str(report.SOPInstanceUID) not in replaced]


def free_port() -> int:
    """Return a port that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
