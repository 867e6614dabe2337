"""Whatever a table holds: the engine answers for every clause, and its answer holds keys and nothing of the table."""

from __future__ import annotations

import datetime
import json

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from osler_contracts.contract import load_contract, shipped_contracts
from osler_contracts.engine import check_headers
from osler_contracts.headers import COLUMNS, header_table

MARK = "planted"  # in every text that is drawn, so that any leak shows
VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=30).map(MARK.__add__),
    st.text(st.characters(), max_size=80).map(MARK.__add__),
    st.lists(st.text(max_size=8).map(MARK.__add__), max_size=4),
    st.sampled_from(["1.2.3", "9999.1", "20240230", "155", "034Y", "\\", "0.1\\0.1", "nan", "inf", "1e999", "-0"]),
)
TABLES = st.lists(st.dictionaries(st.sampled_from(COLUMNS), VALUES, max_size=len(COLUMNS)), max_size=6)
LOOKED_FOR = st.sets(st.sampled_from(COLUMNS))


@pytest.mark.parametrize("name", shipped_contracts())
def test_any_table_gets_an_answer_without_its_values(name: str) -> None:
    contract = load_contract(name)

    @settings(max_examples=6, deadline=None, derandomize=True, phases=[Phase.explicit, Phase.generate])
    @given(TABLES, LOOKED_FOR)
    def check(rows: list[dict[str, object]], columns: set[str]) -> None:
        seen = [{key: value for key, value in row.items() if key in columns} for row in rows]
        table = header_table(({"key": f"k{number}", **row} for number, row in enumerate(seen)), sorted(columns))
        report = check_headers(table, contract, datetime.date(2024, 2, 28), ["1.2.840.10008.1.2.1"])
        assert not [result for result in report.results if result.unchecked == "the check itself failed"]
        assert MARK not in json.dumps(report.to_dict()) + repr(report)
        assert sum(report.counts().values()) == len(rows)
        for result in report.results:
            assert {*result.violated} <= {*table.index}
            whole = {*result.clause.expectation.columns} <= columns
            assert (result.unchecked is None) is whole

    check()
