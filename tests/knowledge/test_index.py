"""An index on disk answers as the one in memory does, and is there whole or not at all."""

from __future__ import annotations

import json
import math
import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from osler_contracts.codes import Code
from osler_contracts.errors import OslerError
from osler_knowledge.corpus import Corpus, Entry, Section, snippets
from osler_knowledge.index import postings
from osler_knowledge.index.build import build_index
from osler_knowledge.index.layout import MARKER, SCORES, read_marker, replacing
from osler_knowledge.index.search import DiskIndex, best_of
from osler_knowledge.passages import passages
from osler_knowledge.readers.read import Tally
from osler_knowledge.retrieval import Retriever, searched
from osler_knowledge.words import terms

QUERIES = ["pleural line", "septal lines heart failure", "opacity in the lower lobe", "oedema", "air", "of the", "zzzz"]


def entry_of(number: int, text: str, title: str = "") -> Entry:
    return Entry(f"e{number}", title, text, (), "", False)


@pytest.fixture(scope="module")
def index(corpus: Corpus, tmp_path_factory: pytest.TempPathFactory) -> DiskIndex:
    """The starter corpus on disk, cut by the same pipeline as in memory."""
    folder = tmp_path_factory.mktemp("index") / "starter"
    build_index(corpus.entries, folder, cut=snippets)
    return DiskIndex(folder)


@pytest.mark.parametrize("query", QUERIES)
@pytest.mark.parametrize("k", [0, 1, 7, 10_000])
def test_disk_and_memory_answer_alike(index: DiskIndex, retriever: Retriever, query: str, k: int) -> None:
    assert index.search(query, k) == retriever.search(query, k)


def test_the_compiled_scorer_answers_alike(index: DiskIndex, retriever: Retriever) -> None:
    compiled = DiskIndex(index.folder, compiled=True)
    for query in QUERIES:
        for k in (1, 10, 10_000):
            assert compiled.search(query, k) == retriever.search(query, k)


@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.lists(st.sampled_from(["alpha", "beta", "gamma", "delta", "lungs", "lung", "the"]), max_size=12),
        min_size=1,
        max_size=25,
    ),
    st.lists(st.sampled_from(["alpha", "beta", "lungs", "unseen", "of"]), min_size=1, max_size=4),
    st.integers(1, 6),
)
def test_scores_are_those_of_the_formula(
    tmp_path_factory: pytest.TempPathFactory, texts: list[list[str]], query: list[str], at_once: int
) -> None:
    entries = [entry_of(number, " ".join(words)) for number, words in enumerate(texts) if words]
    if not entries:
        return
    target = tmp_path_factory.mktemp("formula") / "index"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(postings, "SNIPPETS_AT_ONCE", at_once)  # parts of every size are laid out alike
        build_index(entries, target)
    found = {hit.snippet.entry: hit.score for hit in DiskIndex(target).search(" ".join(query), len(entries))}
    documents = {entry.id: terms(entry.text) for entry in entries}
    mean = sum(map(len, documents.values())) / len(documents)
    for name, words in documents.items():
        expected = 0.0
        for word in terms(" ".join(query)):
            holding = sum(word in other for other in documents.values())
            idf = math.log(1 + (len(documents) - holding + 0.5) / (holding + 0.5))
            count = words.count(word)
            expected += idf * count / (count + 1.5 * (0.25 + 0.75 * len(words) / mean)) if count else 0.0
        assert found.get(name, 0.0) == pytest.approx(expected, rel=1e-5)


def test_equal_scores_keep_the_order_of_the_corpus_at_every_k(tmp_path: Path) -> None:
    build_index((entry_of(number, "same words") for number in range(40)), tmp_path / "index")
    for compiled in (False, True):
        index = DiskIndex(tmp_path / "index", compiled=compiled)
        for k in (1, 7, 39, 40, 41):
            assert [hit.snippet.entry for hit in index.search("words", k)] == [f"e{i}" for i in range(min(k, 40))]


@given(
    st.lists(st.tuples(st.integers(0, 6000), st.sampled_from([0.5, 1.0, 1.5, 2.0])), max_size=300), st.integers(1, 40)
)
def test_the_best_are_those_of_a_full_sort(given_scores: list[tuple[int, float]], k: int) -> None:
    scores = np.zeros(6001, np.float32)
    for place, score in given_scores:
        scores[place] = score
    full = [int(place) for place in np.lexsort((np.arange(len(scores)), -scores)) if scores[place] > 0]
    assert best_of(scores, k).tolist() == full[:k]


def test_every_passage_comes_back_as_its_document_has_it(tmp_path: Path) -> None:
    chance = random.Random(3)
    words = ["naïve", "lung", "µm", "🫁", "Größe.", "A", "b,", "\n"]
    entries = []
    for number in range(60):
        text = " ".join(chance.choices(words, k=chance.randint(1, 400)))
        half = len(text) // 2
        sections = (Section("First", 0, half), Section("Sécond", half, len(text)))
        entries.append(Entry(f"d{number}", f"Titel ü{number}", text, ("A ref",), "CC0", True, "2020", "src", sections))
    build_index(entries, tmp_path / "index")
    index = DiskIndex(tmp_path / "index")
    expected = [snippet for entry in entries for snippet in passages(entry)]
    hits = index.search("titel größe lung naïve " + " ".join(f"ü{number}" for number in range(60)), 10_000)
    assert sorted(hits, key=lambda hit: (int(hit.snippet.entry[1:]), hit.snippet.start))
    assert {hit.snippet for hit in hits} == {one for one in expected if terms(searched("Titel", one.text))}
    assert [index.entry(entry.id) for entry in entries] == entries


def test_an_unknown_document_is_named_as_such(index: DiskIndex, retriever: Retriever) -> None:
    for searcher in (index, retriever):
        with pytest.raises(OslerError) as caught:
            searcher.entry("nowhere")
        assert caught.value.code == Code.UNKNOWN_ENTRY


def test_the_second_of_two_with_one_identifier_is_refused(tmp_path: Path) -> None:
    tally = Tally()
    entries = [entry_of(1, "first text"), entry_of(1, "second text"), entry_of(2, "third text")]
    marker = build_index(entries, tmp_path / "index", tally=tally)
    assert (marker.entries, marker.snippets, tally.counts) == (2, 2, {Code.DOCUMENT_DUPLICATE: 1})
    index = DiskIndex(tmp_path / "index")
    assert index.entry("e1").text == "first text"
    assert [hit.snippet.entry for hit in index.search("text")] == ["e1", "e2"]
    assert index.search("second") == []


def test_the_digest_tells_corpora_apart(tmp_path: Path) -> None:
    one = build_index([entry_of(1, "a text")], tmp_path / "one").corpus
    assert build_index([entry_of(1, "a text")], tmp_path / "again").corpus == one
    assert build_index([entry_of(1, "another")], tmp_path / "other").corpus != one
    with pytest.raises(OslerError, match="another corpus") as caught:
        DiskIndex(tmp_path / "other", corpus=one)
    assert caught.value.code == Code.INDEX_INVALID


def failing() -> Iterator[Entry]:
    yield entry_of(1, "some text")
    raise RuntimeError("the disk went away")


def test_a_build_that_fails_leaves_the_former_index_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "index"
    with pytest.raises(RuntimeError):
        build_index(failing(), target)
    assert not target.exists()
    build_index([entry_of(7, "former text")], target)
    with pytest.raises(RuntimeError):
        build_index(failing(), target)
    with pytest.raises(OslerError) as caught:
        build_index([], target)
    assert caught.value.code == Code.EMPTY_SOURCE
    assert [hit.snippet.entry for hit in DiskIndex(target).search("text")] == ["e7"]
    assert sorted(path.name for path in tmp_path.iterdir()) == [".index.lock", "index"]


KILLED = """
import sys, pathlib
from osler_knowledge.corpus import Entry
from osler_knowledge.index import postings
from osler_knowledge.index.build import build_index
postings.SNIPPETS_AT_ONCE = 50
def entries():
    for number in range(10**9):
        if number == 400:
            print("under way", flush=True)
        yield Entry(f"e{number}", "", f"word{number} text", (), "", False)
build_index(entries(), pathlib.Path(sys.argv[1]))
"""


def test_a_killed_build_leaves_no_index_and_the_next_one_clears_up(tmp_path: Path) -> None:
    target = tmp_path / "index"
    with subprocess.Popen([sys.executable, "-c", KILLED, str(target)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"under way\n"
        os.kill(process.pid, signal.SIGKILL)
    assert not target.exists()
    assert (tmp_path / ".index.new").is_dir()
    with pytest.raises(OslerError, match="no finished index"):
        DiskIndex(tmp_path / ".index.new")
    build_index([entry_of(1, "text")], target)
    assert len(DiskIndex(target).search("text")) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == [".index.lock", "index"]


def test_one_build_at_a_time(tmp_path: Path) -> None:
    with replacing(tmp_path / "index"), pytest.raises(OslerError) as caught:
        build_index([entry_of(1, "text")], tmp_path / "index")
    assert caught.value.code == Code.WORKSPACE_OCCUPIED


def test_what_is_no_index_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.md").write_text("years of work")
    with pytest.raises(OslerError, match="is no index") as caught:
        build_index([entry_of(1, "text")], tmp_path / "thesis")
    assert caught.value.code == Code.INDEX_INVALID
    assert (tmp_path / "thesis" / "chapter.md").read_text() == "years of work"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda marker: marker | {"version": 99}, "layout 99"),
        (lambda marker: {"version": 1}, "cannot be read"),
        (lambda marker: [marker], "cannot be read"),
        (lambda marker: marker | {"files": {"gone.npy": 3}}, r"gone\.npy is missing"),
    ],
)
def test_an_index_of_another_version_or_damaged_is_refused(tmp_path: Path, change, message: str) -> None:  # type: ignore[no-untyped-def]
    build_index([entry_of(1, "text")], tmp_path / "index")
    marker = tmp_path / "index" / MARKER
    marker.write_text(json.dumps(change(json.loads(marker.read_text()))))
    with pytest.raises(OslerError, match=message) as caught:
        DiskIndex(tmp_path / "index")
    assert caught.value.code == Code.INDEX_INVALID


def test_a_copy_that_was_cut_short_is_refused(tmp_path: Path) -> None:
    build_index([entry_of(1, "text")], tmp_path / "index")
    scores = tmp_path / "index" / SCORES
    scores.write_bytes(scores.read_bytes()[:-1])
    with pytest.raises(OslerError, match=r"scores\.npy is missing or has another size"):
        read_marker(tmp_path / "index")


def test_the_matrix_holds_each_word_once_a_passage_in_order(index: DiskIndex) -> None:
    folder = index.folder
    starts, numbers = np.load(folder / "starts.npy"), np.load(folder / "snippets.npy")
    assert starts[-1] == len(numbers)
    assert len(starts) == index.marker.terms + 1
    for first, end in pairwise(starts):
        assert (np.diff(numbers[first:end]) > 0).all()


LARGER = """
import pathlib, random, resource, sys
from osler_knowledge.corpus import Entry
from osler_knowledge.index import postings
from osler_knowledge.index.build import build_index
postings.SNIPPETS_AT_ONCE = 5_000
words = [f"word{number}" for number in range(5_000)]
chance, given = random.Random(0), 0
def entries():
    global given
    for number in range(9_000):
        text = ". ".join("A" + " ".join(chance.choices(words, k=15)) for _ in range(100))
        given += len(text)
        yield Entry(f"e{number}", "", text, (), "", False)
build_index([Entry("first", "", "One text.", (), "", False)], pathlib.Path(sys.argv[1]) / "small")
status = pathlib.Path("/proc/self/status").read_text()
used = 1024 * int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmData")))
room = 40 * 2**20
resource.setrlimit(resource.RLIMIT_DATA, (used + room,) * 2)
marker = build_index(entries(), pathlib.Path(sys.argv[1]) / "large")
print(given / room, marker.snippets)
"""


@pytest.mark.slow
def test_a_corpus_larger_than_the_memory_allowed_is_indexed(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", LARGER, str(tmp_path)], capture_output=True, text=True, check=True)
    ratio, count = done.stdout.split()
    assert float(ratio) > 2
    assert DiskIndex(tmp_path / "large").marker.snippets == int(count) > 100_000
