"""Words for people: nothing internal, nothing rounded into certainty."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from osler_contracts.codes import Code
from osler_contracts.contract import Severity, load_contract, shipped_contracts
from osler_dashboard.words import REASONS, WARNINGS, percent, signed, site_name, spoken, study_names


def test_every_code_of_a_shipped_contract_has_words() -> None:
    clauses = [clause for name in shipped_contracts() for clause in load_contract(name).clauses]
    assert {clause.code for clause in clauses if clause.severity is Severity.WARN} <= WARNINGS.keys()
    assert {clause.code for clause in clauses if clause.severity is not Severity.WARN} <= REASONS.keys()


def test_every_code_of_the_reader_has_words() -> None:
    from osler.dicom.refusals import EXPLANATIONS

    assert EXPLANATIONS.keys() | {Code.DUPLICATE} <= REASONS.keys()


def test_studies_are_numbered_by_site_in_the_order_of_arrival() -> None:
    names = study_names({"x": "hospital_b", "y": "hospital_a", "z": "hospital_b"}, ["z", "y", "x"])
    assert names == {
        "z": "Hospital B · study 0001",
        "y": "Hospital A · study 0001",
        "x": "Hospital B · study 0002",
    }


def test_sites_and_identifiers_are_spoken() -> None:
    assert [site_name(name) for name in ("b", "hospital_b", "st-mary")] == ["Hospital B", "Hospital B", "St mary"]
    assert spoken("heart_failure") == "Heart failure"


@given(st.floats(0, 1))
def test_a_doubt_is_never_rounded_away(fraction: float) -> None:
    text = percent(fraction)
    assert (text == "100%") == (fraction == 1)
    assert (text == "0%") == (fraction == 0)


def test_signs_are_shown_and_zero_has_none() -> None:
    assert [signed(value) for value in (1.234, -0.5, 0.001, -0.001)] == ["+1.23", "−0.50", "0.00", "0.00"]
