"""Whatever a file holds, reading it gives a bank that can be kept, or one clear error."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from osler_contracts.codes import Code
from osler_contracts.errors import OslerError
from osler_knowledge.bank import Citation, Concept, ConceptBank, PriorEvidence
from osler_knowledge.concept import Figure
from osler_knowledge.review import Reviewer, accept, reword, set_codes, set_prior, with_figures

HERE = Citation("entry", "Title", "words", 3, 8, ("Book",))
WHO = Reviewer("Dr A", "2025-01-31T09:00:00+00:00", "why")


def lived() -> ConceptBank:
    prior = {"pneumonia": PriorEvidence(-1, 0.5, HERE)}
    concepts = tuple(Concept(name, name, "Seen?", "lungs", HERE, prior, ("a ... b",)) for name in ("a", "b"))
    bank = ConceptBank("tiny", 1, "chest radiograph", ("heart_failure", "pneumonia"), concepts)
    bank = set_prior(reword(accept(bank, "a", WHO), "b", WHO, question="Now?"), "a", "pneumonia", 1, WHO)
    return with_figures(set_codes(bank, {"a": {"S": "1"}}, WHO), {"a": {"coverage": Figure(0.5, 0.4, 0.6, 9)}})


RECORD = {key: value for key, value in json.loads(lived().to_json()).items() if key != "sha256"}


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [path] if path else []
    for key in value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
        found += places(value[key], (*path, key))
    return found


def read(text: str) -> ConceptBank | OslerError:
    try:
        return ConceptBank.from_json(text)
    except OslerError as error:
        return error


ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from(["\ud800", "\x1b[2J", "a" * 3000, "../../x", 10**40, -1, [], {}, [[]], {"": ""}, "osler-bank/1"]),
)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(places(RECORD)), ODD, st.sampled_from(["set", "drop", "add"]))
@example(("concepts", 0, "name"), "\ud800", "set")
@example(("version",), 10**40, "set")
@example(("history", 1, "concept"), "a" * 3000, "set")
@example(("concepts", 0, "prior", "pneumonia", "confidence"), float("nan"), "set")
def test_a_bank_or_one_clear_error(path: tuple[Any, ...], odd: Any, how: str) -> None:
    record = copy.deepcopy(RECORD)
    holder = record
    for key in path[:-1]:
        holder = holder[key]
    if how == "set":
        holder[path[-1]] = odd
    elif how == "drop":
        del holder[path[-1]]
    elif isinstance(holder, dict):
        holder[str(odd)[:20]] = odd
    else:
        holder.append(odd)
    bank = read(json.dumps(record))
    if isinstance(bank, OslerError):
        assert bank.code == Code.BANK_INVALID
        assert len(str(bank)) < 1000
        return
    assert ConceptBank.from_json(bank.to_json()) == bank
    assert bank.to_json().encode()
    assert len(bank.digest) == 64


@pytest.mark.parametrize("text", ["[" * 50_000, "{" * 50_000, '{"format": "osler-bank/2", "name": ' + "[" * 50_000])
def test_depth_is_no_way_to_crash(text: str, tmp_path: Path) -> None:
    with pytest.raises(OslerError) as caught:
        ConceptBank.from_json(text)
    assert caught.value.code == Code.BANK_INVALID
