"""Zips of others, read under limits: nothing is believed that a zip declares of itself.

Sizes are checked while unpacking, and the checksum afterwards; a member's name is never used as a path here.
"""

from __future__ import annotations

import stat
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Self

from osler_contracts.codes import Code
from osler_contracts.errors import OslerError, from_os_error

CHUNK = 1 << 20
MOST_MEMBERS = 1_000_000
# Up to here a zip may unpack to anything: blank images shrink a thousandfold. Beyond, no collection of images does.
FREE_BYTES = 256 << 20
MOST_RATIO = 200
_ENCRYPTED = 0x1
_ENCRYPTED_NAMES = 0x2000
# What `zipfile` raises on a damaged member; NotImplementedError and RuntimeError are its words for a method of compression
# that it lacks. Such a member is refused.
DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError)


class LimitedZip:
    """An open zip whose members are read one by one, each only as far as the limits go.

    Attributes:
        members: Those that are no folders.
    """

    def __init__(self, path: Path, *, most: int | None = None) -> None:
        """Open a zip.

        Args:
            path: The file.
            most: So many members at most, `MOST_MEMBERS` where nothing is said.

        Raises:
            OslerError: `source-missing`, `source-invalid`, `empty-source`, `zip-bomb` for too many members, `unreadable`.
        """
        self._zip = _open(path)
        # Not `is_dir`: of a member without a name it asks the last letter.
        self.members = [member for member in self._zip.infolist() if not member.filename.endswith("/")]
        self._packed = self._unpacked = 0
        try:
            _check_members(self.members, MOST_MEMBERS if most is None else most)
        except OslerError:
            self._zip.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file."""
        self._zip.close()

    def refused(self, member: zipfile.ZipInfo) -> Code | None:
        """Return why a member is not to be read, by what it and those before it declare: `zip-encrypted` or `zip-bomb`."""
        if member.flag_bits & (_ENCRYPTED | _ENCRYPTED_NAMES):
            return Code.ZIP_ENCRYPTED
        packed, unpacked = self._packed + member.compress_size, self._unpacked + member.file_size
        return Code.ZIP_BOMB if unpacked > max(FREE_BYTES, MOST_RATIO * packed) else None

    def chunks(self, member: zipfile.ZipInfo) -> Iterator[bytes]:
        """Yield the content of a member that was not refused; it counts for those after it once it is read whole.

        Raises:
            One of `DAMAGE`: `zipfile` stops at the declared size and compares the checksum there, so that a member that
            lies about its size is cut and found damaged, and never fills the disk.
        """
        try:
            with self._zip.open(member) as stream:
                while chunk := stream.read(CHUNK):
                    yield chunk
        except OSError as error:
            raise zipfile.BadZipFile from error
        self._packed += member.compress_size
        self._unpacked += member.file_size


def leads_out(name: str) -> bool:
    """Return whether a name is absolute or climbs (PKWARE APPNOTE 4.4.17.1 forbids both), by either system's rules."""
    parts = name.replace("\\", "/").split("/")
    return ".." in parts or name.startswith(("/", "\\")) or (len(name) > 1 and name[1] == ":")


def is_plain_file(member: zipfile.ZipInfo) -> bool:
    """Return whether a member is a plain file and no link, device or pipe, as far as its system says what it is."""
    kind = stat.S_IFMT(member.external_attr >> 16)
    return kind in (0, stat.S_IFREG)


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


def _check_members(members: list[zipfile.ZipInfo], most: int) -> None:
    if not members:
        raise OslerError(Code.EMPTY_SOURCE, "The zip holds no file.", "Name the zip that holds the images.")
    if len(members) > most:
        raise OslerError(
            Code.ZIP_BOMB,
            f"The zip has {len(members)} members; at most {most} are taken.",
            "Unpack it by hand if you trust its sender, and name the folder.",
        )
