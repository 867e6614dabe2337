"""Receiving C-STORE (PS3.4 B): a data set goes to disk as it comes, and success is answered when the disk has it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import cast

from pynetdicom import _config, dimse_messages
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.events import Event

from osler.files import move_synced

SUCCESS, NO_RESOURCES, NOT_AUTHORISED = 0x0000, 0xA700, 0x0124
SPARE_BYTES = 256 << 20


@contextmanager
def streaming_into(folder: Path) -> Iterator[None]:
    """Have pynetdicom write what arrives into a folder, for the length of the block.

    It would collect each object in memory, or write to the system's temporary folder, where a kill leaves patients.
    The folder is emptied at both ends: what lies there was never acknowledged.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700)
    names = vars(dimse_messages)
    before = _config.STORE_RECV_CHUNKED_DATASET, names["NamedTemporaryFile"]
    _config.STORE_RECV_CHUNKED_DATASET = True
    names["NamedTemporaryFile"] = partial(NamedTemporaryFile, dir=folder)
    try:
        yield
    finally:
        _config.STORE_RECV_CHUNKED_DATASET, names["NamedTemporaryFile"] = before
        shutil.rmtree(folder, ignore_errors=True)


def keep(event: Event, place: Callable[[str], Path | None]) -> int:
    """Move a received object to its place on disk and return the status to answer.

    Args:
        event: `evt.EVT_C_STORE`, under `streaming_into`.
        place: Gives the path for a SOP Instance UID, on the same file system; None refuses it.
    """
    received = Path(event.dataset_path)
    request = cast(C_STORE, event.request)
    try:
        path = place(str(request.AffectedSOPInstanceUID))
        if path is None:
            received.unlink(missing_ok=True)
            return NOT_AUTHORISED
        if shutil.disk_usage(path.parent).free < SPARE_BYTES:
            received.unlink(missing_ok=True)
            return NO_RESOURCES
        descriptor = os.open(received, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        move_synced(received, path)
    except OSError:
        received.unlink(missing_ok=True)
        return NO_RESOURCES
    return SUCCESS
