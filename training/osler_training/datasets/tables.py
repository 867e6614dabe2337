"""From the rows of a data set's own table to `Images`: safe paths, missing files, patients, sexes, ages."""

from __future__ import annotations

import hashlib
import re
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, Literal

import numpy as np
import pandas as pd

from osler.bottleneck.feature_cache import image_key
from osler.dicomize.table import MAX_AGE_YEARS, SEXES
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError
from osler_training.datasets.images import COLUMNS, Images
from osler_training.datasets.reading import Loader, Reading

Missing = Literal["refuse", "skip"]
PLAIN = Reading()
NAMED = 5  # how many names a refusal shows
_UNITS = {"Y": 1.0, "M": 12.0, "W": 365.25 / 7, "D": 365.25}


def read_csv(path: Path, needed: Sequence[str] = (), **options: Any) -> pd.DataFrame:
    """Read a table as text, empty cells as "".

    Raises:
        OslerError: `source-missing`; `table-invalid` where it is no table, has no row, or lacks a column.
    """
    if not path.is_file():
        raise OslerError(Code.SOURCE_MISSING, f"There is no table {path}.", "Name the folder that holds it.")
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False, **options)
    except (ValueError, OSError, EOFError, zlib.error) as error:
        raise _invalid(f"{path.name} cannot be read as a table ({type(error).__name__}: {error}).") from error
    table.columns = [str(name).strip() for name in table.columns]
    if lacking := [name for name in needed if name not in table.columns]:
        raise _invalid(f"{path.name} has no column {', '.join(lacking)}; it has {', '.join(table.columns)}.")
    if table.empty:
        raise _invalid(f"{path.name} has no row.")
    stripped: pd.DataFrame = table.map(str.strip)
    return stripped


@dataclass
class Rows:
    """Rows of a table on their way to `Images`; every list has a place for each row that is kept.

    Attributes:
        name: Name of the data set: it goes before patient numbers, so that two sets never share a patient.
        root: Folder below which all images lie.
        missing: Whether a listed image that is not there, or a broken row, refuses the set or is left out and counted.
    """

    name: str
    root: Path
    missing: Missing = "refuse"
    table: list[dict[str, Any]] = field(default_factory=list)
    concepts: list[Mapping[str, float]] = field(default_factory=list)
    findings: list[Mapping[str, float]] = field(default_factory=list)
    faults: dict[Code, list[str]] = field(default_factory=dict)
    chosen_out: Counter[str] = field(default_factory=Counter)
    inverted: set[int] = field(default_factory=set)
    seen: set[Path] = field(default_factory=set)

    def __post_init__(self) -> None:
        if self.missing not in ("refuse", "skip"):
            raise OslerError(Code.USAGE, f"missing cannot be {self.missing!r}.", "Use refuse or skip.")

    def add(
        self,
        image: str,
        *,
        concepts: Mapping[str, float] | None = None,
        findings: Mapping[str, float] | None = None,
        attributes: Mapping[str, Any] | None = None,
        inverted: bool = False,
        **cells: Any,
    ) -> None:
        """Add a row: its image relative to the root, and its cells; those that are not given are empty.

        `attributes` are cells whose names come from a table. In an `inverted` image dense tissue is dark; it is turned when
        it is read.
        """
        try:
            path = inside(self.root, image)
            if path in self.seen:
                raise OslerError(Code.ROW_REPEATED, "The image is listed twice.", "")
            if not _is_file(path):
                raise OslerError(Code.IMAGE_MISSING, "There is no such image.", "")
        except OslerError as error:
            self.fault(error.code, image)
            return
        self.seen.add(path)
        if inverted:
            self.inverted.add(len(self.table))
        self.table.append({"path": path, **(attributes or {}), **cells})
        self.concepts.append(concepts or {})
        self.findings.append(findings or {})

    def fault(self, code: Code, what: str) -> None:
        """Note a row that cannot be taken."""
        self.faults.setdefault(code, []).append(what)

    def leave_out(self, reason: str) -> None:
        """Count a row that the options leave out, such as a lateral view."""
        self.chosen_out[reason] += 1

    def images(
        self,
        *,
        site: str = "",
        reading: Reading = PLAIN,
        concepts: Sequence[str] = (),
        findings: Sequence[str] = (),
    ) -> Images:
        """Return the images.

        Args:
            site: Site of the rows that name none.
            reading: How files become images.
            concepts: Identifiers of concepts, in order.
            findings: Names of findings, in order.

        Raises:
            OslerError: `path-outside` where a row leads out of the folder, always; `image-missing`, `row-invalid`,
                `row-repeated` where rows are faulty and are not to be skipped; `empty-source` where no row is left.
        """
        self._judge()
        paths = tuple(row["path"] for row in self.table)
        digests = file_digests(paths)
        table = pd.DataFrame(self.table).fillna("") if self.table else pd.DataFrame(columns=list(COLUMNS))
        for column in COLUMNS:
            if column not in table:
                table[column] = ""
        table["path"] = [str(path) for path in paths]
        load = Loader(paths, reading, frozenset(self.inverted))
        table["key"] = [image_key(digest, load.reading_of(row).record) for row, digest in enumerate(digests)]
        table["site"] = table["site"].replace("", site or self.name)
        table["patient_known"] = table["patient"].astype(str) != ""
        table["patient"] = [
            f"{self.name}:{patient}" if patient else f"{self.name}:image-{digest[:16]}"
            for patient, digest in zip(table["patient"], digests, strict=True)
        ]
        table["sex"] = [sex_of(value) for value in table["sex"]]
        table["age"] = np.array([years(value) for value in table["age"]], float)
        others = [name for name in table.columns if name not in COLUMNS]
        return Images(
            table=table[[*COLUMNS, *others]],
            concepts=pd.DataFrame(self.concepts, columns=list(concepts), dtype=float),
            findings=pd.DataFrame(self.findings, columns=list(findings), dtype=float),
            load=load,
            left_out={str(code): len(rows) for code, rows in sorted(self.faults.items())} | dict(self.chosen_out),
        )

    def _judge(self) -> None:
        for code, rows in self.faults.items():
            if self.missing == "refuse" or code is Code.PATH_OUTSIDE:
                shown = ", ".join(repr(row[:80]) for row in rows[:NAMED])
                raise OslerError(
                    code,
                    f"{_FAULTS[code].format(n=len(rows))} in {self.name}: {shown}{', ...' if len(rows) > NAMED else ''}.",
                    "Correct the table; such a path is never followed."
                    if code is Code.PATH_OUTSIDE
                    else "Complete the folder, or give missing=skip to leave such rows out and count them.",
                )
        if not self.table:
            raise OslerError(
                Code.EMPTY_SOURCE, f"No row of {self.name} is left.", "Check the folder and the options that choose."
            )


_FAULTS = {
    Code.PATH_OUTSIDE: "{n} rows lead out of the folder",
    Code.IMAGE_MISSING: "{n} listed images are missing",
    Code.ROW_INVALID: "{n} rows are broken",
    Code.ROW_REPEATED: "{n} images are listed twice",
}


def inside(root: Path, name: str) -> Path:
    """Return the path of an image that a table names; links that the owner of the folder placed are followed.

    Raises:
        OslerError: `row-invalid` where there is no name; `path-outside` where the name itself leads out of the folder.
    """
    if not name:
        raise OslerError(Code.ROW_INVALID, "A row names no image.", "")
    pure = PurePosixPath(name)
    if pure.is_absolute() or ".." in pure.parts or "\0" in name or "\\" in name or re.match("[A-Za-z]:", name):
        raise OslerError(Code.PATH_OUTSIDE, "The path leads out of the folder.", "")
    return root / pure


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # a name that no file can have
        return False


def file_digests(paths: Iterable[Path]) -> list[str]:
    """Return the SHA-256 of files, by several threads: reading waits for the disk."""
    with ThreadPoolExecutor(4) as pool:
        return list(pool.map(_file_digest, paths))


def _file_digest(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def sex_of(value: Any) -> str:
    """Return M, F, O, or "" for what says neither."""
    return SEXES.get(str(value).strip().lower(), "")


def years(value: Any) -> float:
    """Return an age in years; NaN for what is no plain age, such as `50+`, and beyond 130 years.

    Takes numbers and DICOM Age Strings (PS3.5 6.2: 058Y, 011M, 003W, 012D).
    """
    found = re.fullmatch(r"\s*(\d{1,3}(?:\.\d+)?)\s*([YMWD]?)\s*", str(value), re.IGNORECASE)
    if not found:
        return float("nan")
    age = float(found[1]) / _UNITS[found[2].upper() or "Y"]
    return age if age <= MAX_AGE_YEARS else float("nan")


def by_name(root: Path, patterns: Iterable[str], *, stem: bool = False) -> Callable[[str], str]:
    """Return a look-up from a file's name to its path below the root, for sets that spread images over folders.

    A name that no folder has comes back as it is, so that it is reported missing.

    Args:
        root: The folder.
        patterns: Where to look, as globs.
        stem: Whether names come without their suffix.
    """
    places: dict[str, str] = {}
    for pattern in patterns:
        for path in sorted(root.glob(pattern)):
            places.setdefault(path.stem if stem else path.name, path.relative_to(root).as_posix())
    return lambda name: places.get(name, name)


def records(table: pd.DataFrame) -> Iterator[dict[str, str]]:
    """Yield the rows of a table of text."""
    names = [str(name) for name in table.columns]
    for values in zip(*(table[name] for name in table.columns), strict=True):
        yield dict(zip(names, values, strict=True))


def first_file(root: Path, pattern: str) -> Path:
    """Return the first file that a glob finds, else the glob's own path, which `read_csv` reports missing."""
    return next(iter(sorted(root.glob(pattern))), root / pattern)


def names_in(path: Path, value: str) -> dict[str, str]:
    """Return the lines of a list of files, each with a value; empty where there is no list."""
    if not path.is_file():
        return {}
    return dict.fromkeys(path.read_text(encoding="utf-8").split(), value)


def _invalid(message: str) -> OslerError:
    return OslerError(Code.TABLE_INVALID, message, "Get the file again from the owners of the data set.")
