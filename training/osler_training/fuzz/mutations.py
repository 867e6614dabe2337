"""Mutations of bytes, elements and values; each takes a file apart and gives other bytes back, by a seed."""

from __future__ import annotations

import struct
from collections.abc import Callable

import numpy as np
from pydicom.valuerep import STANDARD_VR

from osler_training.fuzz.elements import UNDEFINED, Layout, Place

Random = np.random.Generator
Mutation = Callable[[Layout, Random], bytes]

_PIXEL_GROUP = 0x7FE00000
_NUMBERS = (0x00280002, 0x00280006, 0x00280010, 0x00280011, 0x00280100, 0x00280101, 0x00280102, 0x00280103)
_ABSURD = (0, 1, 2, 3, 7, 8, 12, 13, 15, 16, 17, 24, 31, 32, 33, 64, 255, 256, 4096, 32767, 32768, 65534, 65535)
_FRAMES = (b"0", b"-1", b"1A", b"2147483647", b"99999999999", b"1e3", b"", b" ", b"2", b"1\\2", b"65537", b"\0\0")
_VRS = sorted(str(vr) for vr in STANDARD_VR)  # a set, whose order is another one in each process
_BAD_VRS = (b"\0\0", b"  ", b"??", b"ZZ", b"\xff\xff", b"sq", b"O\0")
_LENGTHS = (0, 1, 2, 3, 7, 8, 0xFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, UNDEFINED)
_STRINGS = (
    b"\\" * 1000,
    b"\0" * 64,
    b"A\0B\0",
    b"\x1b$B\x1b(B\x1b$)C",
    b"\x1b\x1b\x1b",
    b"\xff\xfe\xff\xfe",
    b"^" * 200,
    b"=" * 9,
    b"../../../../etc/passwd\0",
    b"'; DROP TABLE instances; --",
    b"<script>alert(1)</script>",
    b"%s%n%x{0}{}",
    b"\r\n\x0c\x0b\x07",
    b"\xc3\x28\xa0\xa1",
    "\u202e\u0663\U0001f600".encode(),
    b"9" * 300,
    b"1E400",
    b"NaN",
    b"-0",
    b"1.2.",
    b"00010101-00010101",
)
_CHARSETS = (b"ISO_IR 192", b"ISO 2022 IR 87", b"\\ISO 2022 IR 149", b"GB18030", b"ISO_IR 999", b"utf8", b"\\\\\\", b"")


def bit_flips(layout: Layout, random: Random) -> bytes:
    """Flip bits anywhere."""
    return _flip(layout.content, 0, len(layout.content), random)


def header_bit_flips(layout: Layout, random: Random) -> bytes:
    """Flip bits between file meta and pixel data."""
    return _flip(layout.content, 132, _header_end(layout), random)


def pixel_bit_flips(layout: Layout, random: Random) -> bytes:
    """Flip bits in the pixel data."""
    return _flip(layout.content, _header_end(layout), len(layout.content), random)


def truncation(layout: Layout, random: Random) -> bytes:
    """Cut the file off at any place."""
    return layout.content[: int(random.integers(0, len(layout.content)))]


def truncation_at_element(layout: Layout, random: Random) -> bytes:
    """Cut the file off where an element begins or ends."""
    place = _any(layout, random)
    return layout.content[: int(random.choice([place.start, place.value, place.end]))]


def blocks(layout: Layout, random: Random) -> bytes:
    """Delete, repeat, blank, scramble or insert a block."""
    content = layout.content
    start = int(random.integers(0, len(content)))
    size = int(2 ** random.uniform(0, 10))
    block, before, after = content[start : start + size], content[:start], content[start + size :]
    middle = [b"", block * 2, b"\0" * size, random.bytes(size), block + random.bytes(size)][random.integers(5)]
    return before + middle + after


def lengths(layout: Layout, random: Random) -> bytes:
    """Give an element a wrong length, undefined included."""
    place = _any(layout, random)
    at, size = place.length_field
    near = [place.length + by for by in (-2, -1, 1, 2) if place.length != UNDEFINED and place.length + by >= 0]
    length = int(random.choice([*_LENGTHS, *near]))
    return _over(layout.content, at, (length & (256**size - 1)).to_bytes(size, _order(layout)))


def representations(layout: Layout, random: Random) -> bytes:
    """Give an element another VR, or none that exists."""
    place = _any(layout, random)
    if layout.implicit:
        return lengths(layout, random)
    other = _BAD_VRS[random.integers(len(_BAD_VRS))] if random.random() < 0.3 else _pick(_VRS, random).encode()
    return _over(layout.content, place.start + 4, other)


def undefined_lengths(layout: Layout, random: Random) -> bytes:
    """Leave the length of an element that is no sequence undefined, with or without a delimiter behind it."""
    place = _any(layout, random)
    at, size = place.length_field
    content = _over(layout.content, at, b"\xff" * size)
    if random.random() < 0.5:
        delimiter = struct.pack(f"{layout.order}HHL", 0xFFFE, 0xE0DD, 0)
        content = content[: place.end] + delimiter + content[place.end :]
    return content


def tags(layout: Layout, random: Random) -> bytes:
    """Rename an element: any tag, a delimiter, a private one, one of the pixel data."""
    place = _any(layout, random)
    known = (0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD, 0x7FE00010, 0x7FE00008, 0x00020010, 0x00091001, 0x00000000, 0xFFFFFFFF)
    tag = int(random.integers(2**32)) if random.random() < 0.5 else int(random.choice(known))
    return _over(layout.content, place.start, struct.pack(f"{layout.order}HH", tag >> 16, tag & 0xFFFF))


def repetitions(layout: Layout, random: Random) -> bytes:
    """Write an element twice: side by side, or again at the end."""
    place = _any(layout, random)
    element = layout.content[place.start : place.end]
    at = place.end if random.random() < 0.5 else len(layout.content)
    return layout.content[:at] + element + layout.content[at:]


def disorder(layout: Layout, random: Random) -> bytes:
    """Exchange two elements."""
    one, two = sorted((_any(layout, random), _any(layout, random)), key=lambda place: place.start)
    content = layout.content
    if one == two or one.end > two.start:
        return content[: one.start] + content[one.end :]
    first, between, second = content[one.start : one.end], content[one.end : two.start], content[two.start : two.end]
    return content[: one.start] + second + between + first + content[two.end :]


def absurd_numbers(layout: Layout, random: Random) -> bytes:
    """Give rows, columns, samples, bits or frames an absurd value."""
    if random.random() < 0.25:
        value = _FRAMES[random.integers(len(_FRAMES))]
        return layout.inserted(0x00280008, layout.element(0x00280008, "IS", value + b" " * (len(value) % 2)))
    content = layout.content
    for tag in random.choice(_NUMBERS, size=int(random.integers(1, 4)), replace=False):
        place = layout.place(int(tag))
        if place is not None and place.length == 2:
            content = _over(content, place.value, struct.pack(f"{layout.order}H", int(random.choice(_ABSURD))))
    return content


def hostile_strings(layout: Layout, random: Random) -> bytes:
    """Write a hostile text into an element of text, at times a hostile character set too."""
    text = {"AE", "AS", "CS", "DA", "DS", "DT", "IS", "LO", "LT", "PN", "SH", "ST", "TM", "UC", "UI", "UR", "UT"}
    chosen = [place for place in layout.places if place.vr in text or (not place.vr and 2 < place.length < 65)]
    place = chosen[random.integers(len(chosen))] if chosen else _any(layout, random)
    value = _STRINGS[random.integers(len(_STRINGS))]
    if random.random() < 0.05:
        value = b"X" * 60000
    value += b" " * (len(value) % 2)
    content = layout.inserted(int(place.tag), layout.element(int(place.tag), place.vr or "LO", value))
    charset = layout.place(0x00080005)
    if random.random() < 0.5 and charset is not None and charset.start < place.start and charset.length != UNDEFINED:
        name = _CHARSETS[random.integers(len(_CHARSETS))]
        encoded = layout.element(0x00080005, "CS", name + b" " * (len(name) % 2))
        content = content[: charset.start] + encoded + content[charset.end :]
    return content


def nesting(layout: Layout, random: Random) -> bytes:
    """Nest a sequence into itself, at times thousands of levels deep."""
    depth = int(random.choice([3, 30, 300, 1000, 3000, 10000]))
    tag = int(random.choice([0x00081140, 0x00091010, 0x0040A730]))
    vr = "UN" if random.random() < 0.2 else "SQ"
    item = struct.pack(f"{layout.order}HHL", 0xFFFE, 0xE000, UNDEFINED)
    ends = struct.pack(f"{layout.order}HHLHHL", 0xFFFE, 0xE00D, 0, 0xFFFE, 0xE0DD, 0)
    start = layout.element(tag, vr, b"", UNDEFINED) + item
    closed = depth if random.random() < 0.7 else int(random.integers(0, depth))
    return layout.inserted(tag, start * depth + ends * closed)


def file_meta(layout: Layout, random: Random) -> bytes:
    """Damage preamble, marker or file meta, or claim another transfer syntax."""
    content = layout.content
    kind = int(random.integers(4))
    if kind == 0:
        return _flip(content, 0, 400, random)
    if kind == 1:
        return _over(content, 140, struct.pack("<L", int(random.choice([0, 1, 2**16, 2**31, 2**32 - 1]))))
    if kind == 2:
        return content[int(random.choice([1, 64, 128, 132])) :]
    old = layout.syntax.encode()
    syntaxes = [
        "1.2",
        "1.2.1",
        "1.2.1.99",
        "1.2.2",
        "1.2.4.50",
        "1.2.4.51",
        "1.2.4.70",
        "1.2.4.80",
        "1.2.4.90",
        "1.2.5",
    ]
    new = f"1.2.840.10008.{_pick(syntaxes, random)}".encode()
    at = content.find(old)
    length = at - 2
    padded, room = new + b"\0" * (len(new) % 2), len(old) + len(old) % 2
    changed = content[:length] + struct.pack("<H", len(padded)) + padded + content[at + room :]
    return _over(changed, 140, struct.pack("<L", int.from_bytes(content[140:144], "little") + len(padded) - room))


def _any(layout: Layout, random: Random) -> Place:
    return layout.places[random.integers(len(layout.places))]


def _pick(names: list[str], random: Random) -> str:
    return names[random.integers(len(names))]


def _order(layout: Layout) -> str:
    return "little" if layout.little else "big"


def _header_end(layout: Layout) -> int:
    return next((place.start for place in layout.places if place.tag >= _PIXEL_GROUP), len(layout.content) // 2)


def _flip(content: bytes, start: int, stop: int, random: Random) -> bytes:
    damaged = bytearray(content)
    stop = min(stop, len(content))
    for at in random.integers(min(start, stop - 1), stop, size=int(random.geometric(0.3))):
        damaged[at] ^= 1 << int(random.integers(8))
    return bytes(damaged)


def _over(content: bytes, at: int, value: bytes) -> bytes:
    return content[:at] + value + content[at + len(value) :]


MUTATIONS: dict[str, Mutation] = {
    mutation.__name__: mutation
    for mutation in (
        bit_flips,
        header_bit_flips,
        pixel_bit_flips,
        truncation,
        truncation_at_element,
        blocks,
        lengths,
        representations,
        undefined_lengths,
        tags,
        repetitions,
        disorder,
        absurd_numbers,
        hostile_strings,
        nesting,
        file_meta,
    )
}
