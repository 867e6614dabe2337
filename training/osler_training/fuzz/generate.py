"""Damaged files by a seed: which base, which mutations, all repeatable."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pydicom
from pydicom.uid import UID, ExplicitVRLittleEndian

from osler.dicom.refusals import attempt
from osler_training.fuzz.elements import Layout, take_apart
from osler_training.fuzz.mutations import MUTATIONS, Mutation
from osler_training.fuzz.streams import STREAM_MUTATIONS

ALL_MUTATIONS: dict[str, Mutation] = MUTATIONS | STREAM_MUTATIONS
LARGEST_BASE = 400_000
_SECOND_MUTATION = 0.15
_UIDS = (0x00080018, 0x0020000D, 0x0020000E)


@dataclass(frozen=True)
class Mutant:
    """One damaged file: its name, its content, the file that it was made from and what was done to it."""

    name: str
    content: bytes
    base: str
    mutations: tuple[str, ...]


def pydicom_files() -> list[Path]:
    """Return the sound files that ship with pydicom, in a fixed order; of the many small slices each tenth."""
    folder = Path(pydicom.__file__).parent / "data"
    found = sorted(path for path in folder.rglob("*") if path.is_file() and is_sound(path))
    slices = [path for path in found if "dicomdirtests" in path.parts]
    return sorted({*found} - {*slices} | {*slices[::10]})


def mutants(bases: Sequence[Path], count: int, seed: int, first: int = 0) -> Iterator[Mutant]:
    """Make damaged files; number `n` of a seed is the same whatever the others are.

    Args:
        bases: Sound files; mutations of compressed frames take those that are compressed.
        count: How many to make.
        seed: Seed.
        first: Number of the first one.
    """
    layouts = {base: take_apart(base.read_bytes()) for base in bases}
    packed = [base for base, layout in layouts.items() if UID(layout.syntax).is_encapsulated]
    plain = [base for base, layout in layouts.items() if layout.syntax == ExplicitVRLittleEndian]
    suited = {"offset_tables": packed, "fragments": packed, "codestreams": packed, "deflate_bombs": plain}
    names = list(ALL_MUTATIONS)
    for number in range(first, first + count):
        random = np.random.default_rng([seed, number])
        chosen = [names[number % len(names)]]
        choice = suited.get(chosen[0]) or bases
        base = choice[int(random.integers(len(choice)))]
        layout = _renamed(layouts[base], seed, number)
        content = ALL_MUTATIONS[chosen[0]](layout, random)
        if random.random() < _SECOND_MUTATION:
            again = attempt(lambda content=content: take_apart(content), None)  # type: ignore[misc]
            if again is not None and again.places:
                chosen.append(names[random.integers(len(names))])
                content = ALL_MUTATIONS[chosen[-1]](again, random)
        yield Mutant(f"{number:06d}-{chosen[0]}.dcm", content, base.name, tuple(chosen))


def _renamed(layout: Layout, seed: int, number: int) -> Layout:
    """Give study, series and instance UIDs of their own, of the same length: else all would be one file's duplicates."""
    content = layout.content
    for place in filter(None, (layout.place(tag) for tag in _UIDS)):
        old = content[place.value : place.end].rstrip(b"\0 ")
        end = f".{seed % 1000}{number:07d}{_UIDS.index(int(place.tag))}".encode()
        if len(old) > len(end) + 3:
            kept = re.sub(rb"\.+$", b"", old[: len(old) - len(end)])
            new = kept + end.rjust(len(old) - len(kept), b"7") if kept.endswith(b".") else kept + end
            content = content.replace(old, (new + b"1" * len(old))[: len(old)])
    return Layout(content, layout.places, layout.implicit, layout.little, layout.syntax)


def is_sound(path: Path) -> bool:
    """Return whether a file is DICOM, small, and can be taken apart."""
    if path.stat().st_size > LARGEST_BASE:
        return False
    layout = attempt(lambda: take_apart(path.read_bytes()), None)
    return layout is not None and bool(layout.places) and layout.place(0x00080018) is not None
