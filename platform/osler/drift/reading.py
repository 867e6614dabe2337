"""The watched values of archived images: headers without pixels, figures of the pixels, kept in the cache by content."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue

from osler.dicom.decoding import decode
from osler.dicom.pixels import read_image
from osler.dicom.refusals import attempt, from_header_error, refusing
from osler.drift.arrived import Arrived
from osler.drift.image_statistics import displayed_statistics, stored_statistics
from osler.engine import EngineChoice
from osler_contracts.drift.fields import FIELDS, HEADER_FIELDS, IMAGE_FIELDS
from osler_contracts.drift.observations import Observations, observe
from osler_contracts.errors import OslerError

# Raised when a statistic changes its meaning: figures cached under another number are worked out again.
VERSION = 1

Values = dict[str, Any]
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class ValueCache:
    """Watched values by the content of the archived file; derived, so any of it may be deleted or damaged at any time.

    Attributes:
        folder: Folder of the cache, such as `workspace.cache`.
    """

    folder: Path

    def load(self, sha256: str) -> Values | None:
        """Return the values of a file, None where they are not held."""
        try:
            record = json.loads(self._path(sha256).read_text(encoding="utf-8"))
            values = record["values"]
            return dict(values) if record["sha256"] == _checksum(values) else None
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def save(self, sha256: str, values: Values) -> None:
        """Keep the values of a file; a cache that cannot be written, on a full disk say, costs time and nothing else."""
        path = self._path(sha256)
        scratch = path.with_suffix(f".{os.getpid()}")
        with suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            scratch.write_text(json.dumps({"sha256": _checksum(values), "values": values}), encoding="utf-8")
            os.replace(scratch, path)
        with suppress(OSError):
            scratch.unlink(missing_ok=True)

    def _path(self, sha256: str) -> Path:
        return self.folder / "drift" / str(VERSION) / sha256[:2] / f"{sha256}.json"


def observations_of(
    images: Sequence[Arrived], cache: Path, *, workers: int = 0, progress: Progress | None = None
) -> Observations:
    """Return the watched values of archived images, patients being the units.

    Args:
        images: Images in the order of arrival.
        cache: Folder of the cache.
        workers: Processes that decode images; 0 works in this one.
        progress: Called with the number of images done and of all images.
    """
    held = ValueCache(cache)
    rows = [held.load(image.sha256) for image in images]
    missing = [number for number, row in enumerate(rows) if row is None]
    with EngineChoice(workers=workers if missing else 0).open() as pool:
        answers = pool.map(read_values, [images[number].path for number in missing], _lost)
        for done, (number, values) in enumerate(zip(missing, answers, strict=True), 1):
            rows[number] = values
            held.save(images[number].sha256, values)
            if progress:
                progress(len(images) - len(missing) + done, len(images))
    columns = {name: [(row or {}).get(name) for row in rows] for name in FIELDS}
    return observe([image.patient for image in images], columns)


def read_values(path: Path) -> Values:
    """Read the watched values of one archived file; what cannot be decoded has no image statistics.

    Raises:
        OslerError: A refusal code where the file is gone or is no DICOM file.
    """
    return _header_values(path) | _image_values(path)


def _header_values(path: Path) -> Values:
    with refusing(from_header_error):
        dataset = dcmread(path, stop_before_pixels=True, specific_tags=list(HEADER_FIELDS))
        syntax = str(dataset.file_meta.TransferSyntaxUID)
    return {name: attempt(partial(_text, dataset, name), None) for name in HEADER_FIELDS} | {
        "TransferSyntaxUID": syntax
    }


def _image_values(path: Path) -> Values:
    try:
        found = displayed_statistics(read_image(path).values)
        with refusing(from_header_error):
            dataset = dcmread(path)
            if dataset.PhotometricInterpretation in ("MONOCHROME1", "MONOCHROME2"):
                bits, signed = int(dataset.BitsStored), bool(dataset.PixelRepresentation)
                found |= stored_statistics(decode(dataset, 0), bits, signed)
    except OslerError:
        return dict.fromkeys(IMAGE_FIELDS)
    return found


def _text(dataset: Dataset, name: str) -> str | None:
    """Return a header value as JSON keeps it, several values joined by a backslash."""
    value = dataset.get(name)
    if value is None:
        return None
    return "\\".join(str(item) for item in value) if isinstance(value, MultiValue) else str(value)


def _lost(path: Path, *_: object) -> Values:
    """Answer for a file whose decoder ended its process: its header is harmless and is read here."""
    return _header_values(path) | dict.fromkeys(IMAGE_FIELDS)


def _checksum(values: Values) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()
