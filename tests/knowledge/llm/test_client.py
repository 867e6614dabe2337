"""One question to a real server on this machine, with every fault that a server can have."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from osler_contracts.errors import OslerError
from osler_knowledge.llm.client import Client
from osler_knowledge.llm.server import KEY, Budget, Server, find_key

from .chat_server import Reply, chat, scripted, serving
from .conftest import SECRET

ASK: list[dict[str, str]] = [{"role": "user", "content": "What is seen?"}]
SCHEMA: dict[str, Any] = {"type": "object", "properties": {"things": {"type": "array"}}, "required": ["things"]}
GOOD = chat({"things": ["line"]})
Connect = Callable[..., Client]


def ask(client: Client) -> dict[str, Any]:
    return client.ask(ASK, "things", SCHEMA)


def failing(client: Client, code: str) -> OslerError:
    with pytest.raises(OslerError) as caught:
        ask(client)
    assert caught.value.code == code
    return caught.value


def test_a_question_is_put_as_the_protocol_has_it(connect: Connect) -> None:
    with serving(scripted(GOOD)) as server:
        assert ask(connect(server.url)) == {"things": ["line"]}
    assert server.paths == ["/v1/chat/completions"]
    assert server.headers[0]["Authorization"] == f"Bearer {SECRET}"
    request = server.requests[0]
    assert request["messages"] == ASK
    assert request["temperature"] == 0
    assert request["response_format"]["json_schema"] == {"name": "things", "strict": True, "schema": SCHEMA}


@pytest.mark.parametrize(
    "content",
    [
        '```json\n{"things": ["line"]}\n```',
        'Here you are: {"things": ["line"]} I hope it helps.',
        '<think>Perhaps {"things": ["wrong"]}?</think>{"things": ["line"]}',
        'First {"things": ["draft"]}, better: {"things": ["line"]}',
        '{not json} {"things": ["line"]}',
    ],
)
def test_a_server_that_ignores_the_format_is_read_all_the_same(connect: Connect, content: str) -> None:
    with serving(scripted(chat(content))) as server:
        assert ask(connect(server.url)) == {"things": ["line"]}


def test_a_server_that_refuses_the_format_is_asked_more_plainly_and_stays_so(connect: Connect) -> None:
    def answer(request: dict[str, Any]) -> Reply:
        return Reply(b"{}", 400) if "response_format" in request else GOOD

    with serving(answer) as server:
        client = connect(server.url)
        ask(client)
        client.ask([{"role": "user", "content": "And now?"}], "things", SCHEMA)
    forms = [request.get("response_format", {}).get("type") for request in server.requests]
    assert forms == ["json_schema", "json_object", None, None]
    assert client.waits == []  # type: ignore[attr-defined]


def test_a_question_that_is_too_long_does_not_cost_the_others_their_format(connect: Connect) -> None:
    def answer(request: dict[str, Any]) -> Reply:
        return Reply(b"{}", 400) if "long" in request["messages"][0]["content"] else GOOD

    with serving(answer) as server:
        client = connect(server.url)
        with pytest.raises(OslerError, match="status 400"):
            client.ask([{"role": "user", "content": "a long text"}], "things", SCHEMA)
        ask(client)
    assert server.requests[-1]["response_format"]["type"] == "json_schema"


@pytest.mark.parametrize("status", [429, 500, 502, 503])
def test_a_server_that_is_busy_is_asked_again_with_growing_waits(connect: Connect, status: int) -> None:
    with serving(scripted(Reply(b"busy", status), Reply(b"busy", status), GOOD)) as server:
        client = connect(server.url, backoff=0.5)
        assert ask(client) == {"things": ["line"]}
    assert client.waits == [0.5, 1.0]  # type: ignore[attr-defined]
    assert client.faults == {f"status {status}": 2}
    assert len(server.requests) == 3


def test_the_wait_that_a_server_asks_for_is_kept(connect: Connect) -> None:
    with serving(scripted(Reply(b"", 429, {"Retry-After": "7"}), GOOD)) as server:
        client = connect(server.url, backoff=0.5)
        ask(client)
    assert client.waits == [7.0]  # type: ignore[attr-defined]


def test_a_wait_beyond_the_deadline_is_not_begun(connect: Connect) -> None:
    with serving(scripted(Reply(b"", 429, {"Retry-After": "50"}), GOOD)) as server:
        failing(connect(server.url), "server-unreachable")
    assert len(server.requests) == 1


def test_a_server_that_stays_broken_is_given_up(connect: Connect) -> None:
    with serving(scripted(Reply(b"", 500))) as server:
        error = failing(connect(server.url, attempts=3), "server-unreachable")
    assert len(server.requests) == 3
    assert "127.0.0.1" in error.message
    assert "status 500" in error.message


def test_a_server_that_is_silent_times_out(connect: Connect) -> None:
    with serving(scripted(Reply(b"", wait=0.6))) as server:
        client = connect(server.url, timeout=0.15, attempts=2)
        failing(client, "server-unreachable")
    assert client.faults == {"timed out": 2}


def test_a_server_that_drips_times_out_as_a_whole(connect: Connect) -> None:
    dripping = Reply(GOOD.body, slow=0.05)
    with serving(scripted(dripping)) as server:
        client = connect(server.url, timeout=0.3, attempts=1)
        failing(client, "server-unreachable")
    assert client.faults == {"timed out": 1}


def test_a_server_that_is_not_there_is_named(connect: Connect) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    client = connect(f"http://127.0.0.1:{port}/v1", attempts=2)
    failing(client, "server-unreachable")
    assert client.faults == {"no connection": 2}


def test_an_answer_that_breaks_off_is_asked_for_again(connect: Connect) -> None:
    broken = Reply(GOOD.body[:40], declared=len(GOOD.body))
    with serving(scripted(broken, GOOD)) as server:
        client = connect(server.url)
        assert ask(client) == {"things": ["line"]}
    assert client.faults == {"no connection": 1}


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (Reply(b"<html>gateway</html>"), "not an answer of the protocol"),
        (Reply(b'{"choices": []}'), "not an answer of the protocol"),
        (Reply(b'{"choices": [{"message": {"content": null}}]}'), "not an answer of the protocol"),
        (Reply(b'{"choices": [{"mess'), "not an answer of the protocol"),
        (Reply(b"[" * 50_000), "not an answer of the protocol"),
        (Reply(b"\xff\xfe\x00"), "not an answer of the protocol"),
        (chat("I would rather talk about the weather."), "no JSON object of the schema"),
        (chat('{"things": ["li'), "no JSON object of the schema"),
        (chat({"others": []}), "no JSON object of the schema"),
        (chat({"things": "line"}), "no JSON object of the schema"),
        (chat([1, 2]), "no JSON object of the schema"),
        (chat(""), "no JSON object of the schema"),
        (chat({"things": []}, finish="length"), "answer cut off"),
        (Reply(b" " * 20_000), "answer too large"),
    ],
)
def test_nonsense_is_one_error_and_is_not_kept(connect: Connect, reply: Reply, reason: str, tmp_path: Path) -> None:
    with serving(scripted(reply)) as server:
        client = connect(server.url, cache=True, largest=10_000 if len(reply.body) == 20_000 else 1 << 20)
        error = failing(client, "answer-invalid")
    assert reason in error.message
    assert set(client.faults) == {reason}
    assert not list(tmp_path.glob("cache/**/*.json"))


def test_a_server_that_answers_in_the_wrong_form_is_told_so_once(connect: Connect) -> None:
    with serving(scripted(chat("Sure! things: line"), GOOD)) as server:
        assert ask(connect(server.url)) == {"things": ["line"]}
    assert [one["role"] for one in server.requests[1]["messages"]] == ["user", "assistant", "user"]
    assert server.requests[1]["messages"][1]["content"] == "Sure! things: line"


@pytest.mark.parametrize("status", [301, 401, 403, 404])
def test_a_refusal_ends_everything_at_once(connect: Connect, status: int) -> None:
    with serving(scripted(Reply(b"no", status, {"Location": "http://127.0.0.1:9/elsewhere"}))) as server:
        error = failing(connect(server.url), "server-refused")
    assert len(server.requests) == 1
    assert str(status) in error.message


def test_the_budget_counts_every_request_and_ends_in_the_middle(connect: Connect) -> None:
    with serving(scripted(Reply(b"", 500), Reply(b"", 500), GOOD)) as server:
        client = connect(server.url, budget=Budget(calls=2))
        failing(client, "budget-spent")
    assert len(server.requests) == 2


@pytest.mark.parametrize(("tokens", "spent"), [(40, 40), (None, 9)])
def test_tokens_are_counted_by_the_server_or_by_length(connect: Connect, tokens: int | None, spent: int) -> None:
    with serving(scripted(chat({"things": ["line"]}, tokens=tokens))) as server:
        client = connect(server.url, budget=Budget(tokens=9))
        ask(client)
        assert client.budget.spent_tokens == spent
        with pytest.raises(OslerError, match="budget is spent"):
            client.ask([{"role": "user", "content": "More?"}], "things", SCHEMA)
    assert len(server.requests) == 1


def test_what_was_answered_is_kept_and_costs_nothing_again(connect: Connect) -> None:
    with serving(scripted(GOOD)) as server:
        first = ask(connect(server.url, cache=True))
        again = connect(server.url, cache=True, budget=Budget(calls=1))
        assert ask(again) == first
    assert len(server.requests) == 1
    assert again.budget.spent_calls == 0
    assert again.asked == {"cache": 1}


@pytest.mark.parametrize("damage", [b"", b'{"question"', b'{"question": "x", "answer": "{}"}', b"\xff\x00", b"[]"])
def test_a_damaged_file_of_the_cache_is_asked_for_anew(connect: Connect, damage: bytes, tmp_path: Path) -> None:
    with serving(scripted(GOOD)) as server:
        ask(connect(server.url, cache=True))
        (kept,) = tmp_path.glob("cache/*/*.json")
        kept.write_bytes(damage)
        assert ask(connect(server.url, cache=True)) == {"things": ["line"]}
    assert len(server.requests) == 2
    assert json.loads(kept.read_text(encoding="utf-8"))["question"] == kept.stem


def test_the_log_has_prompts_and_answers_and_never_the_key(connect: Connect, tmp_path: Path) -> None:
    echo = chat(f'Your key is {SECRET}. {{"things": ["{SECRET}"]}}')
    with serving(scripted(Reply(b"", 500), echo)) as server:
        ask(connect(server.url, cache=True))
    text = (tmp_path / "log.jsonl").read_text(encoding="utf-8")
    lines = [json.loads(line) for line in text.splitlines()]
    assert [line.get("outcome") for line in lines] == [None, "status 500", "answered"]
    assert lines[0]["messages"] == ASK
    assert "[key]" in lines[-1]["answer"]
    assert SECRET not in text
    assert (tmp_path / "log.jsonl").stat().st_mode & 0o077 == 0


def test_no_error_and_no_repr_shows_the_key(connect: Connect) -> None:
    with serving(scripted(Reply(SECRET.encode(), 401))) as server:
        client = connect(server.url)
        error = failing(client, "server-refused")
    assert SECRET not in f"{error!r} {error} {client.server!r}"


@pytest.mark.parametrize(
    "url",
    [
        "localhost:8000",
        "ftp://host/v1",
        "http://",
        "http://user:pass@host/v1",
        "http://host/v1?key=x",
        "http://host:port/v1",
        "",
        "http://[::1/v1",
    ],
)
def test_an_address_that_is_none_is_refused_before_anything_is_sent(url: str) -> None:
    with pytest.raises(OslerError) as caught:
        Server(url, "test")
    assert caught.value.code == "usage"
    assert "pass" not in caught.value.message


@pytest.mark.parametrize("url", ["http://host/v1", "http://host/v1/", "http://host/v1/chat/completions"])
def test_the_endpoint_is_found_from_the_base(url: str) -> None:
    assert Server(url, "test").endpoint == "http://host/v1/chat/completions"


def test_the_key_comes_from_the_environment_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(KEY, raising=False)
    assert find_key() is None
    monkeypatch.setenv(KEY, " sk-1 ")
    assert find_key() == "sk-1"
    monkeypatch.setenv(KEY, "sk-\u00e4")
    with pytest.raises(OslerError, match=KEY):
        find_key()


def test_a_budget_of_nothing_is_a_mistake() -> None:
    with pytest.raises(OslerError, match="at least 1"):
        Budget(calls=0)
