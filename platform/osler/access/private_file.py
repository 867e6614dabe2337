"""A file of records that its owner alone can read: read once for each state of it, changed under a lock, written whole."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Generic, TypeVar

from pydantic import AfterValidator, ConfigDict, TypeAdapter

from osler.files import file_stamp, locked, write_privately
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError, from_os_error

VERSION = 1

Record = TypeVar("Record")


def _has_zone(text: str) -> str:
    if datetime.fromisoformat(text).tzinfo is None:
        raise ValueError("has no time zone")
    return text


Moment = Annotated[str, AfterValidator(_has_zone)]
"""A moment in ISO 8601, with its zone."""


@dataclass(frozen=True)
class Content(Generic[Record]):
    """What such a file holds.

    Attributes:
        title: The file, as a sentence begins with it.
        name: What its records are called in the file.
        records: Their form.
        key: What tells them apart.
    """

    title: str
    name: str
    records: TypeAdapter[list[Record]]
    key: Callable[[Record], str]


STRICT = ConfigDict(extra="forbid")


class PrivateFile(Generic[Record]):
    """A file with records of one form, which are dataclasses.

    Args:
        path: The file; one that is not there holds no records.
        content: What it holds.
    """

    def __init__(self, path: Path, content: Content[Record]) -> None:
        self.path, self._content = path, content
        self._held: tuple[object, dict[str, Record]] | None = None

    def read(self) -> Mapping[str, Record]:
        """Return the records by key.

        Raises:
            OslerError: `access-invalid` where the file can be read by others or is not one of ours.
        """
        stamp = file_stamp(self.path)
        if self._held is None or self._held[0] != stamp:
            self._held = (stamp, self._read() if any(stamp) else {})
        return self._held[1]

    @contextmanager
    def changing(self) -> Iterator[dict[str, Record]]:
        """Yield the records under a lock; what was changed is on disk at the end, whole or not at all.

        Raises:
            OslerError: As `read`; `disk-full` and the like.
        """
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with locked(self.path.with_name(f".{self.path.name}.lock")):
                records = dict(self.read())
                yield records
                write_privately(self.path, self._written(records))
        except OSError as error:
            raise from_os_error(error) from None

    def _read(self) -> dict[str, Record]:
        title = self._content.title
        try:
            content: Any = json.loads(read_private(self.path, title))
            if content["version"] != VERSION:
                raise access_invalid(f"{title} is of another version of Osler.", "Use the version that wrote it.")
            found = self._content.records.validate_python(content[self._content.name])
        except (ValueError, KeyError, TypeError, RecursionError):
            raise unreadable(title) from None
        return {self._content.key(one): one for one in found}

    def _written(self, records: Mapping[str, Record]) -> bytes:
        listed = self._content.records.dump_python([records[key] for key in sorted(records)])
        content = {"version": VERSION, self._content.name: listed}
        return json.dumps(content, indent=2, ensure_ascii=False, default=sorted).encode() + b"\n"  # sets are sorted


def read_private(path: Path, title: str) -> str:
    """Return the text of a file that nobody but its owner can read.

    Args:
        path: The file.
        title: The file, as a sentence begins with it.

    Raises:
        OslerError: `access-invalid` where others can read it, or nobody.
    """
    try:
        if path.stat().st_mode & 0o077:
            raise access_invalid(f"{title} is open to other users.", f"Run `chmod 600` on {path.name}.")
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        raise unreadable(title) from None


def unreadable(title: str) -> OslerError:
    """Return the error of a file that is not as Osler wrote it."""
    return access_invalid(f"{title} cannot be read.", "Check its permissions, or put its last good copy back.")


def access_invalid(message: str, mend: str) -> OslerError:
    """Return an `access-invalid` error."""
    return OslerError(Code.ACCESS_INVALID, message, mend)
