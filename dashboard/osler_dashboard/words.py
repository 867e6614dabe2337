"""Words for people: codes, identifiers and figures as a reader at a hospital would say them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from osler_contracts.codes import Code

REASONS = {
    Code.ABSURD_SIZE: "size out of any plausible range",
    Code.BURNED_IN_TEXT: "text burned into the image",
    Code.CONFLICTING_DUPLICATE: "same identifier as another file, other content",
    Code.DECODER_MISSING: "compression that cannot be read here",
    Code.DUPLICATE: "sent before",
    Code.FILE_MISSING: "named by a DICOMDIR but not there",
    Code.FUTURE_DATE: "dated in the future",
    Code.HEADER_INVALID: "header not valid",
    Code.IDENTIFIER_IN_PRIVATE_TAG: "a name hidden in a private field",
    Code.LISTING_INCOMPLETE: "missing from the list of its study",
    Code.NO_PIXELS: "no image in the file",
    Code.NOT_DICOM: "not a DICOM file",
    Code.PATH_OUTSIDE: "a path that leads out of its folder",
    Code.PIXEL_FORMAT_INVALID: "pixel format not valid",
    Code.PIXELS_UNDECODABLE: "image data damaged",
    Code.TRANSFER_FAILED: "not delivered whole",
    Code.TRUNCATED: "cut off before its end",
    Code.UID_INVALID: "identifiers not valid",
    Code.UNREADABLE: "not readable",
    Code.WRONG_BODY_PART: "another body part",
    Code.WRONG_MODALITY: "another kind of examination",
    Code.WRONG_SOP_CLASS: "another kind of image",
    Code.ZIP_BOMB: "a zip that would grow out of proportion",
    Code.ZIP_DAMAGED: "damaged inside its zip",
    Code.ZIP_ENCRYPTED: "encrypted inside its zip",
}

WARNINGS = {
    Code.AGE_INVALID: "The age is not written as it should be.",
    Code.BURNED_IN_UNKNOWN: "The file does not say whether text is burned into the image.",
    Code.DATE_INVALID: "A date is not written as it should be.",
    Code.IMPLAUSIBLE_AGE: "The age does not fit the dates.",
    Code.LATERALITY_INVALID: "The side is not written as it should be.",
    Code.ORIENTATION_UNKNOWN: "The file does not say how the patient is oriented.",
    Code.SPACING_UNKNOWN: "The size of a pixel is unknown: nothing can be measured.",
    Code.UID_INVALID: "An identifier inside the file is not well formed.",
    Code.VIEW_UNKNOWN: "The view (PA or AP) is not stated.",
}

METHODS = {
    "linear_probe": "Linear probe",
    "report_probe": "Probe trained on reports",
    "fine_tuned_cnn": "Fine-tuned CNN",
    "bottleneck": "Bottleneck",
    "bottleneck_prior": "Bottleneck with prior",
}


def spoken(identifier: str) -> str:
    """Say an identifier in snake or kebab case: `heart_failure` is Heart failure."""
    return sentence(identifier.replace("_", " ").replace("-", " ").strip())


def sentence(text: str) -> str:
    """Begin a text with a capital and leave the rest as it is."""
    return text[:1].upper() + text[1:]


def site_name(site: str) -> str:
    """Say the name of a site; a single letter gets its word."""
    words = [word.upper() if len(word) == 1 else word for word in site.replace("_", " ").replace("-", " ").split()]
    name = " ".join(words) or "no name"
    return f"Hospital {name}" if len(name) == 1 else sentence(name)


def reason(code: str) -> str:
    """Say why a file did not enter."""
    return REASONS[Code(code)] if code in REASONS else spoken(code).lower()


def warning(code: str) -> str:
    """Say a warning of the contract as a sentence."""
    return WARNINGS[Code(code)] if code in WARNINGS else f"{spoken(code)}."


def study_names(sites: Mapping[str, str], arrival: Sequence[str]) -> dict[str, str]:
    """Name studies by site and number, in the order in which they arrived there.

    Args:
        sites: Site of each study.
        arrival: The studies in the order of their arrival.
    """
    counts: Counter[str] = Counter()
    names = {}
    for study in arrival:
        counts[sites[study]] += 1
        names[study] = f"{site_name(sites[study])} · study {counts[sites[study]]:04d}"
    return names


def slug(name: str) -> str:
    """Write a name for an address: `Hospital B · study 0042` is hospital-b-study-0042."""
    return "-".join("".join(letter if letter.isalnum() else " " for letter in name.lower()).split())


def percent(fraction: float, digits: int = 0) -> str:
    """Write a fraction as a percentage that never rounds a doubt away: 99.7% is "> 99%"."""
    if digits == 0 and 0.99 < fraction < 1:
        return "> 99%"
    if digits == 0 and 0 < fraction < 0.01:
        return "< 1%"
    return f"{100 * fraction:.{digits}f}%"


def signed(value: float, digits: int = 2) -> str:
    """Write a number with its sign, a true minus for less than nothing."""
    text = f"{value:+.{digits}f}".replace("-", "−")
    return text.replace("+", "").replace("−", "") if not float(f"{value:.{digits}f}") else text


def points(fraction: float) -> str:
    """Write a difference of fractions in percentage points."""
    return f"{signed(100 * fraction, 1)} points"
