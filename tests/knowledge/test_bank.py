"""A bank survives the disk, and a bad one is refused with its code."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from osler_contracts.codes import Code
from osler_contracts.errors import OslerError
from osler_knowledge.bank import LARGEST, Citation, Concept, ConceptBank, PriorEvidence
from osler_knowledge.check import check_citations, check_concepts
from osler_knowledge.corpus import Corpus
from osler_knowledge.lexicon import Lexicon
from osler_knowledge.schema import SHIPPED, json_schema

HERE = Citation("entry", "Title", "words", 3, 8, ("Book",))


def concept(name: str = "septal", **changes: object) -> Concept:
    fields: dict[str, object] = {"prior": {"pneumonia": PriorEvidence(-1, 0.5, HERE)}, "terms": ("septal line",)}
    return Concept(name, name, "Seen?", "lungs", HERE, **{**fields, **changes})  # type: ignore[arg-type]


def tiny(*concepts: Concept) -> ConceptBank:
    return ConceptBank("tiny", 1, "chest radiograph", ("heart_failure", "pneumonia"), concepts or (concept(),))


def unsealed(bank: ConceptBank) -> dict[str, Any]:
    """Return a bank's record as another program writes one, without its hash."""
    record = json.loads(bank.to_json())
    assert record.pop("sha256")
    return dict(record)


def test_a_bank_survives_the_disk(tmp_path: Path, bank: ConceptBank) -> None:
    bank.save(tmp_path / "bank.json")
    again = ConceptBank.load(tmp_path / "bank.json")
    assert again == bank
    assert again.digest == bank.digest


def test_unknown_is_not_zero() -> None:
    assert tiny().prior_matrix(("pneumonia", "heart_failure")) == ((-1,), (None,))


def test_subset_keeps_the_order_given() -> None:
    assert tiny(concept("a"), concept("b"), concept("c")).subset(["c", "a"]).ids == ("c", "a")


def test_a_question_about_what_is_not_there_is_answered_with_a_code() -> None:
    with pytest.raises(OslerError) as unknown:
        tiny().concept("kerley")
    assert unknown.value.code == Code.UNKNOWN_CONCEPT
    with pytest.raises(OslerError, match="no finding gout") as stranger:
        tiny().prior_matrix(("gout",))
    assert stranger.value.code == Code.BANK_INVALID


@pytest.mark.parametrize(
    "spoil",
    [
        lambda record: record.pop("format"),
        lambda record: record.update(format="other/1"),
        lambda record: record.update(stranger=1),
        lambda record: record.pop("concepts"),
        lambda record: record["concepts"].append(record["concepts"][0]),
        lambda record: record["concepts"][0].update(citation=None),
        lambda record: record["concepts"][0].update(id="No Name"),
        lambda record: record["concepts"][0].update(status="lost"),
        lambda record: record["concepts"][0].update(terms=["one ... two ... three"]),
        lambda record: record["concepts"][0].update(absent_terms=[" "]),
        lambda record: record["concepts"][0].update(terms=[3]),
        lambda record: record["concepts"][0]["citation"].update(end=99),
        lambda record: record["concepts"][0]["prior"]["pneumonia"].update(value=2),
        lambda record: record["concepts"][0]["prior"].update(gout={"value": 1, "confidence": 1.0}),
    ],
)
def test_spoiled_banks_are_refused(spoil: object) -> None:
    record = unsealed(tiny())
    spoil(record)  # type: ignore[operator]
    with pytest.raises(OslerError) as caught:
        ConceptBank.from_json(json.dumps(record))
    assert caught.value.code == Code.BANK_INVALID


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe", b"null", b"[" * 100_000, b'{"format": 3}', b"\0"])
def test_files_that_are_no_bank_are_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "bank.json").write_bytes(content)
    for path in (tmp_path / "bank.json", tmp_path / "missing.json", tmp_path):
        with pytest.raises(OslerError) as caught:
            ConceptBank.load(path)
        assert caught.value.code == Code.BANK_INVALID


def test_a_concept_that_no_report_can_mention_is_unknown(lexicon: Lexicon) -> None:
    check_concepts(tiny(concept("brought", terms=("own words",)), concept("kerley_b_lines", terms=())), lexicon)
    with pytest.raises(OslerError, match="phantasm") as caught:
        check_concepts(tiny(concept("phantasm", terms=())), lexicon)
    assert caught.value.code == Code.UNKNOWN_CONCEPT


def test_a_passage_that_was_touched_is_noticed(bank: ConceptBank, corpus: Corpus) -> None:
    first = bank.concepts[0]
    touched = replace(first.citation, passage=first.citation.passage[:-1] + "!")
    for citation in (touched, replace(first.citation, entry="nowhere")):
        spoiled = replace(bank, concepts=(replace(first, citation=citation), *bank.concepts[1:]))
        with pytest.raises(OslerError, match=first.id) as caught:
            check_citations(spoiled, corpus)
        assert caught.value.code == Code.BANK_INVALID


def test_the_former_format_is_read_with_the_digest_that_its_models_know(bank: ConceptBank) -> None:
    record = unsealed(tiny())
    for name in ("history",):
        record.pop(name)
    for one in record["concepts"]:
        one.pop("codes"), one.pop("figures")
        for citation in (one["citation"], *(held["citation"] for held in one["prior"].values())):
            citation.pop("edition"), citation.pop("licence"), citation.pop("section")
        for held in one["prior"].values():
            held.pop("evidence"), held.pop("by"), held.pop("reason")
    former = json.dumps(record | {"format": "osler-bank/1", "version": "1"}, indent=1, sort_keys=True) + "\n"
    again = ConceptBank.from_json(former)
    assert again == tiny()
    assert again.digest == hashlib.sha256(former.encode()).hexdigest()
    with pytest.raises(OslerError, match="whole number"):
        ConceptBank.from_json(former.replace('"version": "1"', '"version": "1.2"'))


def test_the_schema_that_is_shipped_is_the_one_that_banks_are_held_to(bank: ConceptBank) -> None:
    shipped = json.loads(resources.files("osler_knowledge").joinpath(SHIPPED).read_text(encoding="utf-8"))
    assert shipped == json.loads(json.dumps(json_schema()))
    validator = jsonschema.Draft202012Validator(shipped)
    validator.validate(json.loads(bank.to_json()))
    record = unsealed(tiny())
    for spoil in (lambda: record.update(stranger=1), lambda: record["concepts"][0]["citation"].update(start="3")):
        spoil()
        assert not validator.is_valid(record)


def test_the_message_says_where_a_file_fails_the_schema() -> None:
    record = unsealed(tiny())
    record["concepts"][0]["citation"]["start"] = "three"
    with pytest.raises(OslerError, match=r"concepts\.0\.citation\.start"):
        ConceptBank.from_json(json.dumps(record))


def test_a_file_too_large_for_a_bank_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "bank.json").open("wb") as stream:
        stream.truncate(LARGEST + 1)
    with pytest.raises(OslerError, match="64 MB"):
        ConceptBank.load(tmp_path / "bank.json")


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_byte_that_changed_in_the_file_is_seen(data: st.DataObject) -> None:
    content = bytearray(tiny().to_json().encode())
    place = data.draw(st.integers(0, len(content) - 1))
    content[place] = data.draw(st.integers(0, 255).filter(lambda byte: byte != content[place]))
    with pytest.raises((OslerError, UnicodeDecodeError)) as caught:
        ConceptBank.from_json(bytes(content).decode())
    if isinstance(caught.value, OslerError):
        assert caught.value.code is Code.BANK_INVALID


def test_a_bank_that_somebody_edited_says_how_to_keep_it() -> None:
    text = tiny().to_json().replace("lung", "LUNG")
    with pytest.raises(OslerError, match="take its entry 'sha256' out"):
        ConceptBank.from_json(text)
    record = json.loads(text)
    record.pop("sha256")
    assert ConceptBank.from_json(json.dumps(record)).to_json() != tiny().to_json()
