"""Sealed records: what was written comes back, and nothing else does."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from osler.seals import opened, written

FORM = "osler-example/1"
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@given(held=st.dictionaries(st.text().filter(lambda name: name not in ("format", "sha256")), values))
def test_a_record_comes_back_as_it_was(held: dict[str, Any]) -> None:
    record = {**held, "format": FORM}
    assert opened(written(record), FORM) == record


@given(place=st.integers(min_value=0), bit=st.integers(0, 7))
def test_a_changed_bit_is_refused(place: int, bit: int) -> None:
    content = bytearray(written({"format": FORM, "weights": [0.25, -1.5], "name": "für das Herz"}))
    content[place % len(content)] ^= 1 << bit
    with pytest.raises(ValueError):  # noqa: PT011 - a SealError, or what JSON itself says
        opened(bytes(content), FORM)


@pytest.mark.parametrize("content", [b"", b"[]", b"null", b"[" * 60_000, b'{"a":' * 60_000, b"\xff\xfe"])
def test_what_is_no_record_is_refused(content: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - a SealError, or what JSON itself says
        opened(content, FORM)
