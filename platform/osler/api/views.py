"""The audit of what is looked at: written before the answer goes out, once an hour for each token and study.

The dashboard notes a view once a session; a program has no sessions, and asks the same again and again.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from threading import Lock

from osler import audit
from osler.access.roles import Person
from osler.workspace import Workspace

AGAIN_S, HELD = 3600.0, 100_000

Look = tuple[str, str, str]  # a token's name, an action and its subject


class Views:
    """What was looked at lately.

    Args:
        workspace: Holds the audit log.
        clock: Seconds; `time.monotonic` unless a test says otherwise.
    """

    def __init__(self, workspace: Workspace, clock: Callable[[], float] = time.monotonic) -> None:
        self._workspace, self._clock = workspace, clock
        self._told: OrderedDict[Look, float] = OrderedDict()
        self._lock = Lock()
        self._writing: dict[Look, Lock] = {}  # of what is being written: entries of others need not wait

    def note(self, token: str, person: Person, action: str, subject: str) -> None:
        """Write into the audit log that somebody looks at something, unless that was written within the hour.

        Raises:
            OslerError: As `osler.audit.record`; what cannot be audited must not be shown.
        """
        key = (token, action, subject)
        if self._is_told(key):
            return
        with self._lock:
            writing = self._writing.setdefault(key, Lock())
        with writing:
            if self._is_told(key):  # by another request of the same token, while this one waited
                return
            try:
                details = {"token": token}
                audit.record(self._workspace, actor=person.name, action=action, subject=subject, details=details)
                self._keep(key)
            finally:
                with self._lock:
                    self._writing.pop(key, None)

    def _is_told(self, key: Look) -> bool:
        with self._lock:
            return self._clock() - self._told.get(key, float("-inf")) < AGAIN_S

    def _keep(self, key: Look) -> None:
        with self._lock:
            self._told[key] = self._clock()
            self._told.move_to_end(key)
            while len(self._told) > HELD:
                self._told.popitem(last=False)

    def close(self) -> None:
        """Forget all."""
        self._told.clear()
