"""A zip of DICOM files: each member is unpacked to the spool when its turn comes, and dropped when it is settled.

A member's name orders it and is never a path. Nothing is believed that the zip declares of itself: sizes are checked
while unpacking, and the checksum afterwards.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Self

from osler.dicom.refusals import refusal
from osler.ingest.source import Arrival
from osler.sources.spool import CHUNK, Spool
from osler.workspace import Workspace
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError, from_os_error

MOST_MEMBERS = 1_000_000
# Up to here a zip may unpack to anything: blank images shrink a thousandfold. Beyond, no collection of images does.
FREE_BYTES = 256 << 20
MOST_RATIO = 200
_ENCRYPTED = 0x1
_ENCRYPTED_NAMES = 0x2000
# What `zipfile` raises on a damaged member; NotImplementedError and RuntimeError are its words for a method of compression
# that it lacks. Such a member is refused.
_DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError)


class ZipSource:
    """The members of a zip, in the order of their names.

    Args:
        path: The zip.
        workspace: Where members are spooled.
    """

    def __init__(self, path: Path, workspace: Workspace) -> None:
        self._path = path
        self._spool = Spool(workspace, "zip")
        self._zip: zipfile.ZipFile | None = None
        self._members: list[zipfile.ZipInfo] = []
        self._packed = self._unpacked = 0

    @property
    def total(self) -> int:
        """Number of members that are no folders."""
        return len(self._members)

    def __enter__(self) -> Self:
        """Open the zip.

        Raises:
            OslerError: `source-missing`, `source-invalid`, `empty-source`, `zip-bomb` for too many members,
                `unreadable`, `workspace-occupied`.
        """
        self._zip = _open(self._path)
        try:
            members = [member for member in self._zip.infolist() if not member.is_dir()]
            _check_members(members)
            self._members = sorted(members, key=lambda member: (PurePosixPath(member.filename), member.header_offset))
            self._spool.__enter__()
        except BaseException:
            self._zip.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._spool.__exit__()
        if self._zip is not None:
            self._zip.close()
            self._zip = None

    def __iter__(self) -> Iterator[Arrival]:
        """Yield each member, unpacked, or refused with `zip-bomb`, `zip-damaged`, `zip-encrypted` or `path-outside`."""
        for member in self._members:
            path = self._spool.path(f"{member.header_offset} {member.filename}")
            yield Arrival(path, self._unpack(member, path))

    def settled(self, arrivals: Sequence[Arrival]) -> None:
        """Drop the unpacked members."""
        self._spool.drop(arrival.path for arrival in arrivals)

    def _unpack(self, member: zipfile.ZipInfo, path: Path) -> OslerError | None:
        if member.flag_bits & (_ENCRYPTED | _ENCRYPTED_NAMES):
            return refusal(Code.ZIP_ENCRYPTED)
        packed, unpacked = self._packed + member.compress_size, self._unpacked + member.file_size
        if unpacked > max(FREE_BYTES, MOST_RATIO * packed):
            return refusal(Code.ZIP_BOMB)
        try:
            self._spool.write(path, self._chunks(member))
        except _DAMAGE:
            return refusal(Code.ZIP_DAMAGED)
        self._packed, self._unpacked = packed, unpacked
        return refusal(Code.PATH_OUTSIDE) if _leads_out(member.filename) else None

    def _chunks(self, member: zipfile.ZipInfo) -> Iterator[bytes]:
        assert self._zip is not None
        # `zipfile` stops at the declared size and compares the checksum there: a member that lies about its size is
        # cut and found damaged, and never fills the disk.
        try:
            with self._zip.open(member) as stream:
                while chunk := stream.read(CHUNK):
                    yield chunk
        except OSError as error:
            raise zipfile.BadZipFile from error


def _open(path: Path) -> zipfile.ZipFile:
    if not path.is_file():
        raise OslerError(Code.SOURCE_MISSING, f"There is no file {path}.", "Check the path.")
    try:
        return zipfile.ZipFile(path)
    except OSError as error:
        raise from_os_error(error) from None
    except Exception:  # noqa: BLE001 - a hostile directory of members makes `zipfile` raise errors of many kinds
        raise OslerError(
            Code.SOURCE_INVALID, f"{path} is no zip, or a damaged one.", "Copy or export it again."
        ) from None


def _check_members(members: Sequence[zipfile.ZipInfo]) -> None:
    if not members:
        raise OslerError(Code.EMPTY_SOURCE, "The zip holds no file.", "Name the zip that holds the images.")
    if len(members) > MOST_MEMBERS:
        raise OslerError(
            Code.ZIP_BOMB,
            f"The zip has {len(members)} members; at most {MOST_MEMBERS} are taken.",
            "Unpack it by hand if you trust its sender, and ingest the folder.",
        )


def _leads_out(name: str) -> bool:
    """Return whether a name is absolute or climbs (PKWARE APPNOTE 4.4.17.1 forbids both), by either system's rules."""
    parts = name.replace("\\", "/").split("/")
    return ".." in parts or name.startswith(("/", "\\")) or (len(name) > 1 and name[1] == ":")
