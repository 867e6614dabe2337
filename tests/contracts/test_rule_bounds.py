"""Rules that are new to DICOM tables, with drawn values on both sides of each bound, against what made them."""

from __future__ import annotations

import datetime

from hypothesis import given, settings
from hypothesis import strategies as st

from osler_contracts.rules import RULES
from osler_contracts.rules.character_sets import is_character_set
from osler_contracts.rules.dates import age_fits_birth, are_in_order
from osler_contracts.rules.magnitudes import is_spacing
from osler_contracts.rules.pixels import SAMPLES, pixels_agree
from osler_contracts.rules.position import view_fits_orientation
from osler_contracts.rules.uids import has_uid_root, is_listed, is_uid
from osler_contracts.rules.value_representation import REPRESENTATIONS, fits_representation

quick = settings(deadline=None, derandomize=True, max_examples=200)
DAYS = st.dates(datetime.date(1900, 1, 1), datetime.date(2100, 1, 1))
CAPITALS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_"


def _written(day: datetime.date) -> str:
    return f"{day:%Y%m%d}"


@quick
@given(st.integers(0, 12), st.integers(0, 60), st.integers(0, 10**20))
def test_a_root_can_exist_or_not(first: int, second: int, third: int) -> None:
    uid = f"{first}.{second}.{third}"
    assert is_uid(uid)
    assert has_uid_root(uid) is (first == 2 or (first < 2 and second <= 39))


@quick
@given(st.sampled_from(["2", "1.39", "0.0", "2.999"]), st.sampled_from(["1.02", "1..2", "x"]))
def test_short_roots_hold_and_what_is_no_uid_is_left_to_the_rule_of_form(root: str, malformed: str) -> None:
    assert has_uid_root(root) is (root != "2")
    assert has_uid_root(malformed)


@quick
@given(st.lists(st.sampled_from("abcd"), unique=True), st.sampled_from("abcd"))
def test_what_can_be_decoded_is_what_was_listed(listed: list[str], syntax: str) -> None:
    assert is_listed(syntax, decodable=listed) is (syntax in listed)


@quick
@given(DAYS, st.integers(-400, 400), st.integers(0, 30))
def test_two_dates_are_in_order_up_to_the_slack(first: datetime.date, days: int, slack: int) -> None:
    second = first + datetime.timedelta(days=days)
    assert are_in_order(_written(first), _written(second), slack_days=slack) is (days >= -slack)
    assert are_in_order(_written(first), None, _written(second), slack_days=slack) is (days >= -slack)
    assert are_in_order(_written(first), "2011-3-1", slack_days=slack)


@quick
@given(st.lists(DAYS, max_size=5))
def test_sorted_dates_are_in_order(days: list[datetime.date]) -> None:
    assert are_in_order(*map(_written, sorted(days)))


@quick
@given(DAYS, st.integers(0, 110), st.integers(0, 360))
def test_a_true_age_fits_and_one_too_far_does_not(born: datetime.date, years: int, rest: int) -> None:
    study = born + datetime.timedelta(days=int(years * 365.25) + rest)
    birth, taken = _written(born), _written(study)
    assert age_fits_birth(f"{years:03}Y", birth, taken)
    assert not age_fits_birth(f"{years + 3:03}Y", birth, taken)
    assert years < 3 or not age_fits_birth(f"{years - 3:03}Y", birth, taken)
    assert age_fits_birth(None, birth, taken)
    assert age_fits_birth(f"{years + 3:03}Y", birth, None)
    assert age_fits_birth("old", birth, taken)


@quick
@given(DAYS, st.integers(0, 140))
def test_the_units_of_ages_agree(born: datetime.date, weeks: int) -> None:
    taken = _written(born + datetime.timedelta(weeks=weeks))
    days = min(weeks * 7, 999)
    assert age_fits_birth(f"{weeks:03}W", _written(born), taken)
    assert age_fits_birth(f"{days:03}D", _written(born), taken)
    assert age_fits_birth(f"{int(weeks * 7 / 30.4375):03}M", _written(born), taken)


@quick
@given(st.floats(0.001, 100), st.floats(0.001, 100))
def test_a_spacing_is_two_distances_within_bounds(first: float, second: float) -> None:
    inside = 0.01 <= first <= 10 and 0.01 <= second <= 10
    assert is_spacing(f"{first}\\{second}", min_value=0.01, max_value=10) is inside
    assert is_spacing(str(first), min_value=0.01, max_value=10) is (0.01 <= first <= 10)
    assert not is_spacing(f"{first}\\{second}\\{second}", min_value=0.001, max_value=100)
    assert not is_spacing(f"{first}\\x", min_value=0.001, max_value=100)


@quick
@given(
    st.sampled_from(sorted(SAMPLES)),
    st.integers(1, 4),
    st.sampled_from([1, 4, 8, 12, 16, 24, 32]),
    st.integers(0, 40),
    st.integers(-1, 40),
    st.integers(0, 2),
)
def test_pixels_agree_as_the_standard_says(
    photometric: str, samples: int, allocated: int, stored: int, high: int, sign: int
) -> None:
    grey = photometric in ("MONOCHROME1", "MONOCHROME2")
    needed = 1 if grey or photometric == "PALETTE COLOR" else 3
    holds = (
        samples == needed
        and allocated in (1, 8, 16, 24, 32)
        and 1 <= stored <= allocated
        and high + 1 == stored
        and (sign == 0 or (sign == 1 and grey))
    )
    values = (photometric, str(samples), str(allocated), str(stored), str(high), str(sign))
    assert pixels_agree(*values) is holds
    if holds:
        assert all(pixels_agree(*values[:at], None, *values[at + 1 :]) for at in range(6))


@quick
@given(st.sampled_from(["PA", "AP", "LL", "RL"]), st.sampled_from("LRAPFH"), st.sampled_from("LRAPFH"))
def test_a_view_shows_two_sides_and_the_length_of_the_body(view: str, across: str, along: str) -> None:
    sides = {"L", "R"} if view in ("PA", "AP") else {"A", "P"}
    holds = any(one in sides and other in {"F", "H"} for one, other in ((across, along), (along, across)))
    assert view_fits_orientation(view, f"{across}\\{along}") is holds
    assert view_fits_orientation("OBL", f"{across}\\{along}")
    assert view_fits_orientation(view, across)
    assert view_fits_orientation(None, None)


@quick
@given(st.integers(1, 250))
def test_the_character_sets_are_those_that_pydicom_decodes(number: int) -> None:
    from pydicom.charset import python_encoding

    for term in (f"ISO_IR {number}", f"ISO 2022 IR {number}"):
        # Latin alphabet No. 9 came into the standard later than into pydicom.
        known = number == 203 or term in python_encoding
        assert is_character_set(term) is (known and term != "ISO_IR 6")
    assert is_character_set("ISO_IR 192")
    assert not is_character_set(f"ISO 2022 IR 6\\ISO_IR {number}")


@quick
@given(st.text(CAPITALS + " ", max_size=24), st.text(max_size=20))
def test_a_code_string_is_sixteen_capitals_at_most(code: str, anything: str) -> None:
    assert fits_representation(code, vr="CS") is (len(code.strip(" ")) <= 16)
    allowed = all(character in CAPITALS + " " for character in anything) and len(anything.strip(" ")) <= 16
    if "\\" not in anything:
        assert fits_representation(anything, vr="CS") is allowed


@quick
@given(st.integers(-(2**33), 2**33), st.integers(0, 70_000), st.decimals(-(10**9), 10**9, places=6))
def test_numbers_keep_to_their_representation(whole: int, short: int, decimal: object) -> None:
    assert fits_representation(str(whole), vr="IS") is (-(2**31) <= whole < 2**31)
    assert fits_representation(str(short), vr="US") is (short <= 65535)
    assert fits_representation(str(decimal), vr="DS") is (len(str(decimal)) <= 16)
    assert not fits_representation(f"{whole}x", vr="IS")
    assert not fits_representation("1,5", vr="DS")


@quick
@given(st.text("AB^=\n", max_size=140), st.integers(0, 130))
def test_text_keeps_to_its_length_on_one_line(name: str, length: int) -> None:
    groups = name.split("=")
    holds = len(groups) <= 3 and all(len(group) <= 64 and group.count("^") <= 4 for group in groups)
    assert fits_representation(name, vr="PN") is (holds and "\n" not in name)
    assert fits_representation("x" * length, vr="LO") is (length <= 64)
    assert fits_representation("x" * length, vr="SH") is (length <= 16)
    assert not fits_representation("a\x00b", vr="LO")
    assert fits_representation("a\\b", vr="LO")


@quick
@given(st.sampled_from(sorted(REPRESENTATIONS)), st.text())
def test_any_text_gets_an_answer_from_any_rule(vr: str, text: str) -> None:
    assert fits_representation(text, vr=vr) in (True, False)
    assert fits_representation("", vr=vr)
    for rule in RULES.values():
        if rule.scope.value == "column" and not rule.arguments:
            assert rule.predicate(text) in (True, False)
