"""Whether the description of the pixels agrees with itself (PS3.3 C.7.6.3.1, PS3.5 8.1.1)."""

from __future__ import annotations

from osler_contracts.rules.magnitudes import to_number

SAMPLES = {
    "MONOCHROME1": 1,
    "MONOCHROME2": 1,
    "PALETTE COLOR": 1,
    "RGB": 3,
    "YBR_FULL": 3,
    "YBR_FULL_422": 3,
    "YBR_PARTIAL_420": 3,
    "YBR_ICT": 3,
    "YBR_RCT": 3,
    "XYB": 3,
}
# Retired, but met in old files.
SAMPLES_RETIRED = {"HSV": 3, "ARGB": 4, "CMYK": 4, "YBR_PARTIAL_422": 3}
UNSIGNED = {"PALETTE COLOR", *(name for name, samples in SAMPLES.items() if samples == 3)}


def pixels_agree(
    photometric: str | None,
    samples: str | None,
    allocated: str | None,
    stored: str | None,
    high: str | None,
    representation: str | None,
) -> bool:
    """Whether photometric interpretation, samples, bits and sign go together; what is missing is passed over.

    Samples as the photometric interpretation has them (PS3.3 C.7.6.3.1.2); bits allocated 1 or whole bytes, bits
    stored no more than those, high bit one less than bits stored (PS3.5 8.1.1); colour without a sign.
    """
    counts = {**SAMPLES, **SAMPLES_RETIRED}
    if photometric in counts and samples is not None and to_number(samples) != counts[photometric]:
        return False
    if photometric in UNSIGNED and representation is not None and to_number(representation) != 0:
        return False
    if representation is not None and to_number(representation) not in (0, 1):
        return False
    return _bits_agree(allocated, stored, high)


def _bits_agree(allocated: str | None, stored: str | None, high: str | None) -> bool:
    bits = None if allocated is None else to_number(allocated)
    depth = None if stored is None else to_number(stored)
    if bits is not None and not (bits == 1 or (bits > 0 and bits % 8 == 0)):
        return False
    if depth is not None and not (depth >= 1 and (bits is None or depth <= bits)):
        return False
    return high is None or depth is None or to_number(high) == depth - 1
