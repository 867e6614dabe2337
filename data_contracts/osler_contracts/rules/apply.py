"""Applying a rule to columns: each distinct combination of values is judged once, since headers repeat themselves."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pandas as pd


def apply(predicate: Callable[..., bool], *columns: pd.Series, **arguments: object) -> pd.Series:
    """Judge columns row by row.

    Args:
        predicate: Takes one value of each column, None where it is missing, and answers whether they hold.
        columns: Columns of one length.
        arguments: Passed on to the predicate.

    Returns:
        Booleans, with the index of the columns.
    """
    codes, firsts = _distinct(columns)
    values = [column.to_numpy(dtype=object)[firsts] for column in columns]
    judged = [
        predicate(*(None if _is_missing(item) else item for item in items), **arguments)
        for items in zip(*values, strict=True)
    ]
    return pd.Series(np.array(judged, dtype=bool)[codes], index=columns[0].index, dtype=bool)


def _distinct(columns: tuple[pd.Series, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Number the distinct combinations of values; return each row's number and where each combination comes first."""
    codes = np.zeros(len(columns[0]), dtype=np.int64)
    for column in columns:
        own, values = pd.factorize(column, use_na_sentinel=True)
        # Renumbered after each column, so that the product never leaves the range of 64 bits.
        codes = pd.factorize(codes * (len(values) + 1) + own + 1)[0]
    firsts = np.zeros(int(codes.max(initial=-1)) + 1, dtype=np.int64)
    firsts[codes[::-1]] = np.arange(len(codes) - 1, -1, -1)
    return codes, firsts


def _is_missing(value: object) -> bool:
    return value is None or value is pd.NA or (isinstance(value, float) and math.isnan(value))
