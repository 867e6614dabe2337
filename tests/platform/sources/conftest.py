"""Small DICOM files for sources, and a way to take one whole."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO

import pytest
from pydicom.dataset import Dataset

from osler.ingest.source import Arrival, Source

KEY = b"k" * 32
Taken = list[tuple[bytes | None, str]]


def _take(source: Source) -> Taken:
    """Take every arrival, settle it at once, and return content and code of refusal of each."""
    taken: Taken = []
    with source:
        for arrival in source:
            taken.append(_seen(arrival))
            source.settled([arrival])
    return taken


def _seen(arrival: Arrival) -> tuple[bytes | None, str]:
    content = arrival.path.read_bytes() if arrival.path.is_file() else None
    return content, str(arrival.refused.code) if arrival.refused else ""


@pytest.fixture(scope="session")
def take() -> Callable[[Source], Taken]:
    """Return what takes a source whole."""
    return _take


@pytest.fixture(scope="session")
def file_bytes(make_radiograph: Callable[..., Dataset]) -> Callable[..., bytes]:
    """Return a maker of files of small radiographs."""

    def make(number: int, **values: object) -> bytes:
        stream = BytesIO()
        make_radiograph(number, **values).save_as(stream, enforce_file_format=True)
        return stream.getvalue()

    return make
