"""How long to wait before the next attempt: twice as long each time, up to a limit, and not all at the same moment."""

from __future__ import annotations

from random import Random


def pause(attempt: int, first_s: float, longest_s: float, draw: Random) -> float:
    """Return the seconds before the attempt that follows attempt number `attempt` (1 for the first).

    Half of the pause is fixed and half is drawn: studies that failed together come back apart, and none at once.
    """
    whole = min(first_s * 2.0 ** min(attempt - 1, 60), longest_s)
    return whole / 2 + draw.uniform(0, whole / 2)
