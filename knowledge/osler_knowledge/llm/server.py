"""Which server is asked, how patiently, and what a run may cost."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

KEY = "OSLER_LLM_KEY"
_ENDPOINT = "/chat/completions"


@dataclass(frozen=True)
class Server:
    """A server with the OpenAI chat protocol. Its `repr` does not show the key.

    Attributes:
        url: Its base, such as `http://localhost:8000/v1`.
        model: The model's name there.
        key: Bearer token, None where the server asks for none.
        timeout: Seconds to wait for one answer.
        deadline: Seconds for one question with all its attempts.
        attempts: Most attempts at one question.
        backoff: Seconds before the second attempt; each further wait doubles.
        largest: Bytes of an answer at most.
    """

    url: str
    model: str
    key: str | None = field(default=None, repr=False)
    timeout: float = 120.0
    deadline: float = 300.0
    attempts: int = 4
    backoff: float = 1.0
    largest: int = 1 << 20

    def __post_init__(self) -> None:
        try:
            parts = urlsplit(self.url)
            sound = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        except ValueError:
            sound = False
        if not sound:
            raise _usage("The address of the language server is not a URL that starts with http:// or https://.")
        if parts.username or parts.password or parts.query or parts.fragment:
            raise _usage("The address of the language server holds more than a host, a port and a path.")
        if not self.model.strip():
            raise _usage("The name of the model is empty.")

    @property
    def endpoint(self) -> str:
        """Where questions are posted."""
        base = self.url.rstrip("/")
        return base if base.endswith(_ENDPOINT) else base + _ENDPOINT

    @property
    def host(self) -> str:
        """The server's host, for messages."""
        return urlsplit(self.url).hostname or ""


def _usage(message: str) -> OslerError:
    return OslerError(
        Code.USAGE, message, f"Give --llm such as http://localhost:8000/v1, --model NAME, and a key, if any, in {KEY}."
    )


def find_key() -> str | None:
    """Return the key from the environment, None where there is none."""
    key = os.environ.get(KEY, "").strip()
    if not (key.isascii() and key.isprintable()):
        raise _usage(f"The key in {KEY} holds characters that a header cannot carry.")
    return key or None


@dataclass
class Budget:
    """What a run may still spend: requests that leave this machine, and tokens that the server counts.

    Attributes:
        calls: Requests at most, retries included; None is without limit.
        tokens: Tokens at most; the request that passes the limit is the last.
        spent_calls: Requests so far.
        spent_tokens: Tokens so far; where a server does not count, four characters are taken for one.
    """

    calls: int | None = None
    tokens: int | None = None
    spent_calls: int = 0
    spent_tokens: int = 0

    def __post_init__(self) -> None:
        if any(limit is not None and limit < 1 for limit in (self.calls, self.tokens)):
            raise OslerError(Code.USAGE, "A budget is at least 1.", "Leave it out for a run without limit.")

    def take(self) -> None:
        """Pay for one request.

        Raises:
            OslerError: `budget-spent`.
        """
        calls_gone = self.calls is not None and self.spent_calls >= self.calls
        if calls_gone or (self.tokens is not None and self.spent_tokens >= self.tokens):
            raise OslerError(
                Code.BUDGET_SPENT,
                f"The budget is spent: {self.spent_calls} requests, {self.spent_tokens} tokens.",
                "Run it again with a further budget: answers so far are kept and cost nothing.",
            )
        self.spent_calls += 1
