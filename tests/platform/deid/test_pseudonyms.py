"""Pseudonyms: stable, keyed, consistent in time."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.uid import UID

from osler.deid import Pseudonymizer, shift_date
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

one, other = Pseudonymizer(b"1" * 32), Pseudonymizer(b"2" * 32)


@given(st.text(max_size=64))
def test_uids_are_valid_and_hang_on_the_key(original: str) -> None:
    uid = UID(one.uid(original))
    assert uid.is_valid
    assert uid.startswith("2.25.")
    assert uid == Pseudonymizer(b"1" * 32).uid(original)
    assert uid != other.uid(original)


@given(st.text(max_size=20), st.text(max_size=20))
def test_patients_of_two_issuers_stay_apart(number: str, issuer: str) -> None:
    assert one.patient(number, issuer) != one.patient(number, issuer + "x")
    assert one.patient(number + "x", issuer) != one.patient(number, "x" + issuer)


@given(st.text(max_size=20), st.dates(date(1900, 1, 1)), st.dates(date(1900, 1, 1)))
def test_intervals_of_a_patient_are_kept(number: str, first: date, second: date) -> None:
    days = one.days(number)
    assert -3653 <= days <= -366
    moved = [date.fromisoformat(shift_date(f"{day:%Y%m%d}", days)) for day in (first, second)]
    assert moved[1] - moved[0] == second - first
    assert moved[0] != first


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("20200302", "20200301"),
        ("20200101123456.789+0100", "20191231123456.789+0100"),
        ("", ""),
        ("2020", ""),
        ("20201340", ""),
        ("00010101", ""),
        ("20200302 GRABLOWSKI", ""),
    ],
)
def test_shift_of_single_values(value: str, expected: str) -> None:
    assert shift_date(value, -1) == expected


def test_short_key_is_refused() -> None:
    with pytest.raises(OslerError) as caught:
        Pseudonymizer(b"short")
    assert caught.value.code is Code.KEY_INVALID
