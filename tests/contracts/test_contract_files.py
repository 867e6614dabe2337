"""Contracts as files: what a contract must say, and what its reader is told where it does not."""

from __future__ import annotations

from pathlib import Path

import pytest

from osler_contracts.codes import Code
from osler_contracts.contract import load_contract, parse_contract, shipped_contracts
from osler_contracts.errors import OslerError

GOOD = """\
name: mine
version: 1
summary: One clause.
clauses:
  - name: modality
    code: wrong-modality
    severity: refuse
    expectation: {type: expect_column_values_to_be_in_set, kwargs: {column: modality, value_set: [CR]}}
    clause: PS3.3 C.7.3.1.1.1
    sentence: The modality is wrong. Send another.
"""
BAD = [
    ("code: wrong-modality", "code: wrong-colour", "code"),
    ("severity: refuse", "severity: fatal", "severity"),
    ("column: modality", "column: shoe_size", "shoe_size"),
    ("value_set: [CR]", "values: [CR]", "value_set"),
    ("value_set: [CR]", "value_set: [YES]", "need quotes"),
    ("value_set: [CR]", "value_set: [16]", "need quotes"),
    ("value_set: [CR]", "value_set: CR", "value_set must be a list of texts"),
    (
        "be_in_set, kwargs: {column: modality, value_set: [CR]}",
        'match_regex, kwargs: {column: modality, regex: "("}',
        "regex",
    ),
    ("column: modality", "column: [modality]", "column must be a text"),
    ("expect_column_values_to_be_in_set", "expect_nothing", "expect_nothing"),
    ("name: mine", "nom: mine", "nom"),
    ("version: 1", "version: 0", "version"),
    ("    sentence: The modality is wrong. Send another.\n", "", "sentence"),
    ("clauses:", "clauses: []\nothers:", "clauses"),
]


def test_a_contract_of_ones_own_loads_from_its_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(GOOD, encoding="utf-8")
    contract = load_contract(path)
    assert contract == load_contract(str(path))
    assert contract.clauses[0].code is Code.WRONG_MODALITY


@pytest.mark.parametrize(("old", "new", "told"), BAD, ids=[case[2] + str(n) for n, case in enumerate(BAD)])
def test_a_wrong_contract_names_its_fault(old: str, new: str, told: str) -> None:
    with pytest.raises(OslerError) as caught:
        parse_contract(GOOD.replace(old, new), "mine.yaml")
    assert caught.value.code is Code.CONTRACT_INVALID
    assert told in caught.value.message


def test_clause_names_are_unique() -> None:
    clauses = GOOD[GOOD.index("  - name") :]
    with pytest.raises(OslerError, match="modality"):
        parse_contract(GOOD + clauses, "mine.yaml")


@pytest.mark.parametrize("text", ["a: [", "", "just words", "- 1\n- 2"])
def test_what_is_no_contract_at_all_is_refused(text: str) -> None:
    with pytest.raises(OslerError) as caught:
        parse_contract(text, "mine.yaml")
    assert caught.value.code is Code.CONTRACT_INVALID


def test_an_unknown_name_lists_what_is_shipped() -> None:
    with pytest.raises(OslerError) as caught:
        load_contract("chest")
    assert caught.value.code is Code.UNKNOWN_CONTRACT
    assert all(name in caught.value.message for name in shipped_contracts())


def test_a_path_without_a_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(OslerError) as caught:
        load_contract(str(tmp_path / "none.yaml"))
    assert caught.value.code is Code.SOURCE_MISSING


def test_the_digest_follows_the_content() -> None:
    first, again, other = (
        parse_contract(text, "mine.yaml") for text in (GOOD, GOOD + "# a remark\n", GOOD.replace("[CR]", "[DX]"))
    )
    assert first.digest == again.digest != other.digest
