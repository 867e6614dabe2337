"""The contracts in the package: they accept what is right and give what is wrong its code."""

from __future__ import annotations

import datetime
import re

import pandas as pd
import pytest

from osler_contracts.codes import Code
from osler_contracts.contract import Severity, load_contract, shipped_contracts
from osler_contracts.engine import check_headers
from osler_contracts.headers import header_table
from osler_contracts.report import ContractReport

TODAY = datetime.date(2024, 2, 28)
DECODABLE = ("1.2.840.10008.1.2.1",)

# What is done to a good header of a chest radiograph, and the one reason that it must be given.
SPOILED: list[tuple[dict[str, object], Code, Severity]] = [
    ({"modality": "MR", "sop_class_uid": "1.2.840.10008.5.1.4.1.1.4"}, Code.WRONG_MODALITY, Severity.REFUSE),
    ({"modality": None}, Code.WRONG_MODALITY, Severity.REFUSE),
    ({"sop_class_uid": "1.2.840.10008.5.1.4.1.1.7"}, Code.WRONG_SOP_CLASS, Severity.QUARANTINE),
    ({"pixel_data_present": False, "pixel_data_length": 0}, Code.NO_PIXELS, Severity.REFUSE),
    ({"sop_instance_uid": "1.02.3"}, Code.UID_INVALID, Severity.REFUSE),
    ({"study_instance_uid": ""}, Code.UID_INVALID, Severity.REFUSE),
    ({"series_instance_uid": "1." * 40 + "1"}, Code.UID_INVALID, Severity.REFUSE),
    ({"rows": 16}, Code.ABSURD_SIZE, Severity.REFUSE),
    ({"columns": 60000}, Code.ABSURD_SIZE, Severity.REFUSE),
    ({"number_of_frames": 30}, Code.PIXEL_FORMAT_INVALID, Severity.REFUSE),
    ({"samples_per_pixel": 3}, Code.PIXEL_FORMAT_INVALID, Severity.REFUSE),
    ({"photometric_interpretation": "PALETTE COLOR"}, Code.PIXEL_FORMAT_INVALID, Severity.REFUSE),
    ({"bits_allocated": 32}, Code.PIXEL_FORMAT_INVALID, Severity.REFUSE),
    ({"bits_allocated": 8}, Code.PIXEL_FORMAT_INVALID, Severity.REFUSE),
    ({"bits_stored": 4, "high_bit": 3}, Code.PIXEL_FORMAT_INVALID, Severity.REFUSE),
    ({"high_bit": 15}, Code.PIXEL_FORMAT_INVALID, Severity.REFUSE),
    ({"pixel_representation": None}, Code.PIXEL_FORMAT_INVALID, Severity.REFUSE),
    ({"pixel_data_length": 409598}, Code.TRUNCATED, Severity.REFUSE),
    ({"transfer_syntax_uid": "1.2.840.10008.1.2.4.201"}, Code.DECODER_MISSING, Severity.QUARANTINE),
    ({"private_identifier": True}, Code.IDENTIFIER_IN_PRIVATE_TAG, Severity.QUARANTINE),
    ({"burned_in_annotation": "YES"}, Code.BURNED_IN_TEXT, Severity.QUARANTINE),
    ({"study_date": "20240301"}, Code.FUTURE_DATE, Severity.QUARANTINE),
    ({"acquisition_date": "20990101"}, Code.FUTURE_DATE, Severity.QUARANTINE),
    ({"content_date": "20250101"}, Code.FUTURE_DATE, Severity.QUARANTINE),
    ({"series_date": "20250101"}, Code.FUTURE_DATE, Severity.QUARANTINE),
    ({"patient_birth_date": "20240202"}, Code.DATES_INCOHERENT, Severity.QUARANTINE),
    ({"body_part_examined": "EXTREMETY"}, Code.WRONG_BODY_PART, Severity.QUARANTINE),
    ({"study_instance_uid": "9999.1"}, Code.UID_ROOT_INVALID, Severity.WARN),
    ({"study_date": "2024-01-31"}, Code.DATE_INVALID, Severity.WARN),
    ({"acquisition_date": "20230229"}, Code.DATE_INVALID, Severity.WARN),
    ({"content_date": "3101"}, Code.DATE_INVALID, Severity.WARN),
    ({"patient_birth_date": "8.7.1989"}, Code.DATE_INVALID, Severity.WARN),
    ({"series_date": "20240120"}, Code.DATES_INCOHERENT, Severity.WARN),
    ({"acquisition_date": "20240120"}, Code.DATES_INCOHERENT, Severity.WARN),
    ({"patient_age": "055Y"}, Code.AGE_MISMATCH, Severity.WARN),
    ({"patient_age": "34"}, Code.AGE_INVALID, Severity.WARN),
    ({"patient_age": "155Y"}, Code.IMPLAUSIBLE_AGE, Severity.WARN),
    ({"view_position": "LARGE LATERAL"}, Code.VIEW_UNKNOWN, Severity.WARN),
    ({"view_position": None}, Code.VIEW_UNKNOWN, Severity.WARN),
    ({"view_position": "LL"}, Code.ORIENTATION_MISMATCH, Severity.WARN),
    ({"laterality": "X"}, Code.LATERALITY_INVALID, Severity.WARN),
    ({"image_laterality": "LEFT"}, Code.LATERALITY_INVALID, Severity.WARN),
    ({"patient_orientation": None}, Code.ORIENTATION_UNKNOWN, Severity.WARN),
    ({"pixel_spacing": None, "imager_pixel_spacing": None}, Code.SPACING_UNKNOWN, Severity.WARN),
    ({"pixel_spacing": [0.0, 0.4]}, Code.SPACING_INVALID, Severity.WARN),
    ({"body_part_examined": "chest"}, Code.VALUE_FORM_INVALID, Severity.WARN),
    ({"pixel_spacing": ["0.14300000000000002"] * 2}, Code.VALUE_FORM_INVALID, Severity.WARN),
    ({"patient_id": "A" * 65}, Code.VALUE_FORM_INVALID, Severity.WARN),
    ({"specific_character_set": "UTF-8"}, Code.CHARACTER_SET_UNKNOWN, Severity.WARN),
    ({"pixel_data_length": 409602}, Code.PIXEL_DATA_EXCESS, Severity.WARN),
]
# What may differ without any word.
HARMLESS: list[dict[str, object]] = [
    {"modality": "CR", "sop_class_uid": "1.2.840.10008.5.1.4.1.1.1"},
    {"photometric_interpretation": "MONOCHROME1"},
    {"number_of_frames": 1},
    {"view_position": "LL", "patient_orientation": ["A", "F"]},
    {"view_position": "LL", "patient_orientation": ["F", "P"]},
    {"view_position": "RLO"},
    {"body_part_examined": None, "image_laterality": None, "patient_age": None, "burned_in_annotation": None},
    {"body_part_examined": "PORTABLE CHEST"},
    {"study_date": None, "acquisition_date": None, "content_date": None},
    {"pixel_data_length": None, "pixel_length_expected": None},
    {"pixel_data_length": 409601},
    {"specific_character_set": ["", "ISO 2022 IR 87"]},
    {"specific_character_set": None, "patient_birth_date": None, "series_date": None},
    {"patient_birth_date": None, "patient_age": "012W"},
    {"pixel_spacing": None, "imager_pixel_spacing": [0.15, 0.15]},
    # Tomorrow, in another time zone.
    dict.fromkeys(("study_date", "series_date", "acquisition_date", "content_date"), "20240229"),
]


@pytest.fixture(scope="module")
def report(chest_header: dict[str, object]) -> ContractReport:
    changes = [change for change, *_ in SPOILED] + HARMLESS
    rows = [chest_header | _own(number) | change for number, change in enumerate(changes)]
    table = header_table({"key": str(number), **row} for number, row in enumerate(rows))
    return check_headers(table, load_contract("chest-radiograph"), TODAY, DECODABLE)


def _own(number: int) -> dict[str, object]:
    """Return what makes a row a file of its own, so that no clause across rows is meant."""
    uids = {f"{kind}_instance_uid": f"1.2.3.{number}.{at}" for at, kind in enumerate(("sop", "study", "series"), 1)}
    return {**uids, "patient_id": f"A-{number}", "content_sha256": f"{number:064}"}


@pytest.mark.parametrize("number", range(len(SPOILED)), ids=lambda number: f"{SPOILED[number][1]}-{number}")
def test_what_is_spoiled_gets_its_code_first(report: ContractReport, number: int) -> None:
    _, code, severity = SPOILED[number]
    reason = report.by_row()[str(number)][0]
    assert (reason.code, reason.severity) == (code, severity)


@pytest.mark.parametrize("number", range(len(HARMLESS)))
def test_what_may_differ_is_accepted_without_a_word(report: ContractReport, number: int) -> None:
    assert report.by_row()[str(len(SPOILED) + number)] == []


def test_every_clause_of_the_chest_contract_is_violated_by_some_row(report: ContractReport) -> None:
    left = [result.clause for result in report.results if not result.violated]
    assert all(clause.expectation.compares_rows for clause in left), "test_across_rows.py tries these"


def test_outcomes_add_up_to_the_rows(report: ContractReport) -> None:
    assert sum(report.counts().values()) == len(SPOILED) + len(HARMLESS)
    assert report.counts()["accept"] == len(HARMLESS)


@pytest.mark.parametrize("name", shipped_contracts())
def test_a_shipped_contract_accepts_what_it_is_for(name: str, good_headers: dict[str, dict[str, object]]) -> None:
    report = check_headers(header_table([{"key": "good", **good_headers[name]}]), load_contract(name), TODAY, DECODABLE)
    assert report.by_row() == {"good": []}
    assert report.unchecked == ()


def test_contracts_keep_each_other_out(good_headers: dict[str, dict[str, object]]) -> None:
    headers = enumerate(good_headers.items())
    table = header_table({"key": name, **header, **_own(number)} for number, (name, header) in headers)
    for name in ("chest-radiograph", "dermoscopy", "cell-microscopy"):
        hits = check_headers(table, load_contract(name), TODAY, DECODABLE).by_row()
        assert {key for key, found in hits.items() if not found} == {name}
        assert all(found[0].code is Code.WRONG_MODALITY for found in hits.values() if found)


@pytest.mark.parametrize("name", shipped_contracts())
def test_clauses_name_the_standard_and_say_what_to_do(name: str) -> None:
    for clause in load_contract(name).clauses:
        assert re.match(r"PS3\.\d+ [A-Z]?[\d.]+|Osler, ", clause.clause), clause.name
        assert clause.sentence.endswith("."), clause.name
        if clause.severity is not Severity.WARN:
            assert clause.sentence.count(". ") >= 1, f"{clause.name} says what is wrong but not the mend"


def test_a_date_that_is_compared_is_also_checked_for_its_form() -> None:
    clauses = load_contract("chest-radiograph").clauses
    columns = {
        kind: {*clause.expectation.columns}
        for clause in clauses
        for kind in ("date_not_after", "dicom_date")
        if clause.expectation.type.endswith(kind)
    }
    assert columns["date_not_after"] == {"study_date", "series_date", "acquisition_date", "content_date"}
    assert columns["dicom_date"] == columns["date_not_after"] | {"patient_birth_date"}


def test_an_absent_column_is_not_a_null_one(chest_header: dict[str, object]) -> None:
    contract = load_contract("chest-radiograph")
    table = header_table([{"key": "a", **chest_header}]).drop(columns=["image_laterality", "high_bit"])
    report = check_headers(table, contract, TODAY, DECODABLE)
    told = {result.clause.name: (result.state, result.unchecked) for result in report.unchecked}
    assert told == {
        "laterality": ("could not be checked", "the table lacks image_laterality"),
        "code-strings": ("could not be checked", "the table lacks image_laterality"),
        "pixels-agree": ("could not be checked", "the table lacks high_bit"),
    }
    assert report.by_row() == {"a": []}
    nulled = check_headers(table.assign(view_position=pd.Series([None], index=table.index)), contract, TODAY, DECODABLE)
    assert [hit.code for hit in nulled.by_row()["a"]] == [Code.VIEW_UNKNOWN]


def test_a_clause_of_several_columns_speaks_of_those_that_are_there(chest_header: dict[str, object]) -> None:
    table = header_table([{"key": "a", **chest_header, "study_date": "20250101"}]).drop(columns="series_date")
    report = check_headers(table, load_contract("chest-radiograph"), TODAY, DECODABLE)
    [result] = [result for result in report.results if result.clause.name == "dates-past"]
    assert (result.state, result.violated, result.unchecked) == ("violated", ("a",), "the table lacks series_date")
    assert [hit.code for hit in report.by_row()["a"]][:1] == [Code.FUTURE_DATE]


def test_nobody_saying_what_can_be_decoded_is_no_verdict(chest_header: dict[str, object]) -> None:
    report = check_headers(header_table([{"key": "a", **chest_header}]), load_contract("chest-radiograph"), TODAY)
    told = "nobody said which transfer syntaxes can be decoded here"
    assert {result.clause.name: result.unchecked for result in report.unchecked} == {"decoder": told}
