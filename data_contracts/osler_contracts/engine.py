"""Runs a contract by Great Expectations: one engine behind our own contract and report.

Great Expectations takes seconds and some 300 MB to import, so it is imported only when a table is checked.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from datetime import date

import numpy as np
import pandas as pd

from osler_contracts.codes import Code
from osler_contracts.contract import Clause, Contract
from osler_contracts.errors import OslerError
from osler_contracts.headers import CHUNK_ROWS
from osler_contracts.report import ClauseResult, ContractReport
from osler_contracts.suite import Check, checks_of, undecided, validate

FAILED = "the check itself failed"


def check_headers(
    table: pd.DataFrame,
    contract: Contract,
    today: date | None = None,
    decodable: Collection[str] | None = None,
) -> ContractReport:
    """Check a header table against a contract.

    Args:
        table: Header table with unique text keys as its index (`osler_contracts.headers`).
        contract: The contract.
        today: The day that dates are compared with; the present day where it is left out.
        decodable: UIDs of the transfer syntaxes that can be decoded here. Where it is left out, a clause that asks for
            it could not be checked.

    Raises:
        OslerError: `table-invalid` where keys repeat.
    """
    chunks = (table.iloc[start : start + CHUNK_ROWS] for start in range(0, max(len(table), 1), CHUNK_ROWS))
    return check_chunks(chunks, contract, today, decodable)


def check_chunks(
    chunks: Iterable[pd.DataFrame],
    contract: Contract,
    today: date | None = None,
    decodable: Collection[str] | None = None,
    observe: Callable[[int], None] | None = None,
) -> ContractReport:
    """Check a header table that comes in parts, as `check_headers` does.

    Clauses about a row are checked part by part. Of the columns that clauses compare between rows, and of the keys, all
    parts are kept, 9 bytes a row and column; nothing else is, so that memory does not grow with the columns.

    Args:
        chunks: Header tables with the same columns, one after the other.
        contract: The contract.
        today: As in `check_headers`.
        decodable: As in `check_headers`.
        observe: Called with the number of rows checked so far.
    """
    state = _State(contract, [clause.expectation.columns for clause in contract.clauses if _compares(clause)])
    day = (today or date.today()).isoformat()
    for chunk in chunks:
        keyed = state.take(chunk)
        state.judge(keyed, [clause for clause in contract.clauses if not _compares(clause)], day, decodable)
        if observe:
            observe(len(state.keys))
    state.judge(state.compared(), [clause for clause in contract.clauses if _compares(clause)], day, decodable)
    return state.report()


def _compares(clause: Clause) -> bool:
    return clause.expectation.compares_rows


class _State:
    """What a check has found so far."""

    def __init__(self, contract: Contract, compared: Iterable[tuple[str, ...]]) -> None:
        self._contract = contract
        self._kept = sorted({column for columns in compared for column in columns})
        self._parts: list[pd.DataFrame] = []
        self._violated: dict[str, list[str]] = {clause.name: [] for clause in contract.clauses}
        self._unchecked: dict[str, str] = {}
        self.keys: dict[str, int] = {}

    def take(self, chunk: pd.DataFrame) -> pd.DataFrame:
        """Number the rows of a part, and return it with text keys (`table-invalid` where one is known already)."""
        keys = list(map(str, chunk.index))
        before = len(self.keys)
        self.keys.update(zip(keys, range(before, before + len(keys)), strict=True))
        if len(self.keys) != before + len(keys):
            raise OslerError(Code.TABLE_INVALID, "Keys of the header table repeat.", "Give each row a unique key.")
        keyed = chunk.set_axis(pd.Index(keys, dtype="object", name="key"), axis="index")
        self._parts.append(_hashed(keyed[[column for column in self._kept if column in keyed.columns]]))
        return keyed

    def compared(self) -> pd.DataFrame:
        """Return the columns that clauses compare between rows, of all rows, as hashes."""
        return pd.concat(self._parts) if self._parts else pd.DataFrame()

    def judge(
        self, table: pd.DataFrame, clauses: Iterable[Clause], today: str, decodable: Collection[str] | None
    ) -> None:
        """Check clauses over a table and remember what was found."""
        wanted: dict[str, list[Check]] = {}
        for clause in clauses:
            reason = undecided(clause, table.columns, decodable)
            if reason:
                self._unchecked[clause.name] = reason
            wanted[clause.name] = list(checks_of(clause, table.columns, today, decodable))
        outcomes = validate(table, (check for checks in wanted.values() for check in checks)) if len(table) else None
        if outcomes is None:
            return
        for name, checks in wanted.items():
            found = [outcomes[check.name] for check in checks]
            if None in found:
                self._unchecked[name] = FAILED
            self._violated[name] += self._joined([violated for violated in found if violated])

    def report(self) -> ContractReport:
        """Return the report."""
        results = tuple(self._result(clause) for clause in self._contract.clauses)
        return ContractReport(self._contract, tuple(self.keys), results)

    def _joined(self, lists: list[list[str]]) -> list[str]:
        """Join lists of keys, each in the order of the table, into one in that order."""
        if len(lists) < 2:
            return [key for keys in lists for key in keys]
        return sorted({key for keys in lists for key in keys}, key=self.keys.__getitem__)

    def _result(self, clause: Clause) -> ClauseResult:
        unchecked = self._unchecked.get(clause.name)
        found = () if unchecked == FAILED else tuple(self._violated[clause.name])
        return ClauseResult(clause, found, unchecked)


def _hashed(table: pd.DataFrame) -> pd.DataFrame:
    """Replace text by 64-bit hashes: small, and equal where the text is.

    Among ten million rows, two different values share a hash with a chance of some 3 in a million.
    """
    return pd.DataFrame({name: _hashed_column(table[name]) for name in table.columns}, index=table.index)


def _hashed_column(values: pd.Series) -> pd.Series:
    known = values.notna().to_numpy()
    filled = np.zeros(len(values), dtype=np.uint64)
    filled[known] = pd.util.hash_array(values.to_numpy(dtype=object)[known], categorize=False)
    return pd.Series(pd.arrays.IntegerArray(filled, ~known), index=values.index)
