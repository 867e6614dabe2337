"""Being sent studies by C-STORE: the spool is both the feed and where files are fetched from.

A file is acknowledged when the disk has it, in a folder of its study. It stays until the archive or the quarantine has it.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from pydicom import dcmread
from pynetdicom import evt
from pynetdicom.events import Event

from osler.dicom.refusals import attempt
from osler.sources.dimse import Tls, serve
from osler.sources.inbox import NO_RESOURCES, SUCCESS, keep, streaming_into
from osler.sources.spool import Spool
from osler.sources.studies import SAFE_UID, Listed
from osler.sources.web_client import Patience
from osler.watch.feeds.base import Batch, Change
from osler.workspace import Workspace

NOT_UNDERSTOOD = 0xC000
SENDER = "sender"
_HEADER = ["StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"]


@dataclass(frozen=True)
class ListenerOptions:
    """Whom to hear, and when to say that there is no room.

    Attributes:
        title: Own AE title.
        callers: AE titles that may call; all where it is empty.
        most: Files that may wait; beyond, senders are told to come back.
        least_free: Bytes that must stay free on the disk.
        tls: TLS, None for plain DICOM.
        patience: Timeouts of associations.
    """

    title: str
    callers: Sequence[str] = ()
    most: int = 20_000
    least_free: int = 0
    tls: Tls | None = None
    patience: Patience = field(default_factory=Patience)


class ListenerFeed:
    """What is sent to us.

    Args:
        host: Address to listen at.
        port: Its port, 0 for a free one.
        workspace: Where the spool lies.
        options: Whom to hear.

    Raises:
        OslerError: `address-occupied`, `login-invalid`, `workspace-occupied`.
    """

    def __init__(self, host: str, port: int, workspace: Workspace, options: ListenerOptions) -> None:
        self.name = f"listener {options.title}"
        self._options = options
        self._spool = Spool(workspace, "watch-listener", keep=True)
        with ExitStack() as stack:
            stack.enter_context(self._spool)
            stack.enter_context(streaming_into(self._spool.folder / "receiving"))
            self._waiting = sum(1 for _ in self._spool.folder.glob("study-*/*.dcm"))
            server = serve(
                (host, port),
                options.title,
                callers=options.callers,
                tls=options.tls,
                patience=options.patience,
                handlers=[(evt.EVT_C_STORE, self._store)],
            )
            stack.callback(server.shutdown)
            self.port = int(server.server_address[1])
            self._stack = stack.pop_all()

    def changes(self, since: str, most: int) -> Batch:
        """Return the studies that have files here, marked by how many came so far; see `Feed.changes`."""
        found = [change for folder in sorted(self._spool.folder.glob("study-*")) if (change := _change(folder))]
        self._waiting = sum(1 for _ in self._spool.folder.glob("study-*/*.dcm"))
        return Batch(tuple(found), since)

    def close(self) -> None:
        """Hang up."""
        self._stack.close()

    def instances(self, study: str) -> list[Listed]:
        """List what lies here of a study; see `Fetcher`."""
        return sorted({item for _, item in self._of(study)})

    def fetch(self, wanted: Sequence[Listed], folder: Path) -> list[Path]:
        """Link files into a folder under the names that they have here; see `Fetcher`."""
        asked, files = set(wanted), []
        for path, item in self._of(wanted[0].study):
            if item in asked:
                os.link(path, folder / path.name)
                files.append(folder / path.name)
        return files

    def taken(self, study: str, files: Sequence[str]) -> None:
        """Drop files that are archived or in quarantine; see `Fetcher`."""
        for name in files:
            (self._folder(study) / name).unlink(missing_ok=True)

    def drop(self, study: str) -> None:
        """Remove what lies here of a study; see `Fetcher`."""
        for path in self._folder(study).glob("*.dcm"):
            path.unlink(missing_ok=True)

    def _of(self, study: str) -> list[tuple[Path, Listed]]:
        return [(path, item) for path in sorted(self._folder(study).glob("*.dcm")) if (item := _listed(path))]

    def _folder(self, study: str) -> Path:
        return self._spool.folder / f"study-{hashlib.sha256(study.encode()).hexdigest()[:40]}"

    def _store(self, event: Event) -> int:
        received = Path(event.dataset_path)
        free = shutil.disk_usage(self._spool.folder).free
        item = _listed(received)
        if item is None or self._waiting >= self._options.most or free < self._options.least_free:
            received.unlink(missing_ok=True)
            return NOT_UNDERSTOOD if item is None else NO_RESOURCES
        folder, sender = self._folder(item.study), str(event.assoc.requestor.ae_title).strip()

        def place(uid: str) -> Path:  # a disk that fails here is answered as one that fails later
            folder.mkdir(mode=0o700, exist_ok=True)
            (folder / SENDER).write_text(sender, encoding="ascii", errors="replace")
            return folder / f"{time.time_ns():020d}-{hashlib.sha256(uid.encode()).hexdigest()[:16]}.dcm"

        status = keep(event, place)
        self._waiting += status == SUCCESS
        return status


def _listed(path: Path) -> Listed | None:
    """Return what a file is, None for what is no DICOM or has no UIDs."""
    header = attempt(lambda: dcmread(path, specific_tags=_HEADER, stop_before_pixels=True), None)
    uids = [] if header is None else [str(attempt(lambda name=name: header.get(name), None) or "") for name in _HEADER]  # type: ignore[misc]
    return Listed(*uids) if uids and all(SAFE_UID.fullmatch(uid) for uid in uids) else None


def _change(folder: Path) -> Change | None:
    paths = sorted(folder.glob("*.dcm"))
    item = _listed(paths[-1]) if paths else None
    if item is None:
        return None
    sender = folder / SENDER
    title = sender.read_text(encoding="ascii", errors="replace") if sender.is_file() else ""
    return Change(item.study, mark=paths[-1].name[:64], title=title)
