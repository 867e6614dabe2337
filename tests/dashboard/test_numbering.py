"""A number of a study stays its own, whatever is deleted."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from osler.workspace import Workspace
from osler_dashboard.numbering import FILE, _numbered, study_numbers
from osler_dashboard.words import study_name


def test_studies_are_numbered_by_site_in_the_order_of_arrival(tmp_path: Path) -> None:
    workspace = Workspace.open(tmp_path, create=True)
    sites = {"x": "hospital_b", "y": "hospital_a", "z": "hospital_b"}
    assert study_numbers(workspace, sites, ["z", "y", "x"]) == {"z": 1, "y": 1, "x": 2}
    assert study_name("hospital_b", 2) == "Hospital B · study 0002"


def test_a_number_is_not_given_again_after_a_deletion(tmp_path: Path) -> None:
    workspace = Workspace.open(tmp_path, create=True)
    sites = dict.fromkeys("abcd", "here")
    assert study_numbers(workspace, sites, ["a", "b"]) == {"a": 1, "b": 2}
    assert study_numbers(workspace, sites, ["b"]) == {"b": 2}
    assert study_numbers(workspace, sites, ["b", "c"]) == {"b": 2, "c": 3}
    assert study_numbers(workspace, sites, []) == {}
    assert study_numbers(workspace, sites, ["d"]) == {"d": 4}


def test_what_is_kept_names_no_study_and_may_be_damaged(tmp_path: Path) -> None:
    workspace = Workspace.open(tmp_path, create=True)
    study_numbers(workspace, {"2.25.123": "here"}, ["2.25.123"])
    path = workspace.feedback / FILE
    assert b"2.25.123" not in path.read_bytes()
    for spoilt in (b"", b"[]", b'{"here": 3}', b"\xff"):
        path.write_bytes(spoilt)
        assert study_numbers(workspace, {"2.25.123": "here"}, ["2.25.123"]) == {"2.25.123": 1}


@given(st.lists(st.sets(st.sampled_from("abcdefgh")), max_size=8))
def test_numbers_never_move_and_never_meet(visits: list[set[str]]) -> None:
    held: dict[str, object] = {}
    given_to: dict[int, str] = {}
    before: dict[str, int] = {}
    for present in visits:
        numbers, held = _numbered(held, dict.fromkeys("abcdefgh", "here"), sorted(present))
        assert len(set(numbers.values())) == len(numbers)
        for uid, number in numbers.items():
            assert given_to.setdefault(number, uid) == uid
            if uid in before:
                assert before[uid] == number
        before = numbers
