"""Secrets never reach a log: what looks like a password, a token or a key is masked when a record is made.

It is done where records are made and not at a handler, so that it holds for every library and for every handler to come.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable
from typing import Any

MASK = "***"
# user:password@ of an address, also of one that was taken for a path; what follows a scheme of HTTP; a value after a word for it, as in a query, header or repr.
_PATTERNS = (
    re.compile(r"(?P<keep>[a-z][a-z0-9+.-]*:/{1,2}[^\s/:@]*:)[^\s/@]+(?=@)", re.IGNORECASE),
    re.compile(r"(?P<keep>\b(?:bearer|basic)\s+)[A-Za-z0-9._~+/=-]{4,}", re.IGNORECASE),
    re.compile(
        r"(?P<keep>\b[\w-]*(?:password|passwd|passphrase|secret|token|api[_-]?key|access[_-]?key|private[_-]?key)\b"
        r"[\"']?\s*[:=]\s*[\"']?)(?!\*{3})[^\s\"'&,;)}\]]+",
        re.IGNORECASE,
    ),
)
_SECRET_VARIABLE = re.compile(r"(?:PASSWORD|TOKEN|SECRET|PASSPHRASE|KEY)$")
_SHORTEST = 6  # a shorter value of the environment would mask ordinary words


def masked(text: str) -> str:
    """Return a text without the secrets in it; what it says otherwise stays."""
    for pattern in _PATTERNS:
        text = pattern.sub(lambda found: found["keep"] + MASK, text)
    for name, value in os.environ.items():
        if len(value) >= _SHORTEST and _SECRET_VARIABLE.search(name) and value in text:
            text = text.replace(value, MASK)
    return text


def mask_secrets() -> None:
    """Mask secrets in every record of this process from now on; a second call changes nothing."""
    made = logging.getLogRecordFactory()
    if not isinstance(made, _Masking):
        logging.setLogRecordFactory(_Masking(made))


class _Masking:
    """A factory of records that masks what another one makes: message, arguments and traceback."""

    def __init__(self, made: Callable[..., logging.LogRecord]) -> None:
        self._made = made

    def __call__(self, *args: Any, **more: Any) -> logging.LogRecord:
        record = self._made(*args, **more)
        try:
            message = record.getMessage()
        except Exception:  # noqa: BLE001 - arguments that do not fit: the handler tells of it, without them
            message, record.msg, record.args = "", "A message that does not fit its arguments.", ()
        if (text := masked(message)) != message:
            record.msg, record.args = text, ()
        if record.exc_info:
            # Formatters take the text that is there before they make one of their own.
            record.exc_text = masked(logging.Formatter().formatException(record.exc_info))
        return record
