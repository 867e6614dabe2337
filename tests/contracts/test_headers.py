"""Header tables: from mappings, and from the exports that people have."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from osler_contracts.codes import Code
from osler_contracts.contract import load_contract
from osler_contracts.engine import check_headers
from osler_contracts.errors import OslerError
from osler_contracts.headers import COLUMNS, KEYWORDS, header_table, read_header_csv

# The dirt of real exports: printed lists, decimals, line breaks in a field, ages without a unit, free words.
DIRTY = """\
imageid,Modality,Rows,Columns,Bits Stored,High Bit,Patient's Age,Patient Orientation,View Position,Study Date,Pixel Spacing,Body Part Examined,Referring Physician's Name,
a,CR,2828,2320.0,12,11,43,"['L', 'F']",PA,20110328,"['0.1500', '0.1500']",CHEST,X,
b,CR,2828,2320,12,11,155,,"LARGE LATERAL",20110328,0.168,EXTREMETY,"Y
Z",
c,CR,2828.0,2320,12,15,034Y,"['A', 'F']","LL
",20990101,,NON GRID CHEST,,
"""


def test_an_export_becomes_text_and_nulls(tmp_path: Path) -> None:
    path = tmp_path / "dirty.csv.gz"
    path.write_bytes(gzip.compress(DIRTY.encode()))
    table = read_header_csv(path, key="imageid")
    assert list(table.index) == ["a", "b", "c"]
    assert table.loc["a", ["columns", "patient_orientation", "pixel_spacing"]].tolist() == [
        "2320",
        "L\\F",
        "0.1500\\0.1500",
    ]
    assert table.loc["c", "view_position"] == "LL"
    assert table["patient_orientation"].isna().tolist() == [False, True, False]
    assert "sop_class_uid" not in table.columns
    assert set(table.columns) <= set(COLUMNS)


@pytest.mark.parametrize("spelling", ["SOPClassUID", "SOP Class UID", "sop_class_uid", "sop class uid"])
def test_an_attribute_is_known_by_any_spelling(tmp_path: Path, spelling: str) -> None:
    path = tmp_path / "one.csv"
    path.write_text(f"{spelling}\n1.2.3\n", encoding="utf-8")
    assert read_header_csv(path)["sop_class_uid"].tolist() == ["1.2.3"]


@pytest.mark.parametrize(
    ("text", "key", "code"),
    [
        ("", None, Code.TABLE_INVALID),
        ("shoe,size\n1,2\n", None, Code.TABLE_INVALID),
        ("Modality,modality\nCR,CR\n", None, Code.TABLE_INVALID),
        ("Modality\nCR\n", "imageid", Code.TABLE_INVALID),
        ("Modality\nCR\nCR\n", "Modality", Code.TABLE_INVALID),
        (None, None, Code.SOURCE_MISSING),
    ],
)
def test_what_is_no_header_table_is_refused(tmp_path: Path, text: str | None, key: str | None, code: Code) -> None:
    path = tmp_path / "table.csv"
    if text is not None:
        path.write_text(text, encoding="utf-8")
    with pytest.raises(OslerError) as caught:
        read_header_csv(path, key)
    assert caught.value.code is code


def test_a_broken_archive_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "cut.csv.gz"
    path.write_bytes(gzip.compress(DIRTY.encode())[:-20])
    with pytest.raises(OslerError) as caught:
        read_header_csv(path)
    assert caught.value.code is Code.TABLE_INVALID


def test_values_become_text() -> None:
    table = header_table(
        [{"key": 1, "rows": 512, "private_identifier": False, "modality": " ", "pixel_spacing": (0.1, 0.2)}]
    )
    row = table.loc["1"]
    assert header_table([{"key": 1, "rows": float("nan")}])["rows"].isna().all()
    assert row[["rows", "private_identifier", "pixel_spacing"]].tolist() == ["512", "NO", "0.1\\0.2"]
    assert row["modality"] is None
    assert tuple(table.columns) == COLUMNS


def test_only_the_columns_that_were_looked_for_are_there() -> None:
    assert list(header_table([{"key": "a"}], columns=["modality"]).columns) == ["modality"]


def test_no_rows_make_an_empty_table_that_passes() -> None:
    report = check_headers(header_table([]), load_contract("any-image"))
    assert report.by_row() == {}
    assert sum(report.counts().values()) == 0


@pytest.mark.parametrize("rows", [[{"modality": "CR"}], [{"key": "a"}, {"key": "a"}], [{"key": "a", "shoe_size": 1}]])
def test_a_table_without_unique_keys_or_with_unknown_columns_is_refused(rows: list[dict[str, object]]) -> None:
    with pytest.raises(OslerError) as caught:
        header_table(rows)
    assert caught.value.code is Code.TABLE_INVALID


def test_keywords_are_those_of_the_standard() -> None:
    from pydicom.datadict import tag_for_keyword

    assert [keyword for keyword in KEYWORDS.values() if tag_for_keyword(keyword) is None] == []
