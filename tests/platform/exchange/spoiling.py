"""One changed byte of a file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def flip(path: Path, where: float, by: int) -> bytes:
    """Change one byte of a file, at a fraction of its length, and return what it was."""
    content = path.read_bytes()
    place = int(where * len(content))
    path.write_bytes(content[:place] + bytes([content[place] ^ by]) + content[place + 1 :])
    return content


@contextmanager
def flipped(path: Path, where: float, by: int) -> Iterator[bytes]:
    """Change one byte of a file for the length of the block, which gets what the file was."""
    before = flip(path, where, by)
    try:
        yield before
    finally:
        path.write_bytes(before)
