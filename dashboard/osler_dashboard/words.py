"""Words for people: codes, identifiers and figures as a reader at a hospital would say them."""

from __future__ import annotations

from datetime import date

from osler_contracts.codes import Code

REASONS = {
    Code.ABSURD_SIZE: "size out of any plausible range",
    Code.BURNED_IN_TEXT: "text burned into the image",
    Code.CONFLICTING_DUPLICATE: "same identifier as another file, other content",
    Code.DATES_INCOHERENT: "born after the study, or dates out of order",
    Code.DECODER_MISSING: "compression that cannot be read here",
    Code.DECODE_CRASH: "an image that crashes what reads it",
    Code.DECODE_TIMEOUT: "took too long to read",
    Code.DUPLICATE: "sent before",
    Code.FILE_MISSING: "named by a DICOMDIR but not there",
    Code.FUTURE_DATE: "dated in the future",
    Code.HEADER_INVALID: "header not valid",
    Code.IDENTIFIER_IN_PRIVATE_TAG: "a name hidden in a private field",
    Code.IMAGE_INVALID: "an image of a table that cannot be read",
    Code.IMAGE_MISSING: "an image of a table that is not there",
    Code.LISTING_INCOMPLETE: "missing from the list of its study",
    Code.NOT_DICOM: "not a DICOM file",
    Code.NO_PIXELS: "no image in the file",
    Code.OUT_OF_MEMORY: "needs too much memory to read",
    Code.PATH_OUTSIDE: "a path that leads out of its folder",
    Code.PIXELS_UNDECODABLE: "image data damaged",
    Code.PIXEL_FORMAT_INVALID: "pixel format not valid",
    Code.STUDY_OF_TWO_PATIENTS: "a study that names two patients",
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
    Code.AGE_MISMATCH: "Age, birth date and study date do not agree.",
    Code.BURNED_IN_UNKNOWN: "The file does not say whether text is burned into the image.",
    Code.CHARACTER_SET_UNKNOWN: "The alphabet of its texts is not stated properly.",
    Code.DATES_INCOHERENT: "The dates inside the file do not follow each other.",
    Code.DATE_INVALID: "A date is not written as it should be.",
    Code.DUPLICATE: "The same image came more than once.",
    Code.IMPLAUSIBLE_AGE: "The age does not fit the dates.",
    Code.INSTANCE_REPEATED: "Its identifier came more than once.",
    Code.LATERALITY_INVALID: "The side is not written as it should be.",
    Code.ORIENTATION_MISMATCH: "View and patient orientation contradict each other.",
    Code.ORIENTATION_UNKNOWN: "The file does not say how the patient is oriented.",
    Code.PIXEL_DATA_EXCESS: "The file holds more image data than it announces.",
    Code.PIXEL_FORMAT_INVALID: "The description of the pixels contradicts itself.",
    Code.RELEASED: "It was held back, and a person let it in.",
    Code.SPACING_INVALID: "The stated size of a pixel is not plausible: nothing can be measured.",
    Code.SPACING_UNKNOWN: "The size of a pixel is unknown: nothing can be measured.",
    Code.STUDY_OF_TWO_PATIENTS: "Files of its study name two patients.",
    Code.UID_INVALID: "An identifier inside the file is not well formed.",
    Code.UID_ROOT_INVALID: "An identifier inside the file was made up.",
    Code.VALUE_FORM_INVALID: "A value is not written as it should be.",
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


def day(text: str) -> str:
    """Say a date in ISO 8601: 2026-01-06 is 6 January 2026."""
    at = date.fromisoformat(text)
    return f"{at.day} {at:%B %Y}"


def short_day(text: str) -> str:
    """Say a date of a DICOM header shortly: 20260106 is 6 Jan 2026; what is no date is not said."""
    try:
        at = date.fromisoformat(text)
    except ValueError:
        return ""
    return f"{at.day} {at:%b %Y}"


def ago(earlier: str, later: str) -> str:
    """Say how long before another date a date lies, in the largest unit that is at least two."""
    try:
        days = (date.fromisoformat(later) - date.fromisoformat(earlier)).days
    except ValueError:
        return "earlier"
    for unit, length in (("year", 365.25), ("month", 30.44), ("week", 7)):
        if days >= 2 * length:
            return f"{days / length:.0f} {unit}s earlier"
    return f"{days} day{'' if days == 1 else 's'} earlier"


def site_name(site: str) -> str:
    """Say the name of a site; a single letter gets its word."""
    words = [word.upper() if len(word) == 1 else word for word in site.replace("_", " ").replace("-", " ").split()]
    name = " ".join(words) or "no name"
    return f"Hospital {name}" if len(name) == 1 else sentence(name)


def reason(code: str) -> str:
    """Say why a file did not enter."""
    return REASONS[Code(code)] if code in REASONS else spoken(code).lower()


def warning(code: str) -> str:
    """Say a warning as a sentence; what had kept out a file that a person let in is one too."""
    return WARNINGS[Code(code)] if code in WARNINGS else f"{sentence(reason(code))}."


def study_name(site: str, number: int) -> str:
    """Name a study by its site and its number there."""
    return f"{site_name(site)} · study {number:04d}"


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
