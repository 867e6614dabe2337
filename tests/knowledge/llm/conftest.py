"""A lexicon and a corpus small enough to follow by hand, and clients that do not wait."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from osler_knowledge.corpus import Corpus, Entry
from osler_knowledge.lexicon import Finding, Lexicon
from osler_knowledge.llm.client import Client
from osler_knowledge.llm.server import Budget, Server
from osler_knowledge.llm.store import AnswerCache, Journal
from osler_knowledge.retrieval import Retriever

SECRET = "sk-test-4711"
TEXTS = {
    "edema": "Kerley lines favour heart failure over pneumonia. They are short and lie at the periphery.",
    "air": "A thin white line beside the chest wall supports pneumothorax. No vessel crosses the line.",
    "bronchi": "Dark branching tubes inside an opacity favour pneumonia. Heart failure rarely shows them.",
}


@pytest.fixture
def tiny_lexicon() -> Lexicon:
    findings = (
        Finding("heart_failure", "heart failure", ("cardiac failure",)),
        Finding("pneumonia", "pneumonia", ("lung infection",)),
        Finding("pneumothorax", "pneumothorax", ("pleural air",)),
    )
    return Lexicon("chest radiograph", findings, ())


@pytest.fixture
def tiny_index() -> Retriever:
    entries = tuple(Entry(key, key, text, (f"Book of {key}.",), "CC0", False) for key, text in sorted(TEXTS.items()))
    return Retriever(Corpus(entries))


@pytest.fixture
def connect(tmp_path: Path) -> Iterator[Callable[..., Client]]:
    """Return a maker of clients; the waits that a client asks for are kept in its `waits` and not waited."""
    opened: list[Client] = []

    def make(url: str, *, budget: Budget | None = None, cache: bool = False, **settings: Any) -> Client:
        waits: list[float] = []
        server = Server(url, "test", SECRET, **{"timeout": 5.0, "deadline": 20.0, **settings})
        client = Client(
            server,
            budget,
            AnswerCache(tmp_path / "cache" if cache else None),
            Journal(tmp_path / "log.jsonl", SECRET),
            sleep=waits.append,
        )
        client.waits = waits  # type: ignore[attr-defined]
        opened.append(client)
        return client

    yield make
    for client in opened:
        client.close()
