"""Bounded streams: no line, record or compressed file takes more memory or time than the limits allow."""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from osler_contracts.codes import Code
from osler_contracts.errors import OslerError
from osler_knowledge.readers.base import Limits, refused, too_large

_STEP = 2**20


class Bounded(io.RawIOBase):
    """A file, decompressed where its name ends in `.gz`, that counts what it gives.

    Reading raises `document-too-large` where the file grows like a bomb, or where more than `limits.record` bytes are
    read without a call of `next_record`, once a reader has asked for that with `by_record`.
    """

    def __init__(self, path: Path, limits: Limits) -> None:
        self._raw = path.open("rb")
        self._stream: IO[bytes] = gzip.GzipFile(fileobj=self._raw) if path.suffix == ".gz" else self._raw  # type: ignore[assignment]
        self._packed = path.suffix == ".gz"
        self._limits, self._given, self._record = limits, 0, 0
        self.by_record = False

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Fill a buffer as far as the file goes; return the number of bytes."""
        chunk = self._stream.read(min(len(buffer), _STEP))
        buffer[: len(chunk)] = chunk
        self._given += len(chunk)
        self._record += len(chunk)
        if self._packed and self._given > max(self._limits.record, self._limits.ratio * self._raw.tell()):
            raise refused(
                Code.DOCUMENT_TOO_LARGE,
                f"The compressed file grows more than {self._limits.ratio} times.",
                "Decompress it and look at what is inside.",
            )
        if self.by_record and self._record > self._limits.record:
            raise too_large(self._limits)
        return len(chunk)

    def next_record(self) -> None:
        """Say that a record is done: the next one may be as long again."""
        self._record = 0

    def close(self) -> None:
        """Close the file, and what decompresses it."""
        self._stream.close()
        self._raw.close()
        super().close()


@contextmanager
def open_bounded(path: Path, limits: Limits) -> Iterator[Bounded]:
    """Open a file for reading; failures of the file system and of gzip become errors with a code.

    Raises:
        OslerError: `document-missing`, `document-invalid`, `document-too-large`.
    """
    try:
        with Bounded(path, limits) as stream:
            yield stream
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise refused(
            Code.DOCUMENT_INVALID, f"The compressed file is damaged ({type(error).__name__}).", "Fetch it again."
        ) from error
    except OSError as error:
        raise refused(
            Code.DOCUMENT_MISSING, f"The file cannot be read ({type(error).__name__}).", "Check path and permissions."
        ) from error


@contextmanager
def open_stream(path: Path, limits: Limits) -> Iterator[io.BufferedReader]:
    """Open a file as a buffered stream with the errors of `open_bounded`."""
    with open_bounded(path, limits) as raw:
        yield io.BufferedReader(raw, _STEP)


def lines(stream: io.BufferedReader, limits: Limits) -> Iterator[bytes | OslerError]:
    """Return the lines of a stream without their ends; the error in place of one that is too long."""
    while line := stream.readline(limits.record + 1):
        if len(line) <= limits.record or line.endswith(b"\n"):
            yield line.rstrip(b"\r\n")
            continue
        del line
        yield too_large(limits)
        while (rest := stream.readline(_STEP)) and not rest.endswith(b"\n"):
            pass
