"""Each rule against a predicate written another way, and as Great Expectations runs it."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from functools import cache
from typing import Any

import pandas as pd
import pydicom.uid
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from pydicom.valuerep import DA

from osler_contracts.codes import Code
from osler_contracts.contract import Clause, Contract, Expectation, Severity
from osler_contracts.engine import check_headers
from osler_contracts.headers import header_table
from osler_contracts.rules import RULES
from osler_contracts.rules.dates import is_date, is_plausible_age
from osler_contracts.rules.uids import is_uid

TODAY = datetime.date(2024, 2, 28)
UIDS = st.one_of(
    st.lists(st.integers(0, 10**12).map(str), min_size=1, max_size=8).map(".".join),
    st.text("0123456789.", min_size=1, max_size=70),
    st.sampled_from(["1.02", "1..2", ".1", "1.", "1.2\n", "١.٢", "0.0", "1." * 31 + "12", "1." * 31 + "123"]),
)
DATES = st.one_of(
    st.dates().map(lambda day: day.strftime("%Y%m%d").zfill(8)),
    st.text("0123456789.-", min_size=1, max_size=10),
    st.sampled_from(["20230229", "20240229", "20240230", "2024.02.28", "20240228\n", "20240301", "٢٠٢٤٠٢٢٨"]),
)
AGES = st.one_of(
    st.from_regex(r"[0-9]{1,4}[DWMYX]?", fullmatch=True), st.sampled_from(["034Y", "155", "120Y", "121Y", "999M", "Y"])
)
NUMBERS = st.one_of(
    st.integers(-5, 300).map(str), st.floats(-5, 300).map(str), st.sampled_from(["nan", "x", "1e9", "inf"])
)


@cache
def _contract(name: str, kwargs: tuple[tuple[str, Any], ...]) -> Contract:
    clause = Clause(
        name="it",
        code=Code.HEADER_INVALID,
        severity=Severity.WARN,
        expectation=Expectation(type=name, kwargs=dict(kwargs)),
        clause="PS3.5",
        sentence="It is wrong.",
    )
    return Contract(name="one", version=1, summary="One clause.", clauses=(clause,))


def _violations(name: str, table: pd.DataFrame, **kwargs: Any) -> set[str]:
    report = check_headers(table, _contract(name, tuple(kwargs.items())), TODAY)
    assert not report.unchecked
    return set(report.results[0].violated)


def _violating_values(name: str, values: list[str], **kwargs: Any) -> set[str]:
    table = header_table({"key": str(row), "modality": value} for row, value in enumerate(values))
    return {values[int(key)] for key in _violations(name, table, column="modality", **kwargs)}


def _uid_by_parts(value: str) -> bool:
    parts = value.split(".")
    whole = all(part.isascii() and part.isdecimal() and str(int(part)) == part for part in parts)
    return whole and len(value) <= 64


def _date_by_datetime(value: str) -> bool:
    if len(value) != 8 or not (value.isascii() and value.isdecimal()):
        return False
    try:
        datetime.datetime.strptime(value, "%Y%m%d")
    except ValueError:
        return False
    return True


def _not_after_by_comparison(value: str) -> bool:
    # Text of this form sorts as the days do.
    return not _date_by_datetime(value) or value <= "20240229"


def _age_by_parts(value: str) -> bool:
    return len(value) == 4 and value[:3].isdecimal() and value[3] in "DWMY"


def _plausible_by_days(value: str) -> bool:
    number, unit = (value[:-1], value[-1]) if value[-1:].isalpha() else (value, "Y")
    if not number.isdecimal() or len(number) > 3 or unit not in "DWMY":
        return True
    return int(number) * {"D": 1, "W": 7, "M": 365.25 / 12, "Y": 365.25}[unit] <= 120 * 365.25


def _between_by_comparison(value: str) -> bool:
    try:
        return 1 <= float(value) <= 128
    except ValueError:
        return False


CASES: list[tuple[str, dict[str, Any], st.SearchStrategy[str], Callable[[str], bool]]] = [
    ("expect_column_values_to_be_dicom_uid", {}, UIDS, _uid_by_parts),
    ("expect_column_values_to_be_dicom_date", {}, DATES, _date_by_datetime),
    ("expect_column_values_to_be_date_not_after", {}, DATES, _not_after_by_comparison),
    ("expect_column_values_to_be_dicom_age", {}, AGES, _age_by_parts),
    ("expect_column_values_to_be_plausible_age", {"max_years": 120}, AGES, _plausible_by_days),
    (
        "expect_column_values_to_be_number_between",
        {"min_value": 1, "max_value": 128},
        NUMBERS,
        _between_by_comparison,
    ),
]


@pytest.mark.parametrize(("name", "kwargs", "values", "holds"), CASES, ids=[case[0] for case in CASES])
def test_a_rule_agrees_with_a_direct_predicate(
    name: str, kwargs: dict[str, Any], values: st.SearchStrategy[str], holds: Callable[[str], bool]
) -> None:
    today = {"today": TODAY.isoformat()} if "today" in RULES[name].arguments else {}

    @settings(max_examples=300, deadline=None, derandomize=True)
    @given(values)
    def compare(value: str) -> None:
        assert RULES[name].predicate(value, **kwargs, **today) == holds(value)

    compare()


@pytest.mark.parametrize(("name", "kwargs", "values", "holds"), CASES, ids=[case[0] for case in CASES])
def test_great_expectations_finds_the_rows_that_a_direct_predicate_finds(
    name: str, kwargs: dict[str, Any], values: st.SearchStrategy[str], holds: Callable[[str], bool]
) -> None:
    @settings(max_examples=3, deadline=None, derandomize=True, phases=[Phase.explicit, Phase.generate])
    @given(st.lists(values, min_size=60, max_size=120))
    def compare(drawn: list[str]) -> None:
        # What header_table strips is no part of a value.
        drawn = [stripped for value in drawn if (stripped := value.strip(" \t\r\n\0"))]
        assert _violating_values(name, drawn, **kwargs) == {value for value in drawn if not holds(value)}

    compare()


@settings(max_examples=3, deadline=None, derandomize=True, phases=[Phase.explicit, Phase.generate])
@given(st.lists(st.tuples(NUMBERS | st.none(), NUMBERS | st.none()), min_size=60, max_size=120))
def test_a_difference_agrees_with_subtraction_and_skips_missing_values(
    pairs: list[tuple[str | None, str | None]],
) -> None:
    table = header_table({"key": str(row), "rows": a, "columns": b} for row, (a, b) in enumerate(pairs))
    name = "expect_column_pair_numbers_to_differ_between"
    violated = _violations(name, table, column_A="rows", column_B="columns", min_value=0, max_value=9)
    for row, (a, b) in enumerate(pairs):
        if a is None or b is None:
            holds = True
        elif "x" in (a, b):
            holds = False
        else:
            holds = 0 <= float(a) - float(b) <= 9
        assert (str(row) not in violated) is holds


def test_one_of_two_columns_is_enough() -> None:
    rows = [{"rows": "1"}, {"columns": "1"}, {"rows": "1", "columns": "2"}, {}]
    table = header_table({"key": str(row), **values} for row, values in enumerate(rows))
    name = "expect_column_pair_to_hold_one_at_least"
    assert _violations(name, table, column_A="rows", column_B="columns") == {"3"}


@pytest.mark.filterwarnings("ignore::UserWarning")
@settings(deadline=None, derandomize=True)
@given(UIDS)
def test_uids_are_judged_as_pydicom_judges_them(value: str) -> None:
    if "\n" not in value and value.isascii():
        assert is_uid(value) == pydicom.uid.UID(value).is_valid


@settings(deadline=None, derandomize=True)
@given(st.dates())
def test_what_pydicom_writes_as_a_date_is_one(day: datetime.date) -> None:
    assert is_date(str(DA(day)).zfill(8))


def test_ages_that_real_exports_hold() -> None:
    assert [is_plausible_age(age, max_years=120) for age in ("43", "043Y", "153", "155Y", "1000D", "?")] == [
        True,
        True,
        False,
        False,
        True,
        True,
    ]
