"""Where the lines of reviews lie: in a file of the workspace, or in a table of its database."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from osler.database_address import address_of, check_in_files
from osler.files import append_line, file_stamp, locked_lines
from osler.workspace import Workspace
from osler_contracts.errors import from_os_error

FILE = "reviews.jsonl"
REDACTED = b'{"redacted":true}'


class Held(Protocol):
    """The lines while nobody else appends."""

    def lines(self, study: str) -> bytes:
        """Return the lines, those of one study at least."""

    def append(self, study: str, record: Mapping[str, Any]) -> None:
        """Add a record as a line; it lasts when the lines are let go."""


class ReviewStore(Protocol):
    """Where a workspace keeps its reviews."""

    def __hash__(self) -> int:
        """What was read is kept by the place that it was read from."""

    def appending(self) -> AbstractContextManager[Held]:
        """Hold the lines."""

    def read(self) -> bytes:
        """Return all lines."""

    def stamp(self) -> tuple[object, ...]:
        """Return something that changes with each line."""

    def redact(self, names: Sequence[str]) -> int:
        """Overwrite lines that hold one of the names; return how many."""


def store_of(workspace: Workspace) -> ReviewStore:
    """Return where a workspace keeps its reviews."""
    if address_of(workspace) is None:
        return ReviewFile(workspace)
    from osler.database import open_database
    from osler.feedback.table import ReviewTable

    return ReviewTable(open_database(workspace))


def reviews_stamp(workspace: Workspace) -> tuple[object, ...]:
    """Return something that changes with each review, for those who keep what they read."""
    return store_of(workspace).stamp()


@dataclass(frozen=True)
class ReviewFile:
    """The reviews in a file, appended under a lock."""

    workspace: Workspace

    @property
    def path(self) -> Path:
        """The file."""
        return self.workspace.feedback / FILE

    @contextmanager
    def appending(self) -> Iterator[Held]:
        """Hold the file."""
        with locked_lines(self.path) as stream:
            check_in_files(self.workspace)
            yield _HeldFile(stream)

    def read(self) -> bytes:
        """Return all lines; a last one may have been cut off by a crash."""
        try:
            return self.path.read_bytes()
        except FileNotFoundError:
            return b""

    def stamp(self) -> tuple[object, ...]:
        """Return size, time and number of the file."""
        return file_stamp(self.path)

    def redact(self, names: Sequence[str]) -> int:
        """Overwrite lines that hold one of the names."""
        return redact_lines(self.path, names)


@dataclass(frozen=True)
class _HeldFile:
    stream: BinaryIO

    def lines(self, study: str) -> bytes:
        """Return all lines."""
        self.stream.seek(0)
        return self.stream.read()

    def append(self, study: str, record: Mapping[str, Any]) -> None:
        """Add a line, on disk when this returns."""
        append_line(self.stream, record)


def redact_lines(path: Path, names: Sequence[str]) -> int:
    """Overwrite lines that hold a name by an entry of the same length: readers and writers may have the file open."""
    wanted = [name.encode() for name in names]
    if not path.exists() or not wanted:
        return 0
    count = 0
    try:
        with path.open("r+b") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX)
            start = 0
            for line in stream.read().splitlines(keepends=True):
                if any(name in line for name in wanted):
                    stream.seek(start)
                    stream.write(REDACTED.ljust(len(line.rstrip(b"\n"))))
                    count += 1
                start += len(line)
            stream.flush()
            os.fsync(stream.fileno())
    except OSError as error:
        raise from_os_error(error) from error
    return count


def encoded(record: Mapping[str, Any]) -> str:
    """Return a record as its line: ASCII, so that no database stumbles over a character."""
    return json.dumps(record, sort_keys=True)
