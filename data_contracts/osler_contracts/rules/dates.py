"""Dates and ages (PS3.5 6.2, DA and AS), each for itself and against each other."""

from __future__ import annotations

import re
from datetime import date, timedelta

AGE = re.compile(r"([0-9]{1,3})([DWMY]?)")
DAYS_PER_UNIT = {"D": 1.0, "W": 7.0, "M": 365.25 / 12, "Y": 365.25, "": 365.25}


def to_date(value: str | None) -> date | None:
    """Read a DICOM date, YYYYMMDD; None where it is missing or no day of the calendar."""
    if value is None or len(value) != 8 or not (value.isascii() and value.isdecimal()):
        return None
    try:
        return date(int(value[:4]), int(value[4:6]), int(value[6:]))
    except ValueError:
        return None


def is_date(value: str) -> bool:
    """Whether a value is a DICOM date."""
    return to_date(value) is not None


def is_not_after(value: str, *, today: str, slack_days: int = 1) -> bool:
    """Whether a date is at most `slack_days` after `today` (ISO): clocks and time zones differ by a day."""
    found = to_date(value)
    return found is None or found <= date.fromisoformat(today) + timedelta(days=slack_days)


def are_in_order(*values: str | None, slack_days: int = 1) -> bool:
    """Whether dates follow each other; a missing or malformed one is passed over, `slack_days` back are forgiven."""
    latest: date | None = None
    for found in map(to_date, values):
        if found is None:
            continue
        if latest is not None and found < latest and (latest - found).days > slack_days:
            return False
        latest = found if latest is None else max(latest, found)
    return True


def is_age(value: str) -> bool:
    """Whether a value is a DICOM age, three digits and a unit, such as 034Y."""
    return re.fullmatch("[0-9]{3}[DWMY]", value) is not None


def is_plausible_age(value: str, *, max_years: float) -> bool:
    """Whether an age is at most `max_years`; a bare number, which real files hold, is taken as years."""
    found = AGE.fullmatch(value)
    return found is None or int(found[1]) * DAYS_PER_UNIT[found[2]] <= max_years * DAYS_PER_UNIT["Y"]


def age_fits_birth(age: str | None, birth: str | None, study: str | None, *, slack_years: float = 1) -> bool:
    """Whether the age is that of the birth date on the study date; True where one of the three is missing or malformed.

    An age counts full units, so it may lie up to one unit below the span; `slack_years` comes on top, both ways.
    """
    born, taken = to_date(birth), to_date(study)
    found = AGE.fullmatch(age or "")
    if born is None or taken is None or found is None:
        return True
    unit, slack = DAYS_PER_UNIT[found[2]], slack_years * DAYS_PER_UNIT["Y"]
    rest = (taken - born).days - int(found[1]) * unit
    return -slack <= rest <= unit + slack
