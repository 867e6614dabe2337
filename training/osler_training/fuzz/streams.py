"""Mutations of compressed pixel data: its fragments, its offset table, its codestream; and deflated bombs."""

from __future__ import annotations

import struct
import zlib

import numpy as np
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian

from osler_training.fuzz.elements import UNDEFINED, Layout
from osler_training.fuzz.mutations import MUTATIONS, Mutation, Random, bit_flips

_PIXEL_DATA = 0x7FE00010
_ITEM = b"\xfe\xff\x00\xe0"
_END = b"\xfe\xff\xdd\xe0"
_BOMB_BYTES = (1 << 20, 64 << 20, 1 << 30)


def offset_tables(layout: Layout, random: Random) -> bytes:
    """Fill the basic offset table with wrong offsets."""
    start = _encapsulated(layout)
    if start is None:
        return bit_flips(layout, random)
    count = int(random.integers(1, 5))
    offsets = random.integers(0, 2**32, size=count, dtype=np.uint64)
    if random.random() < 0.5:
        offsets = offsets % 1000
    table = b"".join(struct.pack("<L", int(offset)) for offset in offsets)[: 4 * count - int(random.integers(0, 2))]
    old = int.from_bytes(layout.content[start + 4 : start + 8], "little")
    rest = layout.content[start + 8 + old :]
    return layout.content[:start] + _ITEM + struct.pack("<L", len(table)) + table + rest


def fragments(layout: Layout, random: Random) -> bytes:
    """Give fragments wrong tags or lengths, split, repeat or drop them, or leave the delimiter out."""
    found = _fragments(layout)
    if len(found) < 2:
        return bit_flips(layout, random)
    start, stop = found[random.integers(1, len(found))]
    content = layout.content
    head, body = content[:start], content[start + 8 : stop]
    half = len(body) // 4 * 2
    split = b"".join(_ITEM + struct.pack("<L", len(part)) + part for part in (body[:half], body[half:]))
    kinds = [
        head
        + _ITEM
        + struct.pack("<L", int(random.choice([0, 1, len(body) + 2, 2**31, UNDEFINED])))
        + content[start + 8 :],
        head + random.bytes(4) + content[start + 4 :],
        head + split + content[stop:],
        content[:stop] + content[start:stop] + content[stop:],
        head + content[stop:],
        content.replace(_END + b"\0\0\0\0", b"", 1),
        head + _END + b"\0\0\0\0" + content[start:],
    ]
    return kinds[random.integers(len(kinds))]


def codestreams(layout: Layout, random: Random) -> bytes:
    """Damage a compressed frame: its head, its body, its end, or the size that it claims."""
    found = _fragments(layout)
    if len(found) < 2:
        return MUTATIONS["pixel_bit_flips"](layout, random)
    start, stop = found[random.integers(1, len(found))]
    body = bytearray(layout.content[start + 8 : stop])
    kind = int(random.integers(5))
    low, high = [(0, 100), (0, len(body)), (len(body) // 2, len(body)), (0, len(body)), (0, len(body))][kind]
    high = max(min(high, len(body)), low + 1)
    if kind == 3:  # markers in the middle
        at = int(random.integers(low, high))
        body[at : at + 2] = bytes([0xFF, int(random.integers(0xC0, 0x100))])
    elif kind == 4:  # the frame ends early and is filled up
        at = int(random.integers(low, high))
        body[at:] = b"\0" * (len(body) - at)
    else:
        for at in random.integers(low, high, size=int(random.integers(1, 6))):
            body[min(int(at), len(body) - 1)] ^= 1 << int(random.integers(8))
    return layout.content[: start + 8] + bytes(body) + layout.content[stop:]


def deflate_bombs(layout: Layout, random: Random) -> bytes:
    """Deflate the data set, with a long empty value in it, or with a damaged stream."""
    if layout.implicit or not layout.little or layout.syntax != ExplicitVRLittleEndian or not layout.places:
        return bit_flips(layout, random)
    size = int(random.choice(_BOMB_BYTES, p=[0.7, 0.25, 0.05]))
    first = layout.places[0].start
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    at = next((place.start for place in layout.places if place.tag > 0x00091010), len(layout.content))
    packed = [packer.compress(layout.content[first:at]), packer.compress(layout.element(0x00091010, "OB", b"", size))]
    packed += [packer.compress(b"\0" * (1 << 20)) for _ in range(size >> 20)]
    packed += [packer.compress(layout.content[at:]), packer.flush()]
    stream = b"".join(packed)
    if random.random() < 0.3:
        stream = stream[: int(random.integers(0, len(stream)))]
    old, new = (str(uid).encode() for uid in (ExplicitVRLittleEndian, DeflatedExplicitVRLittleEndian))
    meta = layout.content[:first]
    at = meta.find(old)
    room = len(old) + len(old) % 2
    meta = (
        meta[: at - 2] + struct.pack("<H", len(new) + len(new) % 2) + new + b"\0" * (len(new) % 2) + meta[at + room :]
    )
    length = int.from_bytes(meta[140:144], "little") + len(new) + len(new) % 2 - room
    return meta[:140] + struct.pack("<L", length) + meta[144:] + stream


def _encapsulated(layout: Layout) -> int | None:
    """Return where the offset table begins; None where nothing is encapsulated."""
    place = layout.place(_PIXEL_DATA)
    return place.value if place is not None and place.length == UNDEFINED else None


def _fragments(layout: Layout) -> list[tuple[int, int]]:
    """Return start and end of each item of the pixel data, the offset table first."""
    at, found = _encapsulated(layout), []
    while at is not None and layout.content[at : at + 4] == _ITEM:
        stop = at + 8 + int.from_bytes(layout.content[at + 4 : at + 8], "little")
        found.append((at, stop))
        at = stop
    return found


STREAM_MUTATIONS: dict[str, Mutation] = {
    mutation.__name__: mutation for mutation in (offset_tables, fragments, codestreams, deflate_bombs)
}
