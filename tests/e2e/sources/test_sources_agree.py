"""One set of studies by every way into the archive: folder, zip, DICOMDIR, DICOMweb, C-MOVE, C-GET and C-STORE."""

from __future__ import annotations

import shutil
import subprocess
import threading
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from osler.ingest import IngestSummary, ingest
from osler.sources.listener import ListenerSource
from osler.sources.opening import SourceOptions, open_source
from osler.workspace import Workspace
from osler_contracts.errors import OslerError

from .conftest import Content, Orthanc, free_port

KEY = b"k" * 32
WAYS = ("folder", "zip", "dicomdir", "dicomweb", "move", "get", "store")

pytestmark = [pytest.mark.system, pytest.mark.slow]


def take(source: str, workspace: Workspace, **options: Any) -> IngestSummary:
    """Ingest a source as the command does."""
    opened = open_source(source, workspace=workspace, site="a", key=KEY, options=SourceOptions(**options))
    return _ingest(opened, workspace)


def _ingest(opened: Any, workspace: Workspace) -> IngestSummary:
    return ingest(opened, site="a", workspace=workspace, key=KEY, workers=0, today=date(2026, 1, 1))


def by_store(orthanc: Orthanc, workspace: Workspace, count: int) -> IngestSummary:
    """Have Orthanc send everything to a listener."""
    port = free_port()
    orthanc.know("OSLER", port)
    options = SourceOptions(callers=("ORTHANC",), until=count, idle_s=60)
    opened = open_source(f"listen://OSLER@127.0.0.1:{port}", workspace=workspace, site="a", key=KEY, options=options)
    assert isinstance(opened, ListenerSource)

    def send() -> None:
        for _ in range(100):
            try:
                orthanc.send("OSLER")
                return
            except OSError:  # the listener is not there yet
                time.sleep(0.2)

    threading.Thread(target=send, daemon=True).start()
    return _ingest(opened, workspace)


def make_medium(films: Path, folder: Path) -> Path:
    """Write the films as a File-set with DCMTK."""
    folder.mkdir()
    names = []
    for number, film in enumerate(sorted(film for film in films.rglob("*.dcm"))):
        names.append(f"IM{number:04d}")
        shutil.copy(film, folder / names[-1])
    subprocess.run(["dcmmkdir", "+I", "-Nxc", "+W", *names], cwd=folder, check=True, capture_output=True)
    (folder / "viewer.exe").write_bytes(b"MZ")
    return folder / "DICOMDIR"


def test_every_way_gives_the_same_archive(
    films: Path, orthanc: Orthanc, content: Callable[[Workspace], Content], tmp_path: Path
) -> None:
    files = sorted(films.rglob("*.dcm"))
    for film in files:
        orthanc.put(film)
    receive = free_port()
    orthanc.know("OSLER", receive)
    pacs = f"dicom://ORTHANC@127.0.0.1:{orthanc.dicom_port}"
    archives = {}
    for way in WAYS:
        workspace = Workspace.open(tmp_path / way, create=True)
        if way == "folder":
            summary = take(str(films), workspace)
        elif way == "zip":
            summary = take(shutil.make_archive(str(tmp_path / "films"), "zip", films), workspace)
        elif way == "dicomdir":
            summary = take(str(make_medium(films, tmp_path / "medium")), workspace)
        elif way == "dicomweb":
            summary = take(orthanc.dicomweb, workspace, page=5)
        elif way == "move":
            summary = take(pacs, workspace, retrieve="move", receive=("127.0.0.1", receive))
        elif way == "get":
            summary = take(pacs, workspace, retrieve="get")
        else:
            summary = by_store(orthanc, workspace, len(files))
        assert (summary.received, summary.quarantined, summary.duplicates) == (len(files), 0, 0), way
        archives[way] = content(workspace)
        assert list((workspace.root / "spool").rglob("*.dcm")) == []
    objects, rows = archives["folder"]
    assert len(objects) == len(rows["instances"]) == len(files)
    for way in WAYS[1:]:
        assert archives[way] == (objects, rows), way


def test_what_came_one_way_is_a_duplicate_by_every_other(
    films: Path, orthanc: Orthanc, content: Callable[[Workspace], Content], tmp_path: Path
) -> None:
    files = sorted(films.rglob("*.dcm"))[:5]
    workspace = Workspace.open(tmp_path / "workspace", create=True)
    (tmp_path / "some").mkdir()
    for film in files:
        orthanc.put(film)
        shutil.copy(film, tmp_path / "some" / f"{film.parent.name}-{film.name}")
    assert take(f"dicom://ORTHANC@127.0.0.1:{_known(orthanc)}", workspace, retrieve="get").accepted == 5
    objects, _ = content(workspace)
    for source in (str(tmp_path / "some"), orthanc.dicomweb):
        summary = take(source, workspace)
        assert (summary.accepted, summary.quarantined, summary.duplicates) == (0, 0, 5)
    assert content(workspace)[0] == objects


def test_a_wrong_password_and_the_servers_own_root(
    orthanc: Orthanc, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = Workspace.open(tmp_path / "workspace", create=True)
    for query in ({}, {"StudyDate": "20240101"}):
        with pytest.raises(OslerError) as caught:
            take(orthanc.rest, workspace, query=query)
        assert str(caught.value.code) == "not-dicomweb"
    monkeypatch.setenv("OSLER_DICOMWEB_PASSWORD", "wrong")
    with pytest.raises(OslerError) as caught:
        take(orthanc.dicomweb, workspace)
    assert str(caught.value.code) == "source-refused-login"


def _known(orthanc: Orthanc) -> int:
    orthanc.know("OSLER", free_port())
    return orthanc.dicom_port
