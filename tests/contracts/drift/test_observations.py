"""Reading watched values: nothing that is not on the list, every patient once, whatever dirt exports hold."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from osler_contracts.codes import Code
from osler_contracts.drift.fields import FIELDS, MISSING, OTHER, number_of, word_of
from osler_contracts.drift.observations import observe, read_headers
from osler_contracts.errors import OslerError


@pytest.mark.parametrize(
    ("value", "number"),
    [
        ("0.15\\0.20", 0.15),
        ("['0.1500', '0.1500']", 0.15),
        ("[0.15, 0.15]", 0.15),
        ("034Y", 34.0),
        ("006M", 0.5),
        (" 120 ", 120.0),
        (43, 43.0),
    ],
)
def test_numbers_are_read_from_what_exports_write(value: object, number: float) -> None:
    assert number_of(value) == pytest.approx(number)


@pytest.mark.parametrize("value", ["abc", "nan", "inf", "-inf", "1e999", "[]", "0x10"])
def test_what_is_no_number_is_told_from_what_is_missing(value: str) -> None:
    number = number_of(value)
    assert number is not None
    assert math.isnan(number)
    assert number_of("") is None
    assert number_of(None) is None


@given(st.text())
def test_any_text_is_a_word_a_hole_or_other(text: str) -> None:
    word = word_of(text)
    assert word in (MISSING, OTHER) or (len(word) <= 64 and "\n" not in word)
    number = number_of(text)
    assert number is None or math.isnan(number) or math.isfinite(number)


def test_words_are_counted_however_they_are_written() -> None:
    assert {word_of("chest "), word_of("CHEST"), word_of("Chest\0")} == {"CHEST"}
    assert word_of("['L', 'F']") == word_of("L\\F") == "L\\F"
    assert word_of(12.0) == word_of("12") == "12"
    assert word_of("a long sentence " * 9) == OTHER
    assert word_of(" ") == MISSING


def test_no_name_number_date_or_instance_is_watched() -> None:
    watched = " ".join(FIELDS)
    for identifying in ("Name\n", "PatientID", "Date", "Birth", "Accession", "InstanceUID", "Comments", "Description"):
        assert identifying not in watched
    assert "Institution" not in watched
    assert "Operator" not in watched


def test_a_table_is_read_by_keyword_or_name_and_patients_are_found(tmp_path: Path) -> None:
    table = tmp_path / "headers.csv"
    table.write_text(
        "Patient ID,View Position,kvp,Patient's Name\n7,PA,120,DOE\n7,AP,x,DOE\n9,PA,,ROE\n", encoding="utf-8"
    )
    found = read_headers(table)
    assert set(found.columns) == {"ViewPosition", "KVP"}
    assert found.units.tolist() == [0, 0, 1]
    assert list(found.columns["ViewPosition"]) == ["PA", "AP", "PA"]
    assert found.columns["KVP"][0] == 120.0
    assert found.columns["KVP"][2] is None
    assert read_headers(table, unit="kvp").count == 3
    assert found.unit == "patient"
    assert read_headers(table, unit="View Position").units.tolist() == [0, 1, 0]


@pytest.mark.parametrize(
    ("content", "unit", "code"),
    [
        (None, None, Code.SOURCE_MISSING),
        ("a,b\n1,2\n", None, Code.TABLE_INVALID),
        ("KVP\n", None, Code.TABLE_INVALID),
        ("KVP\n90\n", "Nobody", Code.TABLE_INVALID),
        ("", None, Code.TABLE_INVALID),
    ],
)
def test_what_is_no_table_is_refused(tmp_path: Path, content: str | None, unit: str | None, code: Code) -> None:
    table = tmp_path / "headers.csv"
    if content is not None:
        table.write_text(content, encoding="utf-8")
    with pytest.raises(OslerError) as raised:
        read_headers(table, unit)
    assert raised.value.code is code


def test_taking_some_images_numbers_their_units_anew() -> None:
    found = observe(["a", "b", "a", "c"], {"KVP": [1, 2, 3, 4], "PatientName": ["x"] * 4})
    part = found.take(found.units != 0)
    assert part.units.tolist() == [0, 1]
    assert part.columns == {"KVP": [2.0, 4.0]}
    assert (found.count, found.images, found.first.tolist()) == (3, 4, [0, 1, 3])
