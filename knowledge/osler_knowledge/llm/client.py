"""Asks a server with the OpenAI chat protocol one question at a time and returns a JSON object, or says why there is none.

Plain httpx instead of the `openai` client: one endpoint is used; attempts share one deadline and one budget, an answer is
cut off at a size, and a redirect is not followed, none of which that client offers.
"""

from __future__ import annotations

import json
import ssl
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NoReturn

import httpx

from osler_contracts.codes import Code
from osler_contracts.errors import OslerError
from osler_knowledge.llm.parse import read_object
from osler_knowledge.llm.server import Budget, Server
from osler_knowledge.llm.store import AnswerCache, Journal, digest

Message = Mapping[str, str]
_TRY_AGAIN = {408, 409, 425, 429, 500, 502, 503, 504, 529}
_NO_FORMAT = {400, 415, 422, 501}  # what servers answer that do not know `response_format`
_FORMS = ("json_schema", "json_object", "none")
_LONGEST_WAIT = 60.0
_NOT_PROTOCOL = "not an answer of the protocol"
_QUOTED = 4_000  # characters of an answer that it is shown again
_LOGGED = 20_000  # characters of an answer that the log keeps


@dataclass
class AttemptError(Exception):
    """Why one attempt gave no answer.

    Attributes:
        reason: In words, without anything that the server said.
        again: Whether another attempt may help.
        wait: Seconds that the server asks to wait.
        plainer: Whether a request with less demands may help.
        answer: What was answered, where it was text of the wrong form.
    """

    reason: str
    again: bool
    wait: float = 0.0
    plainer: bool = False
    answer: str | None = None


class Client:
    """Puts questions to one server.

    Attributes:
        faults: Failed attempts by reason.
        asked: Questions by where the answer came from: `cache`, `server`, `none`.
    """

    def __init__(
        self,
        server: Server,
        budget: Budget | None = None,
        cache: AnswerCache | None = None,
        journal: Journal | None = None,
        *,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.server = server
        self.budget = budget or Budget()
        self.faults: Counter[str] = Counter()
        self.asked: Counter[str] = Counter()
        self._cache = cache or AnswerCache(None)
        self._journal = journal or Journal(None)
        self._sleep = sleep
        self._form = 0
        headers = {"Authorization": f"Bearer {server.key}"} if server.key else {}
        self._http = httpx.Client(headers=headers, timeout=server.timeout, verify=_certificates())

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def ask(self, messages: Sequence[Message], name: str, schema: Mapping[str, Any]) -> dict[str, Any]:
        """Return the JSON object that answers `messages`.

        Args:
            messages: The conversation.
            name: Name of the schema; the object has a key of this name.
            schema: JSON schema of the object.

        Raises:
            OslerError: `answer-invalid` (the server answered, and not with such an object), `server-unreachable` (it
                did not answer in time), `server-refused` (it will refuse every question), `budget-spent`.
        """
        question = {"url": self.server.endpoint, "model": self.server.model, "messages": list(messages)}
        key = digest({**question, "schema": schema})
        kept = self._cache.get(key)
        if kept is not None and (record := read_object(kept, name)) is not None:
            self.asked["cache"] += 1
            self._journal.write(question=key, outcome="from the cache")
            return record
        self._journal.write(question=key, **question)
        try:
            answer, record = self._attempts(key, messages, name, schema)
        except OslerError:
            self.asked["none"] += 1
            raise
        self._cache.put(key, answer)
        self.asked["server"] += 1
        return record

    def _attempts(
        self, key: str, messages: Sequence[Message], name: str, schema: Mapping[str, Any]
    ) -> tuple[str, dict[str, Any]]:
        end = time.monotonic() + self.server.deadline
        asked, form, attempt, mistakes = list(messages), self._form, 0, 0
        while True:
            self.budget.take()
            try:
                answer = self._post(asked, name, schema, _FORMS[form], end)
                record = read_object(answer, name)
                if record is None:
                    raise AttemptError("no JSON object of the schema", again=True, answer=answer)
            except AttemptError as fault:
                self.faults[fault.reason] += 1
                self._journal.write(question=key, outcome=fault.reason, answer=(fault.answer or "")[:_LOGGED])
                if fault.plainer and form + 1 < len(_FORMS):
                    form += 1
                    continue
                attempt += 1
                if fault.answer is not None:
                    mistakes += 1
                    asked = [*messages, *_corrected(fault.answer, name)]
                wait = max(fault.wait, self.server.backoff * 2 ** (attempt - 1))
                spent = attempt == self.server.attempts or mistakes > 1 or time.monotonic() + wait >= end
                if spent or not fault.again:
                    self._give_up(fault)
                self._sleep(wait)
                continue
            self._form = form  # what this server understands; a question that fails in every form changes nothing
            self._journal.write(question=key, outcome="answered", answer=answer[:_LOGGED])
            return answer, record

    def _give_up(self, fault: AttemptError) -> NoReturn:
        host = self.server.host
        if fault.again and fault.answer is None and fault.reason != _NOT_PROTOCOL:
            raise OslerError(
                Code.SERVER_UNREACHABLE,
                f"The language server {host} gave no answer ({fault.reason}).",
                "Check its address and that it runs; answers so far are kept, so that a second run goes on from there.",
            )
        raise OslerError(
            Code.ANSWER_INVALID,
            f"The language server {host} gave no usable answer ({fault.reason}).",
            "Look into the log; a model that follows JSON schemas answers better.",
        )

    def _post(self, messages: Sequence[Message], name: str, schema: Mapping[str, Any], form: str, end: float) -> str:
        """Send one request and return the text of the answer.

        Raises:
            AttemptError: There is none.
            OslerError: `server-refused`.
        """
        body: dict[str, Any] = {"model": self.server.model, "messages": list(messages), "temperature": 0}
        if form == "json_schema":
            body["response_format"] = {
                "type": form,
                "json_schema": {"name": name, "strict": True, "schema": dict(schema)},
            }
        elif form == "json_object":
            body["response_format"] = {"type": form}
        else:
            del body["temperature"]  # some models refuse every value but their own
        left = min(self.server.timeout, end - time.monotonic())
        if left <= 0:
            raise AttemptError("timed out", again=True)
        stop = time.monotonic() + left
        try:
            with self._http.stream("POST", self.server.endpoint, json=body, timeout=left) as response:
                self._check_status(response)
                text = self._read(response, stop)
        except httpx.InvalidURL:
            raise OslerError(Code.USAGE, "The address of the language server is not a URL.", "Correct --llm.") from None
        except httpx.TimeoutException:
            raise AttemptError("timed out", again=True) from None
        except (httpx.TransportError, httpx.StreamError, httpx.DecodingError):
            raise AttemptError("no connection", again=True) from None
        return self._content(text, messages)

    def _check_status(self, response: httpx.Response) -> None:
        status = response.status_code
        if status == httpx.codes.OK:
            return
        if status in _TRY_AGAIN:
            raise AttemptError(f"status {status}", again=True, wait=_retry_after(response))
        if status in _NO_FORMAT or status == 413:  # of this question only, such as one that is too long
            raise AttemptError(f"status {status}", again=False, plainer=status in _NO_FORMAT)
        raise OslerError(
            Code.SERVER_REFUSED,
            f"The language server {self.server.host} refuses questions (status {status}).",
            "Check --llm, --model and the key in OSLER_LLM_KEY; redirects are not followed.",
        )

    def _read(self, response: httpx.Response, stop: float) -> bytes:
        data = bytearray()
        for chunk in response.iter_bytes():
            data += chunk
            if len(data) > self.server.largest:
                raise AttemptError("answer too large", again=False)
            if time.monotonic() > stop:
                raise AttemptError("timed out", again=True)
        return bytes(data)

    def _content(self, data: bytes, messages: Sequence[Message]) -> str:
        """Return the text of the first choice, and pay for the tokens."""
        try:
            record = json.loads(data)
            choice = record["choices"][0]
            text = choice["message"]["content"]
        except (ValueError, KeyError, TypeError, IndexError, RecursionError):
            raise AttemptError(_NOT_PROTOCOL, again=True) from None
        if not isinstance(text, str):
            raise AttemptError(_NOT_PROTOCOL, again=True)
        self.budget.spent_tokens += _tokens(record, messages, text)
        if choice.get("finish_reason") == "length":
            raise AttemptError("answer cut off", again=False)
        return text


@lru_cache(maxsize=1)
def _certificates() -> ssl.SSLContext:
    return httpx.create_ssl_context()  # reads all certificates: once is enough


def _corrected(answer: str, name: str) -> list[Message]:
    """Return what follows an answer of the wrong form: at temperature 0 the same question gets the same answer."""
    wish = f'That is not a JSON object with a list "{name}". Answer with that object alone.'
    return [{"role": "assistant", "content": answer[:_QUOTED]}, {"role": "user", "content": wish}]


def _retry_after(response: httpx.Response) -> float:
    """Return the seconds that the server asks for, where it does so in seconds."""
    try:
        return min(max(float(response.headers.get("Retry-After", "0")), 0.0), _LONGEST_WAIT)
    except ValueError:
        return 0.0


def _tokens(record: Mapping[str, Any], messages: Sequence[Message], text: str) -> int:
    usage = record.get("usage")
    counted = usage.get("total_tokens") if isinstance(usage, dict) else None
    if isinstance(counted, int) and counted > 0:
        return counted
    return (sum(len(one["content"]) for one in messages) + len(text)) // 4 + 1
