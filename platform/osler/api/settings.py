"""What a server is started with; worker processes read it from their environment, since they share nothing else."""

from __future__ import annotations

import math
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

VARIABLE = "OSLER_API_SETTINGS"


@dataclass(frozen=True)
class Settings:
    """Settings of one server.

    Attributes:
        workspace: Root of the workspace.
        model: Model to explain with where a request names none; None for the one fitted with a prior, else the first.
        rate: Requests a minute that one token may send in the long run, to each worker process.
        burst: Requests that it may send at once after a pause.
        body: Bytes of the largest request body.
        body_s: Seconds within which a body must have arrived.
        waiting: Explanations that may wait for the processor at once; more are told to come back.
        waiting_s: Seconds that one may wait.
        warm: Whether to measure the sites when the server starts, rather than at the first question.
    """

    workspace: Path
    model: str | None = None
    rate: float = 1200.0
    burst: int = 200
    body: int = 64 * 1024
    body_s: float = 15.0
    waiting: int = 1000
    waiting_s: float = 120.0
    warm: bool = True

    def __post_init__(self) -> None:
        limits = (self.rate, self.burst, self.body, self.body_s, self.waiting, self.waiting_s)
        if not all(0 < limit < math.inf for limit in limits):
            raise OslerError(Code.USAGE, "The limits of the server must be numbers above zero.", "Give others.")

    def to_environment(self) -> dict[str, str]:
        """Return the environment variable that carries the settings to worker processes."""
        return {VARIABLE: TypeAdapter(Settings).dump_json(self).decode()}

    @classmethod
    def from_environment(cls) -> Settings:
        """Read the settings that `to_environment` wrote.

        Raises:
            OslerError: `usage` where there are none.
        """
        try:
            return TypeAdapter(Settings).validate_json(os.environ.get(VARIABLE, ""))
        except ValidationError:
            raise OslerError(
                Code.USAGE, "The server was not started by `osler api`.", "Start it with `osler api --workspace DIR`."
            ) from None

    def to_dict(self) -> dict[str, object]:
        """Return the settings as JSON."""
        return asdict(self) | {"workspace": str(self.workspace)}
