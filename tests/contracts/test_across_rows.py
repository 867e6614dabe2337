"""Clauses that compare rows: against a count by hand, whatever the parts that a table comes in."""

from __future__ import annotations

from collections import defaultdict

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from osler_contracts.codes import Code
from osler_contracts.contract import Contract, load_contract
from osler_contracts.engine import check_chunks, check_headers
from osler_contracts.errors import OslerError
from osler_contracts.headers import header_table
from osler_contracts.splits import check_splits

COMPARED = load_contract("chest-radiograph").without(lambda clause: not clause.expectation.compares_rows)
SMALL = st.sampled_from(["1.2.1", "1.2.2", "1.2.3", None])
ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "sop_instance_uid": SMALL,
            "content_sha256": st.sampled_from(["a", "b", None]),
            "study_instance_uid": SMALL,
            "patient_id": st.sampled_from(["P", "Q", "\ud800", None]),
        }
    ),
    min_size=8,
    max_size=16,
)


def _by_hand(rows: list[dict[str, str | None]]) -> dict[str, set[str]]:
    members: dict[tuple[str, str], set[str]] = defaultdict(set)
    seen: dict[str, list[str]] = defaultdict(list)
    for row in rows:
        for group, member in (("sop_instance_uid", "content_sha256"), ("study_instance_uid", "patient_id")):
            if row[group] is not None and row[member] is not None:
                members[group, str(row[group])].add(str(row[member]))
        seen[str(row["sop_instance_uid"])].append("")
    found: dict[str, set[str]] = defaultdict(set)
    copies: set[tuple[str, str]] = set()
    for number, row in enumerate(rows):
        key, uid = str(number), row["sop_instance_uid"]
        if uid is not None and len(seen[uid]) > 1:
            found["instance-repeated"].add(key)
        for name, group, member in (
            ("one-content-an-instance", "sop_instance_uid", "content_sha256"),
            ("one-patient-a-study", "study_instance_uid", "patient_id"),
        ):
            if row[group] is not None and row[member] is not None and len(members[group, str(row[group])]) > 1:
                found[name].add(key)
        if uid is not None and row["content_sha256"] is not None:
            if (uid, str(row["content_sha256"])) in copies:
                found["instance-once"].add(key)
            copies.add((uid, str(row["content_sha256"])))
    return found


@settings(max_examples=3, deadline=None, derandomize=True, phases=[Phase.explicit, Phase.generate])
@given(ROWS, st.integers(1, 5))
def test_rows_are_compared_across_the_parts_of_a_table(rows: list[dict[str, str | None]], size: int) -> None:
    table = header_table({"key": number, **row} for number, row in enumerate(rows))
    parts = [table.iloc[start : start + size] for start in range(0, len(table), size)]
    expected = _by_hand(rows)
    for report in (check_headers(table, COMPARED), check_chunks(iter(parts), COMPARED)):
        assert report.unchecked == ()
        assert {r.clause.name: {*r.violated} for r in report.results if r.violated} == expected
        assert all(list(r.violated) == sorted(r.violated, key=int) for r in report.results)


def test_where_the_codes_lead() -> None:
    leads = {clause.code: str(clause.severity) for clause in COMPARED.clauses}
    assert leads == {
        Code.STUDY_OF_TWO_PATIENTS: "quarantine",
        Code.CONFLICTING_DUPLICATE: "quarantine",
        Code.DUPLICATE: "warn",
        Code.INSTANCE_REPEATED: "warn",
    }


def test_parts_make_no_difference_to_a_row(chest_header: dict[str, object], decodable: tuple[str, ...]) -> None:
    changes: list[dict[str, object]] = [{}, {"rows": 5}, {"patient_age": "155"}, {"modality": "MR"}, {"rows": 5}]
    rows = [{"key": number, **chest_header, **change} for number, change in enumerate(changes)]
    table, contract = header_table(rows), load_contract("chest-radiograph")
    whole = check_headers(table, contract, None, decodable)
    counted: list[int] = []
    parts = check_chunks([table.iloc[:2], table.iloc[2:]], contract, None, decodable, counted.append)
    assert parts.to_dict() == whole.to_dict()
    assert counted == [2, 5]


def test_a_key_that_comes_back_in_another_part_is_refused() -> None:
    table = header_table([{"key": "a"}])
    with pytest.raises(OslerError) as caught:
        check_chunks([table, table], load_contract("any-image"))
    assert caught.value.code is Code.TABLE_INVALID


def test_a_contract_of_ones_own_may_compare_rows_alone() -> None:
    alone = Contract(name="alone", version=1, summary="Compared only.", clauses=COMPARED.clauses)
    report = check_headers(header_table([{"key": "a", "sop_instance_uid": "1"}]), alone)
    assert report.by_row() == {"a": []}


@settings(max_examples=50, deadline=None, derandomize=True)
@given(st.lists(st.tuples(st.sampled_from(["P", "Q", "R", ""]), st.sampled_from(["train", "test", ""])), max_size=10))
def test_patients_in_two_splits_are_found_by_row(rows: list[tuple[str, str]]) -> None:
    splits: dict[str, set[str]] = defaultdict(set)
    for patient, split in rows:
        splits[patient].add(split)
    expected = [n for n, (patient, _) in enumerate(rows) if patient and len({*filter(None, splits[patient])}) > 1]
    expected = [n for n in expected if rows[n][1]]
    report = check_splits((str(n), patient, split) for n, (patient, split) in enumerate(rows))
    assert list(report.overlapping) == [str(n) for n in expected]
    assert list(report.unchecked) == [str(n) for n, row in enumerate(rows) if not all(row)]
    assert report.state == ("violated" if expected else "could not be checked" if report.unchecked else "held")
