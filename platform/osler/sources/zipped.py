"""A zip of DICOM files: each member is unpacked to the spool when its turn comes, and dropped when it is settled.

A member's name orders it and is never a path.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Self

from osler.dicom.refusals import refusal
from osler.ingest.source import Arrival
from osler.sources.spool import Spool
from osler.workspace import Workspace
from osler.zips import DAMAGE, LimitedZip, leads_out
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError


class ZipSource:
    """The members of a zip, in the order of their names.

    Args:
        path: The zip.
        workspace: Where members are spooled.
    """

    def __init__(self, path: Path, workspace: Workspace) -> None:
        self._path = path
        self._spool = Spool(workspace, "zip")
        self._zip: LimitedZip | None = None
        self._members: list[zipfile.ZipInfo] = []

    @property
    def total(self) -> int:
        """Number of members that are no folders."""
        return len(self._members)

    def __enter__(self) -> Self:
        """Open the zip.

        Raises:
            OslerError: As `LimitedZip`; `workspace-occupied`.
        """
        self._zip = LimitedZip(self._path)
        try:
            self._members = sorted(
                self._zip.members, key=lambda member: (PurePosixPath(member.filename), member.header_offset)
            )
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
        assert self._zip is not None
        if (code := self._zip.refused(member)) is not None:
            return refusal(code)
        try:
            self._spool.write(path, self._zip.chunks(member))
        except DAMAGE:
            return refusal(Code.ZIP_DAMAGED)
        return refusal(Code.PATH_OUTSIDE) if leads_out(member.filename) else None
