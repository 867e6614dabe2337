"""The one part of a `multipart/related` answer (RFC 2387, PS3.18 8.6.1), streamed: an image may not fit into memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from email.message import Message

MOST_HEADER = 1 << 16


class IncompleteError(Exception):
    """The answer ended before its part did, or is not in the format."""


def boundary_of(content_type: str) -> bytes | None:
    """Return the boundary that a Content-Type names, None where the answer is not `multipart/related`."""
    message = Message()
    message["Content-Type"] = content_type
    if message.get_content_type() != "multipart/related":
        return None
    boundary = message.get_param("boundary")
    return boundary.encode("latin-1") if isinstance(boundary, str) and boundary else None


def first_part(chunks: Iterable[bytes], boundary: bytes) -> Iterator[bytes]:
    """Yield the content of the first part, without its headers and boundaries.

    Args:
        chunks: The answer as it comes.
        boundary: The boundary of its Content-Type.

    Raises:
        IncompleteError: Where no boundary closes the part: the transfer was cut off.
    """
    stream = iter(chunks)
    held = _after_headers(stream, b"--" + boundary)
    delimiter = b"\r\n--" + boundary
    while (end := held.find(delimiter)) < 0:
        # What might be the beginning of the delimiter stays until the next chunk tells.
        safe = max(len(held) - len(delimiter) + 1, 0)
        if safe:
            yield bytes(held[:safe])
            del held[:safe]
        held += _next(stream)
    if end:
        yield bytes(held[:end])


def _after_headers(stream: Iterator[bytes], opening: bytes) -> bytearray:
    """Read on to the content of the first part and return what of it has come."""
    held = bytearray()
    while True:
        start = held.find(opening)
        end = held.find(b"\r\n\r\n", start) if start >= 0 else -1
        if end >= 0:
            return held[end + 4 :]
        if len(held) > MOST_HEADER:
            raise IncompleteError
        held += _next(stream)


def _next(stream: Iterator[bytes]) -> bytes:
    try:
        return next(stream)
    except StopIteration:
        raise IncompleteError from None
