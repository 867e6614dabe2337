"""What runs on a node of a Ray cluster: an actor that holds one expendable process and hands it work.

The actor itself reads no file, so that a decoder that crashes, hangs or eats memory ends the process beneath it, under the
very limits of this machine's engine, and never the actor. Only the machine can take that, and the engine then moves its
tasks elsewhere.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from osler import __version__

if TYPE_CHECKING:
    from osler.engine.answers import Result
    from osler.engine.limits import Limits


class Host:
    """One core of a node."""

    def __init__(self, limits: Limits, preload: Sequence[str], folder: Path) -> None:
        from osler.engine.local import LocalEngine

        if folder.is_dir():  # what was named relative to the folder of the command is found
            os.chdir(folder)
        self._pool = LocalEngine(1, limits, preload)

    def start(self, probes: Sequence[Path]) -> tuple[str, list[Path], int]:
        """Start the process; returns Osler's version here, the probes that are not seen here, and this actor's process."""
        missing = [probe for probe in probes if not probe.is_file()]
        if not missing:
            with _no_main():
                self._pool.start()
        return __version__, missing, os.getpid()

    def work(self, messages: Sequence[bytes]) -> list[Result]:
        """Do pickled tasks, and return what became of each."""
        with _no_main():
            return self._pool.run(messages)


@contextmanager
def _no_main() -> Iterator[None]:
    """Hide the program of Ray's worker: a process that is spawned would import it, and all of Ray, for nothing."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main
