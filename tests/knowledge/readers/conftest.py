"""What the tests of the readers share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from osler_knowledge.corpus import Entry
from osler_knowledge.readers.base import Limits, Options, Refusal
from osler_knowledge.readers.read import AUTO, read

SMALL = Limits(record=1000, text=5000, ratio=50)


@pytest.fixture
def given(tmp_path: Path) -> Callable[..., list[Entry | Refusal]]:
    """Write one file and read it."""

    def one(name: str, content: str | bytes, options: Options | None = None, form: str = AUTO) -> list[Entry | Refusal]:
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return list(read([path], options or Options(), form))

    return one
