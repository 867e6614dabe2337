"""A bank for a finding of one's own, from entries and words in two files, as docs/knowledge.md does it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from osler.banks import BankStore
from osler.cli.main import main
from osler.passages import PassageFinder
from osler.workspace import Workspace
from osler_contracts.codes import Code
from osler_knowledge.check import check_citations
from osler_knowledge.corpus import load_corpus

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "knee"
TASK = ("--task", "knee-radiograph")


def run(capsys: pytest.CaptureFixture[str], *words: object, expect: int = 0) -> dict[str, object]:
    status = main(["knowledge", *map(str, words), "--json"])
    record = json.loads(capsys.readouterr().out)
    assert status == expect, record
    assert isinstance(record, dict)
    return dict(record.get("error", record))


@pytest.fixture
def store(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> BankStore:
    shutil.copytree(EXAMPLE, tmp_path / "knee")
    words = ("--corpus", tmp_path / "knee" / "corpus", "--lexicon", tmp_path / "knee" / "lexicon.yaml")
    run(capsys, "propose", *TASK, *words, "--workspace", tmp_path / "w")
    shutil.rmtree(tmp_path / "knee")  # what is needed later lies in the workspace
    return BankStore(Workspace.open(tmp_path / "w"), TASK[1])


def test_every_sign_of_the_example_becomes_a_concept_that_stands_in_its_text(store: BankStore) -> None:
    bank = store.load()
    assert len(bank.concepts) == 7
    assert check_citations(bank, load_corpus(store.own_corpus)) >= 14
    assert bank.concept("osteophytes").prior["rheumatoid_arthritis"].value == -1
    assert "crystal_arthropathy" not in bank.concept("even_narrowing").prior


def test_entries_and_words_are_found_again_without_being_named(
    store: BankStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = (*TASK, "--workspace", store.workspace.root)
    before = store.path.read_bytes()
    run(capsys, "propose", *place)
    assert store.path.read_bytes() == before
    run(capsys, "export", tmp_path / "knee.json", *place)
    assert run(capsys, "check", tmp_path / "knee.json", *place)["concepts"] == 7
    hits = run(capsys, "search", "calcium", *place)["hits"]
    assert isinstance(hits, list)
    assert hits[0]["entry"] == "calcium"


def test_more_text_adds_and_leaves_decisions_alone(store: BankStore, capsys: pytest.CaptureFixture[str]) -> None:
    place = (*TASK, "--workspace", store.workspace.root)
    by = ("--by", "Dr A", "--reason", "why")
    run(capsys, "reword", "osteophytes", "--question", "Are there spurs?", *by, *place)
    run(capsys, "retire", "marginal_erosions", *by, *place)
    (store.own_corpus / "calcium.md").unlink()
    run(capsys, "propose", *place)
    bank = store.load()
    assert bank.concept("osteophytes").question == "Are there spurs?"
    assert bank.concept("marginal_erosions").status == "retired"
    assert bank.concept("chondrocalcinosis").status == "retired", "no entry speaks of it any more"
    assert bank.version == 4


@pytest.mark.parametrize(
    ("content", "code"),
    [(b"modality: [", Code.CORPUS_INVALID), (b"\xff\xfe", Code.CORPUS_INVALID), (None, Code.SOURCE_MISSING)],
)
def test_a_lexicon_that_is_none_is_refused_and_nothing_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes | None, code: Code
) -> None:
    if content is not None:
        (tmp_path / "words.yaml").write_bytes(content)
    words = ("--corpus", EXAMPLE / "corpus", "--lexicon", tmp_path / "words.yaml", "--workspace", tmp_path / "w")
    assert run(capsys, "propose", *TASK, *words, expect=1)["code"] == code
    assert not (tmp_path / "w" / "knowledge" / "knee-radiograph.json").exists()


def test_passages_are_shown_in_their_place_from_entries_or_from_an_index(
    store: BankStore, capsys: pytest.CaptureFixture[str]
) -> None:
    citation = store.load().concept("chondrocalcinosis").citation
    found = PassageFinder(store).place(citation)
    text = load_corpus(EXAMPLE / "corpus").by_id["calcium"].text
    assert found.found
    assert found.before + found.passage + found.after == text
    shutil.rmtree(store.own_corpus)
    assert not PassageFinder(store).place(citation).found
    run(capsys, "index", EXAMPLE / "corpus", "--name", "knee", "--workspace", store.workspace.root)
    (store.workspace.knowledge / "indexes" / "broken").mkdir()
    again = PassageFinder(store).place(citation)
    assert again.found
    assert again.passage == citation.passage
    assert not again.reviewed
