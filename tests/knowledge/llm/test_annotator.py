"""A server that reads reports: its words are looked up, its faults cost one report, and nothing of a report is kept."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from osler_contracts.codes import Code
from osler_contracts.errors import OslerError
from osler_knowledge.annotate_batch import annotate_batch
from osler_knowledge.llm.annotator import ServerReader
from osler_knowledge.llm.client import Client
from osler_knowledge.llm.server import Budget

from .chat_server import Reply, Request, chat, scripted, serving, task_of

NAMES = {"effusion": "pleural effusion", "nodule": "nodule"}
Connect = Callable[..., Client]


def said(concept: str, state: str, words: str, doubt: str = "none", side: str = "none") -> dict[str, str]:
    return {"concept": concept, "state": state, "doubt": doubt, "side": side, "words": words}


def answer(request: Request) -> Reply:
    text = task_of(request)["report"]
    mentions: list[Any] = [said("effusion", "present", "left effusion", side="left")] if "left effusion" in text else []
    return chat({"mentions": [*mentions, said("nodule", "uncertain", "A nodule", "probable")]})


def test_statements_are_looked_up_and_what_is_not_there_is_dropped(connect: Connect) -> None:
    bad = [said("effusion", "present", "right effusion"), said("heart", "present", "A nodule"), {"concept": "nodule"}]
    bad += [said("nodule", "maybe", "A nodule"), said("nodule", "absent", " ")]
    good = said("nodule", "uncertain", "A nodule", "probable", "left")
    with serving(scripted(chat({"mentions": [*bad, good]}))) as server:
        reader = ServerReader(connect(server.url), NAMES)
        (mentions,) = reader.read(["A nodule is likely on the left."])
    assert isinstance(mentions, dict)
    (one,) = mentions["nodule"]
    assert (one.state, one.doubt, one.side, one.start, one.end) == ("uncertain", "probable", "left", 0, 8)
    assert reader.drops == {"words not in the report": 2, "unknown concept": 1, "malformed": 2}


def test_a_report_is_asked_once_and_no_word_of_it_is_kept(connect: Connect, tmp_path: Path) -> None:
    texts = ["A nodule, Zebulon.", "A nodule and a left effusion.", "A nodule, Zebulon."]
    cache = tmp_path / "kept.sqlite"
    with serving(answer) as server:
        first = list(annotate_batch(texts, ServerReader(connect(server.url), NAMES), cache))
        again = list(annotate_batch(texts, ServerReader(connect(server.url), NAMES), cache))
        assert len(server.requests) == 2
    assert [one.mentions for one in first] == [one.mentions for one in again]
    assert [one.kept for one in again] == [True] * 3
    assert b"Zebulon" not in cache.read_bytes()
    assert b"effusion" in cache.read_bytes()


def test_a_fault_costs_one_report_and_the_batch_goes_on(connect: Connect) -> None:
    nonsense = chat("I would rather not.")
    with serving(scripted(chat({"mentions": []}), nonsense, nonsense, chat({"mentions": []}))) as server:
        outcomes = list(annotate_batch(["a", "b", "c"], ServerReader(connect(server.url), NAMES)))
    assert [one.code for one in outcomes] == [None, Code.ANSWER_INVALID, None]


def test_a_server_that_is_gone_ends_the_run_and_what_was_read_stays(connect: Connect, tmp_path: Path) -> None:
    cache = tmp_path / "kept.sqlite"
    with serving(scripted(chat({"mentions": []}), Reply(status=503))) as server:
        reader = ServerReader(connect(server.url, attempts=2), NAMES)
        with pytest.raises(OslerError) as caught:
            list(annotate_batch(list("abcdef"), reader, cache))
    assert caught.value.code == Code.SERVER_UNREACHABLE
    with serving(answer) as server:
        reader = ServerReader(connect(server.url, budget=Budget(calls=1)), NAMES)
        with pytest.raises(OslerError) as caught:
            list(annotate_batch(["A nodule 1", "A nodule 2"], reader, cache))
        assert caught.value.code == Code.BUDGET_SPENT
        outcomes = list(annotate_batch(["A nodule 1", "A nodule 2"], ServerReader(connect(server.url), NAMES), cache))
        assert len(server.requests) == 2
    assert [one.kept for one in outcomes] == [True, False]
