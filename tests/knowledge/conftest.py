"""What the tests of this floor share: the starter corpus and its bank, built once."""

from __future__ import annotations

import pytest

from osler_knowledge.bank import ConceptBank
from osler_knowledge.corpus import Corpus, load_corpus
from osler_knowledge.lexicon import Lexicon, starter_lexicon
from osler_knowledge.propose import build_bank
from osler_knowledge.retrieval import Retriever


@pytest.fixture(scope="session")
def corpus() -> Corpus:
    return load_corpus()


@pytest.fixture(scope="session")
def lexicon() -> Lexicon:
    return starter_lexicon()


@pytest.fixture(scope="session")
def retriever(corpus: Corpus) -> Retriever:
    return Retriever(corpus)


@pytest.fixture(scope="session")
def bank(retriever: Retriever) -> ConceptBank:
    return build_bank(retriever=retriever)
