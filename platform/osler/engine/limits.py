"""What one task may take of a worker process."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """What one task may take.

    Attributes:
        seconds: Time on the clock.
        memory_bytes: Address space of its process (RLIMIT_AS), libraries included; None for as much as there is.
        silent: Whether what the process prints is thrown away: a decoder's chatter may quote a patient.
    """

    seconds: float = 60.0
    memory_bytes: int | None = 4 << 30
    silent: bool = True


# For our own computations, which read nothing that a stranger wrote.
UNLIMITED = Limits(float("inf"), None, silent=False)
