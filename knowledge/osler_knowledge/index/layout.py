"""The folder of an index: which files it has, the marker without which it is none, and how it gets its place."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

VERSION = 1
MARKER = "osler-text-index.json"
DOCUMENTS, TEXTS = "documents.sqlite", "texts.bin"
SCORES, SNIPPETS, STARTS = "scores.npy", "snippets.npy", "starts.npy"
VECTORS = "vectors.npy"


@dataclass(frozen=True)
class Marker:
    """What an index says of itself, written last.

    Attributes:
        version: Version of this layout.
        corpus: SHA-256 over all documents, in order.
        entries: Number of documents.
        snippets: Number of passages.
        terms: Number of distinct words.
        files: Size of each file in bytes: a copy that was cut short is noticed.
        encoder: Name of what made the vectors; empty where there are none.
    """

    version: int
    corpus: str
    entries: int
    snippets: int
    terms: int
    files: dict[str, int]
    encoder: str = ""


def invalid(what: str) -> OslerError:
    """Return the error of a folder that cannot be used as an index."""
    return OslerError(Code.INDEX_INVALID, what, "Build it again with `osler knowledge index`.")


def write_marker(folder: Path, **facts: Any) -> Marker:
    """Measure the files of a finished index, sync them and write the marker."""
    paths = sorted(path for path in folder.iterdir() if path.is_file())
    for path in paths:
        _sync(path)
    marker = Marker(version=VERSION, files={path.name: path.stat().st_size for path in paths}, **facts)
    (folder / MARKER).write_text(json.dumps(asdict(marker), indent=1), encoding="utf-8")
    _sync(folder / MARKER)
    _sync(folder)
    return marker


def read_marker(folder: Path, corpus: str | None = None) -> Marker:
    """Read the marker and hold the files against it.

    Args:
        folder: The index.
        corpus: Digest of the corpus that the caller means; any where None.

    Raises:
        OslerError: `index-invalid`.
    """
    try:
        found = json.loads((folder / MARKER).read_bytes())
        version = found["version"]
        marker = Marker(**found) if version == VERSION else None
    except FileNotFoundError:
        raise invalid(f"The folder {folder.name} holds no finished index.") from None
    except (OSError, ValueError, KeyError, TypeError):
        raise invalid(f"The marker of the index {folder.name} cannot be read.") from None
    if marker is None:
        raise invalid(f"The index {folder.name} has layout {version!r}; this Osler reads {VERSION}.")
    if corpus is not None and marker.corpus != corpus:
        raise invalid(f"The index {folder.name} was built from another corpus.")
    for name, size in marker.files.items():
        path = folder / name
        if not path.is_file() or path.stat().st_size != size:
            raise invalid(f"The index {folder.name} is damaged: {name} is missing or has another size.")
    return marker


@contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """Give a new folder to build in, and put it in the target's place only when the block ends without an error.

    Leavings of a build that was killed are removed; the target is another build's while its lock is held.

    Raises:
        OslerError: `workspace-occupied`; `index-invalid` where the target is there and is no index.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    with (target.parent / f".{target.name}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise OslerError(
                Code.WORKSPACE_OCCUPIED, "Another process builds this index.", "Wait for it, or use another name."
            ) from None
        if target.exists() and not (target / MARKER).is_file() and (not target.is_dir() or any(target.iterdir())):
            raise invalid(f"{target.name} is there and is no index, so it is left alone.")
        new, old = target.parent / f".{target.name}.new", target.parent / f".{target.name}.old"
        for leaving in (new, old):
            shutil.rmtree(leaving, ignore_errors=True)
        new.mkdir()
        try:
            yield new
            if target.exists():
                target.rename(old)
            new.rename(target)
            _sync(target.parent)
        finally:
            for leaving in (new, old):
                shutil.rmtree(leaving, ignore_errors=True)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
