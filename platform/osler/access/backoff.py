"""Waiting after wrong passwords: longer with each, for a name at a time, whether or not the name has an account."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

FREE, FIRST, MOST = 3, 5.0, 900.0  # failures without waiting; seconds of the first and of the longest wait
FORGOTTEN, NAMES = 3600.0, 10_000  # seconds after which a failure is forgotten; names held at once


@dataclass
class _Failures:
    count: int
    last: float


class BackOff:
    """Failures by name, in memory.

    Args:
        clock: Seconds; `time.monotonic` unless a test says otherwise.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._names: OrderedDict[str, _Failures] = OrderedDict()

    def wait(self, name: str) -> float:
        """Return how many seconds a name has to wait, 0 where it has not."""
        with self._lock:
            held = self._names.get(name)
            if held is None or held.count < FREE:
                return 0.0
            due = held.last + min(MOST, FIRST * 2.0 ** (held.count - FREE))
            return max(0.0, due - self._clock())

    def failed(self, name: str) -> None:
        """Count a failure."""
        now = self._clock()
        with self._lock:
            held = self._names.pop(name, None)
            count = held.count + 1 if held is not None and now - held.last < FORGOTTEN else 1
            self._names[name] = _Failures(min(count, 64), now)
            while len(self._names) > NAMES:
                self._names.popitem(last=False)

    def passed(self, name: str) -> None:
        """Forget the failures of a name that has come in."""
        with self._lock:
            self._names.pop(name, None)
