"""What becomes of a task."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from osler_contracts.errors import OslerError


@dataclass
class Done:
    """It answered."""

    answer: Any


@dataclass
class Lost:
    """Its process crashed, hung or ran out of memory."""

    error: OslerError


@dataclass
class Raised:
    """It raised an error, which is raised again where the answer is waited for."""

    error: Exception


Result = Done | Lost | Raised
