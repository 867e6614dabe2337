"""Words for people: nothing internal, nothing rounded into certainty."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from osler.archive.explanations import explain_all
from osler_contracts.contract import Severity
from osler_dashboard.words import REASONS, WARNINGS, ago, percent, short_day, signed, site_name, spoken, warning


def test_every_code_of_a_file_has_words() -> None:
    for code, rules in explain_all().items():
        severities = {rule.severity for rule in rules}
        assert code in REASONS or severities == {str(Severity.WARN)}, code
        assert code in WARNINGS or str(Severity.WARN) not in severities, code


def test_what_had_kept_a_released_file_out_is_said_as_a_sentence() -> None:
    assert warning("released") == "It was held back, and a person let it in."
    assert warning("wrong-sop-class") == "Another kind of image."


def test_dates_are_said_and_told_apart() -> None:
    assert short_day("20260106") == "6 Jan 2026"
    assert short_day("") == short_day("unknown") == ""
    assert ago("20260101", "20260102") == "1 day earlier"
    assert ago("20251101", "20260102") == "2 months earlier"
    assert ago("20200101", "20260102") == "6 years earlier"
    assert ago("", "20260102") == "earlier"


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
