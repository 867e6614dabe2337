"""Mishaps that nobody foresaw: who asked is told a reference, a log of the workspace says under it where it happened.

Neither has a value of a patient: messages of errors are left out, since libraries put into them what they stumble over.
"""

from __future__ import annotations

import logging
import secrets
import traceback
from functools import cache
from logging.handlers import RotatingFileHandler
from pathlib import Path

BYTES, FILES = 1_000_000, 3


def note(error: BaseException, log: Path) -> str:
    """Write down where an error happened.

    Args:
        error: The error, with its traceback.
        log: File to append to; it is begun anew at 1 MB, and three former ones are kept.

    Returns:
        The reference under which it stands.
    """
    reference = secrets.token_hex(4)
    frames = traceback.extract_tb(error.__traceback__)
    where = " < ".join(f"{Path(one.filename).name}:{one.lineno} {one.name}" for one in reversed(frames))
    _logger(log).error("%s %s at %s", reference, type(error).__name__, where or "an unknown place")
    return reference


@cache
def _logger(path: Path) -> logging.Logger:
    log = logging.getLogger(f"osler.mishaps.{path}")
    log.propagate = False  # the terminal of a server is nobody's log
    handler = RotatingFileHandler(path, maxBytes=BYTES, backupCount=FILES, encoding="utf-8", delay=True)
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    log.addHandler(handler)
    return log
