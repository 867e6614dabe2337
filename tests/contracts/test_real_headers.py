"""The chest contract over exported headers: a small dirty table always, those of two institutions where they lie."""

from __future__ import annotations

import datetime
from pathlib import Path

import pytest

from osler_contracts.contract import load_contract
from osler_contracts.engine import check_headers
from osler_contracts.headers import read_header_csv

FOLDERS = (Path(__file__).parent / "data", Path(__file__).parents[2].parent / "shared" / "data" / "headers")
TABLES = {path.name: path for folder in FOLDERS for path in sorted(folder.glob("*.csv*"))}
# Rows, the clauses that fire with their number of rows, and clauses that hold.
EXPECTED: dict[str, tuple[int, dict[str, int], set[str]]] = {
    "dirty_headers.csv": (
        4,
        {
            "uid-form": 1,
            "pixels-agree": 1,
            "dates-past": 1,
            "body-part": 1,
            "one-patient-a-study": 2,
            "instance-repeated": 2,
            "uid-root": 1,
            "dates-in-order": 1,
            "age-form": 2,
            "age-plausible": 1,
            "age-fits-birth": 1,
            "view-known": 1,
            "view-orientation": 1,
            "orientation-known": 1,
            "spacing-known": 1,
            "code-strings": 1,
        },
        {"modality", "size", "number-strings"},
    ),
    "nlmcxr_dicom_headers.csv.gz": (
        7469,
        {
            "sop-class": 2,
            "body-part": 2,
            "instance-repeated": 4,
            "uid-root": 7469,
            "view-known": 2707,
            "orientation-known": 2988,
            "spacing-known": 2,
        },
        {"modality", "uid-form", "size", "pixels-agree", "one-patient-a-study", "view-orientation", "character-set"},
    ),
    "rsna_dicom_headers.csv.gz": (
        26684,
        {"age-form": 26684, "age-plausible": 5, "orientation-known": 26684, "number-strings": 10344},
        {"modality", "samples-per-pixel", "body-part", "view-known"},
    ),
}


@pytest.mark.parametrize("name", TABLES)
def test_what_fires_on_a_real_table_is_known_clause_by_clause(name: str) -> None:
    rows, fires, holds = EXPECTED[name]
    report = check_headers(read_header_csv(TABLES[name]), load_contract("chest-radiograph"), datetime.date(2024, 2, 28))
    assert len(report.keys) == sum(report.counts().values()) == rows
    assert {r.clause.name: len(r.violated) for r in report.results if r.violated} == fires
    assert holds <= {result.clause.name for result in report.results if result.state == "held"}
