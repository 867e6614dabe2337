"""The proposal loop against a server: what cites its passage enters, everything else is dropped, counted and survived."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from osler_contracts.errors import OslerError
from osler_knowledge.check import check_citations
from osler_knowledge.lexicon import Lexicon, Observation
from osler_knowledge.llm.client import Client
from osler_knowledge.llm.prior import ServerPrior
from osler_knowledge.llm.proposer import SCHEMA, ServerProposer
from osler_knowledge.llm.server import Budget
from osler_knowledge.propose import Proposed, Reason, propose_bank
from osler_knowledge.retrieval import Retriever

from .chat_server import Reply, Request, chat, scripted, serving, task_of

Connect = Callable[..., Client]
LINE = {
    "name": "thin white line",
    "question": "Is there a thin white line beside the chest wall?",
    "region": "pleural space",
    "terms": ["thin white line", "white line"],
    "visible": True,
    "document": "air",
    "passage": "A thin white line beside the chest wall supports pneumothorax.",
}
SEPTA = {
    "name": "short peripheral lines",
    "question": "Are there short lines at the periphery?",
    "region": "lungs",
    "terms": ["Kerley line"],
    "visible": True,
    "document": "edema",
    "passage": "Kerley lines favour heart failure over pneumonia.",
}


def honest(request: Request) -> Reply:
    """Propose what rests on a passage that the request holds."""
    held = {one["document"] for one in task_of(request)["passages"]}
    if "observation" in task_of(request):
        return chat({"priors": []})
    return chat({"concepts": [one for one in (LINE, SEPTA) if one["document"] in held]})


def run(client: Client, index: Retriever, lexicon: Lexicon, **settings: Any) -> Proposed:
    proposer = ServerProposer(client, lexicon)
    return propose_bank(index, lexicon, propose=proposer, prior_of=ServerPrior(proposer, index), **settings)


def reasons(proposed: Proposed) -> dict[str, int]:
    counts: Counter[str] = Counter()
    for drop, times in proposed.drops.items():
        counts[drop.reason] += times
    return dict(counts)


def test_what_cites_its_passage_becomes_a_concept(
    connect: Connect, tiny_index: Retriever, tiny_lexicon: Lexicon
) -> None:
    with serving(honest) as server:
        proposed = run(connect(server.url), tiny_index, tiny_lexicon)
    bank = proposed.bank
    assert set(bank.ids) == {"thin_white_line", "short_peripheral_lines"}
    assert check_citations(bank, tiny_index.corpus) >= 2
    concept = bank.concept("thin_white_line")
    assert concept.citation.entry == "air"
    assert concept.citation.references == ("Book of air.",)
    # The text is read for what it says of a concept that only the server knows.
    assert concept.prior["pneumothorax"].value == 1
    assert {key: one.value for key, one in bank.concept("short_peripheral_lines").prior.items()} == {
        "heart_failure": 1,
        "pneumonia": -1,
    }


def test_the_prompt_has_passages_classes_and_a_schema(
    connect: Connect, tiny_index: Retriever, tiny_lexicon: Lexicon
) -> None:
    with serving(honest) as server:
        run(connect(server.url), tiny_index, tiny_lexicon)
    task = task_of(server.requests[0])
    assert task["query"] == "chest radiograph heart failure diagnosis criteria"
    assert task["classes"] == ["heart failure", "pneumonia", "pneumothorax"]
    texts = {entry.id: entry.text for entry in tiny_index.corpus.entries}
    assert all(one["text"] in texts[one["document"]] for one in task["passages"])
    assert server.requests[0]["response_format"]["json_schema"]["schema"] == SCHEMA
    item = SCHEMA["properties"]["concepts"]["items"]
    assert item["required"] == list(item["properties"])
    assert item["additionalProperties"] is False


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"passage": ""}, Reason.CITES_NOTHING),
        ({"document": " "}, Reason.CITES_NOTHING),
        ({"document": "textbook-9"}, Reason.NOT_RETRIEVED),
        ({"passage": "A thin white line beside the chest wall proves pneumothorax."}, Reason.NOT_VERBATIM),
        ({"passage": "a thin white line beside the chest wall supports pneumothorax."}, Reason.NOT_VERBATIM),
        ({"passage": "white line"}, Reason.NOT_VERBATIM),
        ({"passage": SEPTA["passage"]}, Reason.NOT_VERBATIM),
        ({"visible": False}, Reason.NOT_VISIBLE),
        ({"question": "Is there a pneumothorax?"}, Reason.NAMES_FINDING),
        ({"question": "Is there pleural air?"}, Reason.NAMES_FINDING),
        ({"name": "pneumothorax"}, Reason.NAMES_FINDING),
        ({"question": "There is a line"}, Reason.MALFORMED),
        ({"question": "Is there\ta line" + "!" * 600 + "?"}, Reason.MALFORMED),
        ({"name": ""}, Reason.MALFORMED),
        ({"name": "line\u202e"}, Reason.MALFORMED),
        ({"terms": "white line"}, Reason.MALFORMED),
        ({"visible": "yes"}, Reason.MALFORMED),
        ({"passage": None}, Reason.MALFORMED),
    ],
)
def test_what_does_not_hold_is_dropped_and_counted_and_the_rest_enters(
    connect: Connect, tiny_index: Retriever, tiny_lexicon: Lexicon, change: dict[str, Any], reason: Reason
) -> None:
    def answer(request: Request) -> Reply:
        return chat({"concepts": [{**LINE, **change}, SEPTA], "priors": []})

    with serving(answer) as server:
        proposed = run(connect(server.url), tiny_index, tiny_lexicon)
    assert "short_peripheral_lines" in proposed.bank.ids
    assert len(proposed.bank.ids) == 1
    assert reason in reasons(proposed)


@pytest.mark.parametrize("item", [None, 7, "a line", [], {}])
def test_what_is_no_concept_at_all_is_counted(
    connect: Connect, tiny_index: Retriever, tiny_lexicon: Lexicon, item: Any
) -> None:
    with serving(scripted(chat({"concepts": [item, LINE], "priors": []}))) as server:
        proposed = run(connect(server.url), tiny_index, tiny_lexicon)
    assert proposed.bank.ids == ("thin_white_line",)
    assert Reason.MALFORMED in reasons(proposed)


def test_duplicates_and_paraphrases_enter_once(connect: Connect, tiny_index: Retriever, tiny_lexicon: Lexicon) -> None:
    same = {
        **LINE,
        "name": "pale line",
        "terms": ["pale line"],
        "question": "Is a thin white line there beside the chest wall?",
    }
    alias = {**LINE, "name": "white line", "question": "Does an edge show?"}
    with serving(scripted(chat({"concepts": [LINE, LINE, same, alias], "priors": []}))) as server:
        proposed = run(connect(server.url), tiny_index, tiny_lexicon)
    assert proposed.bank.ids == ("thin_white_line",)
    assert {drop.name for drop in proposed.drops if drop.reason == Reason.PARAPHRASE} == {"pale line", "white line"}


def test_a_concept_of_the_lexicon_keeps_its_identifier_and_its_phrases(
    connect: Connect, tiny_index: Retriever, tiny_lexicon: Lexicon
) -> None:
    known = Observation(
        "pleural_edge", "pleural line", "Is there a line?", "pleura", ("thin white line",), ("no line",)
    )
    lexicon = Lexicon(tiny_lexicon.modality, tiny_lexicon.findings, (known,))
    with serving(honest) as server:
        bank = run(connect(server.url), tiny_index, lexicon).bank
    assert bank.concept("pleural_edge").question == LINE["question"]
    assert bank.concept("pleural_edge").terms == ("thin white line", "white line")
    assert bank.concept("pleural_edge").absent_terms == ("no line",)


def test_a_question_without_an_answer_is_counted_and_the_batch_goes_on(
    connect: Connect, tiny_index: Retriever, tiny_lexicon: Lexicon
) -> None:
    def answer(request: Request) -> Reply:
        if "pneumonia" in task_of(request).get("query", ""):
            return chat("no idea")
        return honest(request)

    with serving(answer) as server:
        client = connect(server.url)
        proposed = run(client, tiny_index, tiny_lexicon)
    assert set(proposed.bank.ids) == {"thin_white_line", "short_peripheral_lines"}
    assert client.asked["none"] == 1
    assert proposed.stopped == ""


def test_a_server_that_never_answers_is_one_error(
    connect: Connect, tiny_index: Retriever, tiny_lexicon: Lexicon
) -> None:
    with serving(scripted(Reply(b"", 503))) as server, pytest.raises(OslerError) as caught:
        run(connect(server.url, attempts=2), tiny_index, tiny_lexicon)
    assert caught.value.code == "server-unreachable"
    assert len(server.requests) == 2


def test_a_server_that_goes_away_is_one_error_after_three_questions(
    connect: Connect, tiny_index: Retriever, tiny_lexicon: Lexicon
) -> None:
    with serving(scripted(chat({"concepts": [LINE]}), Reply(b"", 500))) as server, pytest.raises(OslerError) as caught:
        run(connect(server.url, attempts=2), tiny_index, tiny_lexicon)
    assert caught.value.code == "server-unreachable"
    assert len(server.requests) == 1 + 3 * 2


def test_a_budget_that_ends_in_the_middle_leaves_a_bank_and_says_so(
    connect: Connect, tiny_index: Retriever, tiny_lexicon: Lexicon
) -> None:
    with serving(honest) as server:
        client = connect(server.url, budget=Budget(calls=1), cache=True)
        proposed = run(client, tiny_index, tiny_lexicon)
        assert len(server.requests) == 1
        assert proposed.bank.ids
        assert "budget is spent" in proposed.stopped
        whole = run(connect(server.url, cache=True), tiny_index, tiny_lexicon)
    assert whole.stopped == ""
    bodies = [json.dumps(one["messages"]) for one in server.requests]
    assert len(bodies) == len(set(bodies))  # nothing was asked twice


def test_the_same_answers_give_the_same_bank(connect: Connect, tiny_index: Retriever, tiny_lexicon: Lexicon) -> None:
    with serving(honest) as server:
        first = run(connect(server.url, cache=True), tiny_index, tiny_lexicon).bank
        count = len(server.requests)
        again = run(connect(server.url, cache=True), tiny_index, tiny_lexicon).bank
    assert again.digest == first.digest
    assert len(server.requests) == count


PRIOR = {
    "finding": "pneumothorax",
    "value": 1,
    "confidence": 0.7,
    "document": "air",
    "passage": "No vessel crosses the line.",
}


def prior_answers(*priors: Any) -> Callable[[Request], Reply]:
    def answer(request: Request) -> Reply:
        asked = "observation" in task_of(request)
        return chat({"priors": list(priors)} if asked else {"concepts": [{**LINE, "terms": ["edge"], "name": "edge"}]})

    return answer


def test_the_prior_of_the_server_needs_a_passage_and_says_where_it_is_from(
    connect: Connect, tiny_index: Retriever, tiny_lexicon: Lexicon
) -> None:
    unknown = {**PRIOR, "finding": "pneumonia", "passage": "Air excludes pneumonia in most patients."}
    with serving(prior_answers(PRIOR, unknown)) as server:
        client = connect(server.url)
        proposer = ServerProposer(client, tiny_lexicon)
        source = ServerPrior(proposer, tiny_index)
        bank = propose_bank(tiny_index, tiny_lexicon, propose=proposer, prior_of=source).bank
    prior = bank.concept("edge").prior
    assert set(prior) == {"pneumothorax"}  # what nothing supports stays unknown
    assert (prior["pneumothorax"].value, prior["pneumothorax"].confidence) == (1, 0.7)
    assert prior["pneumothorax"].evidence == "server"
    assert prior["pneumothorax"].citation is not None
    assert prior["pneumothorax"].citation.passage == PRIOR["passage"]
    assert source.drops == {Reason.NOT_VERBATIM: 1}


@pytest.mark.parametrize(
    "change",
    [{"value": 2}, {"value": "1"}, {"value": True}, {"confidence": 1.5}, {"finding": "measles"}, {"confidence": None}],
)
def test_a_prior_out_of_range_is_dropped(
    connect: Connect, tiny_index: Retriever, tiny_lexicon: Lexicon, change: dict[str, Any]
) -> None:
    with serving(prior_answers({**PRIOR, **change})) as server:
        proposer = ServerProposer(connect(server.url), tiny_lexicon)
        source = ServerPrior(proposer, tiny_index)
        bank = propose_bank(tiny_index, tiny_lexicon, propose=proposer, prior_of=source).bank
    assert bank.concept("edge").prior == {}
    assert source.drops == {Reason.MALFORMED: 1}


@pytest.mark.slow
def test_a_run_that_is_killed_goes_on_from_what_was_answered(tmp_path: Path) -> None:
    """The command is killed while the server thinks; the second run asks only what had no answer."""
    reached, release = threading.Event(), threading.Event()

    def answer(request: Request) -> Reply:
        task = task_of(request)
        if "passages" in task and "observation" not in task and len(server.requests) == 4 and not release.is_set():
            reached.set()
            release.wait(30)
        if "observation" in task:
            return chat({"priors": []})
        first = task["passages"][0]
        passage = first["text"][: first["text"].index(".") + 1]
        record = {**LINE, "name": first["document"], "question": f"Is {first['document']} seen?"}
        return chat({"concepts": [{**record, "terms": [], "document": first["document"], "passage": passage}]})

    with serving(answer) as server:
        command = [sys.executable, "-m", "osler.cli.main", "knowledge", "propose", "--llm", server.url, "--model", "m"]
        command += ["--workspace", str(tmp_path / "ws"), "--budget-calls", "8", "--json"]
        first = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        assert reached.wait(60)
        os.kill(first.pid, signal.SIGKILL)
        assert first.wait(30) == -signal.SIGKILL
        release.set()
        kept = list((tmp_path / "ws/cache/llm").glob("*/*"))
        assert len(kept) == 3
        assert all(json.loads(path.read_text(encoding="utf-8"))["answer"] for path in kept)
        assert not (tmp_path / "ws/knowledge/chest-radiograph.json").exists()
        second = subprocess.run(command, capture_output=True, check=False, text=True, timeout=120)
    assert second.returncode == 0, second.stderr
    report = json.loads(second.stdout)
    assert report["server"]["answers"]["cache"] == 3
    assert report["server"]["requests"] == 8
    assert "budget is spent" in report["server"]["stopped"]
    bodies = Counter(json.dumps(one["messages"]) for one in server.requests)
    assert [count for count in bodies.values() if count > 1] == [2]  # the question that was under way
    log = (tmp_path / "ws/knowledge/llm/chest-radiograph.jsonl").read_text(encoding="utf-8")
    assert all(json.loads(line) for line in log.splitlines())
