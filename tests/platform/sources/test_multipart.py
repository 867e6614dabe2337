"""The first part of a multipart answer, however it is cut into chunks."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from osler.sources.multipart import IncompleteError, boundary_of, first_part

BOUNDARY = b"b0-und"
HEAD = b"--" + BOUNDARY + b"\r\nContent-Type: application/dicom\r\n\r\n"
TAIL = b"\r\n--" + BOUNDARY + b"--\r\n"
# Pieces of the boundary are likelier in these contents than in any image.
contents = st.lists(st.sampled_from([b"\r\n", b"\r", b"--", b"b0-", b"b0-un", b"\0\xff", b"x"]), max_size=12).map(
    b"".join
)


def chunked(data: bytes, sizes: list[int]) -> list[bytes]:
    chunks = []
    for size in sizes:
        chunks.append(data[:size])
        data = data[size:]
    return [*chunks, data]


@given(
    contents.filter(lambda content: BOUNDARY not in content), st.lists(st.integers(0, 9), max_size=30), st.booleans()
)
def test_content_comes_whole_however_it_is_cut(content: bytes, sizes: list[int], preamble: bool) -> None:
    message = (b"\r\n" if preamble else b"") + HEAD + content + TAIL
    got = b"".join(first_part(chunked(message, sizes), BOUNDARY))
    assert got == content


@given(st.binary(max_size=200).filter(lambda content: BOUNDARY not in content), st.integers(0, 200))
def test_an_answer_cut_off_is_never_whole(content: bytes, length: int) -> None:
    message = (HEAD + content + TAIL)[: min(length, len(HEAD) + len(content) + len(BOUNDARY) + 3)]
    with pytest.raises(IncompleteError):
        b"".join(first_part([message], BOUNDARY))


def test_headers_without_end_are_given_up() -> None:
    with pytest.raises(IncompleteError):
        b"".join(first_part((b"x" * 4096 for _ in range(1 << 20)), BOUNDARY))


def test_big_content_is_not_collected() -> None:
    block = bytes(1 << 16)
    pieces = list(first_part([HEAD, *[block] * 50, TAIL], BOUNDARY))
    assert sum(map(len, pieces)) == 50 << 16
    assert max(map(len, pieces)) < 3 << 16


@pytest.mark.parametrize(
    ("content_type", "boundary"),
    [
        ('multipart/related; type="application/dicom"; boundary=abc', b"abc"),
        ('Multipart/Related;boundary="a b;c"; type=application/dicom', b"a b;c"),
        ("multipart/related", None),
        ("application/json", None),
        ("", None),
    ],
)
def test_boundary(content_type: str, boundary: bytes | None) -> None:
    assert boundary_of(content_type) == boundary
