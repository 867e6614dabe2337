"""Numbers, and the two distances of Pixel Spacing (PS3.3 10.7)."""

from __future__ import annotations

import math

import pandas as pd


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


def is_spacing(value: str, *, min_value: float, max_value: float) -> bool:
    """Whether a value is a pair of distances in mm, row spacing and column spacing, both within bounds.

    A single number, which exports make of two equal ones, is taken as both.
    """
    parts = value.split("\\")
    return len(parts) <= 2 and all(min_value <= to_number(part) <= max_value for part in parts)
