"""Lookup tables as the standard writes them: modality LUT, VOI LUT and palettes (PS3.3 C.11.1, C.11.2, C.7.6.3.1.5)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from osler.dicom.refusals import refusal
from osler_contracts.codes import Code

_MOST_ENTRIES = 1 << 16


@dataclass(frozen=True)
class LookupTable:
    """One table.

    Attributes:
        first: The value that the first entry stands for; what is below it maps to the first entry, what is above the
            last one to the last.
        entries: The entries, (N,).
        bits: Bits of an entry.
    """

    first: int
    entries: NDArray[np.uint16]
    bits: int

    @property
    def top(self) -> float:
        """The largest entry that the bits allow."""
        return float(2**self.bits - 1)

    def apply(self, values: NDArray[Any]) -> NDArray[np.uint16]:
        """Map values of any type and shape; fractions are rounded first."""
        # In 64 bits: a subtraction in the type of the pixels could wrap around.
        index = np.rint(values).astype(np.int64) - self.first
        mapped: NDArray[np.uint16] = self.entries[np.clip(index, 0, len(self.entries) - 1)]
        return mapped


def read_table(dataset: Dataset, descriptor: str, data: str, *, big_endian: bool = False) -> LookupTable:
    """Read a table by the keywords of its descriptor and its data.

    Args:
        dataset: The item that holds both.
        descriptor: Such as `LUTDescriptor`: number of entries (0 stands for 65536), first value, bits of an entry.
        data: Such as `LUTData`. Entries of 8 bits are packed two in a word, or each has a word of its own.
        big_endian: Byte order of the file.

    Raises:
        OslerError: `header-invalid` where the two do not fit together.
    """
    count, first, bits = (int(item) for item in dataset[descriptor].value)
    count = count % _MOST_ENTRIES or _MOST_ENTRIES
    entries = _entries(dataset[data].value, count, big_endian)
    if not 1 <= bits <= 16 or len(entries) < count:
        raise refusal(Code.HEADER_INVALID, "A lookup table does not have the entries that its descriptor promises.")
    entries = entries[:count]
    # Devices write 8 bits and mean 16, or the other way round; no entry may exceed the top.
    return LookupTable(first, entries, max(bits, int(entries.max()).bit_length()))


def _entries(value: Any, count: int, big_endian: bool) -> NDArray[np.uint16]:
    if not isinstance(value, (bytes, bytearray)):
        return np.atleast_1d(np.asarray(value)).astype(np.uint16)
    if len(value) in (count, count + 1):
        # Packed bytes; in a word of the other byte order they stand swapped (PS3.5 8.1.1, annex D).
        packed = np.frombuffer(bytes(value) + b"\0" * (len(value) % 2), dtype=np.uint16)
        return (packed.byteswap() if big_endian else packed).view(np.uint8).astype(np.uint16)
    return np.frombuffer(bytes(value[: len(value) // 2 * 2]), dtype=">u2" if big_endian else "<u2").astype(np.uint16)
