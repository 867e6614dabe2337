"""The images that a DICOMDIR names (PS3.10 8.6, PS3.3 F); files beside it that it does not name are not taken.

Records are read in their order in the sequence, not along their offsets as pydicom's FileSet does: its walk never ends
on offsets that lead in a circle, and it leaves out records whose file has no valid name without a word.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Self

from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.uid import MediaStorageDirectoryStorage

from osler.dicom.refusals import attempt, from_header_error, refusal, refusing
from osler.ingest.source import Arrival
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

_INACTIVE = 0  # Record In-use Flag (0004,1410)


class DicomdirSource:
    """The files of a DICOM File-set, in the order of their paths.

    Args:
        path: The DICOMDIR.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._named: list[tuple[str, ...]] = []

    @property
    def total(self) -> int:
        """Number of files that it names."""
        return len(self._named)

    def __enter__(self) -> Self:
        """Read the DICOMDIR.

        Raises:
            OslerError: `source-missing`, `source-invalid` where it is none, `empty-source` where it names no file.
        """
        self._named = sorted(set(_file_ids(_read(self._path))))
        if not self._named:
            raise OslerError(
                Code.EMPTY_SOURCE, "The DICOMDIR names no file.", "Ingest the folder that holds the images instead."
            )
        return self

    def __exit__(self, *_: object) -> None:
        self._named = []

    def __iter__(self) -> Iterator[Arrival]:
        """Yield each file, or its refusal: `file-missing`, or `path-outside` where it lies beyond the medium."""
        for names in self._named:
            yield self._arrival(names)

    def settled(self, arrivals: Sequence[Arrival]) -> None:
        """Nothing was spooled."""

    def _arrival(self, names: tuple[str, ...]) -> Arrival:
        root = self._path.parent
        # One refused name must be told from another, and none may be joined to a path.
        if any(name in ("", ".", "..") or "/" in name or "\0" in name for name in names):
            return Arrival(root / f"refused-{self._named.index(names)}", refusal(Code.PATH_OUTSIDE))
        path = _find(root, names)
        if path is None:
            return Arrival(root.joinpath(*names), refusal(Code.FILE_MISSING))
        if not path.resolve().is_relative_to(root.resolve()):
            return Arrival(path, refusal(Code.PATH_OUTSIDE))
        return Arrival(path)


def is_dicomdir(path: Path) -> bool:
    """Return whether a file is a DICOMDIR, by its name or its SOP Class."""
    if path.name.upper() == "DICOMDIR":
        return True
    return attempt(lambda: _is_directory(_header(path)), False)


def _read(path: Path) -> Dataset:
    if not path.is_file():
        raise OslerError(Code.SOURCE_MISSING, f"There is no file {path}.", "Check the path.")
    try:
        with warnings.catch_warnings(), refusing(from_header_error):
            warnings.simplefilter("ignore")
            directory = dcmread(path)
            if _is_directory(directory) and "DirectoryRecordSequence" in directory:
                return directory
    except OslerError:
        pass
    raise OslerError(
        Code.SOURCE_INVALID,
        f"{path} is no DICOMDIR, or a damaged one.",
        "Ingest the folder that holds the images instead.",
    )


def _header(path: Path) -> Dataset:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return dcmread(path, specific_tags=["SOPClassUID"], stop_before_pixels=True)


def _is_directory(dataset: Dataset) -> bool:
    return bool(dataset.file_meta.get("MediaStorageSOPClassUID") == MediaStorageDirectoryStorage)


def _file_ids(directory: Dataset) -> Iterator[tuple[str, ...]]:
    """Yield Referenced File ID (0004,1500) of each record in use: the components of a path from the DICOMDIR."""
    for record in directory.DirectoryRecordSequence:
        value = attempt(lambda record=record: record.get("ReferencedFileID"), None)  # type: ignore[misc]
        if value and attempt(lambda record=record: record.get("RecordInUseFlag"), None) != _INACTIVE:  # type: ignore[misc]
            yield tuple(map(str, value)) if isinstance(value, (MultiValue, list)) else (str(value),)


def _find(root: Path, names: Sequence[str]) -> Path | None:
    """Return the file of a path, letters in either case: systems mount ISO 9660 media in lower case."""
    path = root
    for name in names:
        exact = path / name
        if not exact.exists():
            matches = sorted(item for item in _entries(path) if item.name.lower() == name.lower())
            if not matches:
                return None
            exact = matches[0]
        path = exact
    return path if path.is_file() else None


def _entries(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError:
        return []
