"""The DICOM rules that Great Expectations lacks, as plain functions over columns of text.

Each takes the values that are present (a missing value is the business of a clause's `required`) and answers, one by
one, whether they hold. A rule about a value (a date that is not in the future) passes what is not well formed, so that
no file is refused for the wrong reason: the rule about its form says that.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta

import pandas as pd

Predicate = Callable[..., bool]

UID = re.compile(r"(0|[1-9][0-9]*)(\.(0|[1-9][0-9]*))*")
AGE = re.compile(r"([0-9]{1,3})([DWMY]?)")
YEARS_PER_UNIT = {"D": 1 / 365.25, "W": 7 / 365.25, "M": 1 / 12, "Y": 1.0, "": 1.0}


def is_uid(value: str) -> bool:
    """Whether a value is a UID: dotted numbers without leading zeros, 64 characters at most (PS3.5 9.1)."""
    return len(value) <= 64 and UID.fullmatch(value) is not None


def to_date(value: str) -> date | None:
    """Read a DICOM date, YYYYMMDD (PS3.5 6.2, DA); None where it is no day of the calendar."""
    if re.fullmatch("[0-9]{8}", value) is None:
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


def is_age(value: str) -> bool:
    """Whether a value is a DICOM age, three digits and a unit, such as 034Y (PS3.5 6.2, AS)."""
    return re.fullmatch("[0-9]{3}[DWMY]", value) is not None


def is_plausible_age(value: str, *, max_years: float) -> bool:
    """Whether an age is at most `max_years`; a bare number, which real files hold, is taken as years."""
    found = AGE.fullmatch(value)
    return found is None or int(found[1]) * YEARS_PER_UNIT[found[2]] <= max_years


def to_number(value: object) -> float:
    """Read a number from text; NaN where it is none."""
    try:
        return float(str(value))
    except ValueError:
        return math.nan


def is_number_between(value: str, *, min_value: float, max_value: float) -> bool:
    """Whether a value is a number within bounds, both included; what is no number is not."""
    return min_value <= to_number(value) <= max_value


def differ_between(first: str, second: str, *, min_value: float, max_value: float) -> bool:
    """Whether first minus second lies within bounds, both included; what is no number does not."""
    return min_value <= to_number(first) - to_number(second) <= max_value


def holds_one(first: object, second: object) -> bool:
    """Whether one of two values at least is there."""
    return not (pd.isna(first) and pd.isna(second))  # type: ignore[call-overload]


@dataclass(frozen=True)
class Rule:
    """A rule as an expectation.

    Attributes:
        predicate: Judges one value, or two for a pair of columns.
        arguments: Names of its keyword arguments.
        pair: Whether it compares two columns.
        sees_missing: Whether a pair is judged although a value is missing.
    """

    predicate: Predicate
    arguments: tuple[str, ...] = ()
    pair: bool = False
    sees_missing: bool = False


# Names follow Great Expectations, since contracts mix them with its own.
RULES: dict[str, Rule] = {
    "expect_column_values_to_be_dicom_uid": Rule(is_uid),
    "expect_column_values_to_be_dicom_date": Rule(is_date),
    "expect_column_values_to_be_date_not_after": Rule(is_not_after, ("today", "slack_days")),
    "expect_column_values_to_be_dicom_age": Rule(is_age),
    "expect_column_values_to_be_plausible_age": Rule(is_plausible_age, ("max_years",)),
    "expect_column_values_to_be_number_between": Rule(is_number_between, ("min_value", "max_value")),
    "expect_column_pair_numbers_to_differ_between": Rule(differ_between, ("min_value", "max_value"), pair=True),
    "expect_column_pair_to_hold_one_at_least": Rule(holds_one, pair=True, sees_missing=True),
}


def apply(predicate: Predicate, *columns: pd.Series, **arguments: object) -> pd.Series:
    """Judge columns row by row, each distinct combination of values once: headers repeat themselves.

    Returns:
        Booleans, with the index of the columns.
    """
    values = list(zip(*columns, strict=True))
    verdicts = {items: predicate(*items, **arguments) for items in set(values)}
    return pd.Series([verdicts[items] for items in values], index=columns[0].index, dtype=bool)
