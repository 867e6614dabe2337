"""Applying a rule to columns: each distinct combination of values is judged once, since headers repeat themselves."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import pandas as pd

SAMPLE = 1000


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
    values = [_present(column.to_numpy(dtype=object)[firsts]) for column in columns]
    judge = partial(predicate, **arguments)
    judged = list(map(judge, *values))
    return pd.Series(np.array(judged, dtype=bool)[codes], index=columns[0].index, dtype=bool)


def _distinct(columns: tuple[pd.Series, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Number the distinct combinations of values; return each row's number and where each combination comes first."""
    rows = np.arange(len(columns[0]))
    if len(columns) == 1 and columns[0].head(SAMPLE).nunique() > SAMPLE * 0.9:
        return rows, rows  # identifiers: to number them costs more than to judge each
    codes = np.zeros(len(columns[0]), dtype=np.int64)
    for column in columns:
        own, values = pd.factorize(column, use_na_sentinel=True)
        # Renumbered after each column, so that the product never leaves the range of 64 bits.
        codes = pd.factorize(codes * (len(values) + 1) + own + 1)[0]
    firsts = np.zeros(int(codes.max(initial=-1)) + 1, dtype=np.int64)
    firsts[codes[::-1]] = np.arange(len(codes) - 1, -1, -1)
    return codes, firsts


def _present(values: np.ndarray) -> np.ndarray:
    """Return values with None for whatever pandas takes for missing."""
    missing = pd.isna(values)
    if missing.any():
        values = values.copy()
        values[missing] = None
    return values
