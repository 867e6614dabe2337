"""Which engine does the work: a name, a number of workers and an address, opened when the work begins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import cast

from osler.engine.base import Engine
from osler.engine.limits import Limits
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

# Module of each engine, which has `open_engine(choice, work)`; imported when it is asked for.
ENGINES = {"local": "osler.engine.choice", "ray": "osler.engine.ray_engine"}
WORKERS = 2


@dataclass(frozen=True)
class Work:
    """What an engine must know of the work.

    Attributes:
        limits: Limits of each task.
        preload: Modules that a worker imports before its first task.
        ahead: Tasks that a worker may hold beside the running one and before it asks; 1 for tasks of seconds.
        folders: Folders that every worker must see, such as the workspace.
    """

    limits: Limits
    preload: tuple[str, ...]
    ahead: int
    folders: tuple[Path, ...]


@dataclass(frozen=True)
class EngineChoice:
    """An engine by name.

    Attributes:
        name: `local` or `ray`.
        workers: Worker processes. Left out: two of this machine, or one for each core of a Ray cluster. 0 works in this
            process, which only `local` can.
        address: Address of a Ray cluster, `host:port`; left out, Ray is started on this machine and ended again.

    Raises:
        OslerError: `usage` where these do not go together.
    """

    name: str = "local"
    workers: int | None = None
    address: str | None = None

    def __post_init__(self) -> None:
        if self.name not in ENGINES:
            raise OslerError(Code.USAGE, f"There is no engine {self.name!r}.", f"Use one of {', '.join(ENGINES)}.")
        if self.name == "local" and self.address is not None:
            raise OslerError(Code.USAGE, "The local engine has no address.", "Give --engine ray with --address.")
        if self.name != "local" and self.workers is not None and self.workers < 1:
            raise OslerError(Code.USAGE, "Ray needs a worker.", "Leave --workers out, or give 1 or more.")

    @property
    def here(self) -> bool:
        """Whether the work is done in this process."""
        return self.name == "local" and self.workers is not None and self.workers < 1

    def open(
        self,
        limits: Limits | None = None,
        preload: Sequence[str] = (),
        *,
        ahead: int = 32,
        folders: Sequence[Path] = (),
    ) -> Engine:
        """Return the engine, ready to take work; its workers start with the first of it.

        Args:
            limits: Limits of each task.
            preload: Modules that a worker imports before its first task.
            ahead: Tasks that a worker may be sent before it asks; 1 for tasks of seconds.
            folders: Folders that every worker must see; made where they are not there.

        Raises:
            OslerError: `part-missing` without Ray's package, `server-unreachable` where no cluster answers.
        """
        work = Work(limits or Limits(), tuple(preload), ahead, tuple(folders))
        return cast(Engine, import_module(ENGINES[self.name]).open_engine(self, work))


def open_engine(choice: EngineChoice, work: Work) -> Engine:
    """Open the engine of this machine."""
    from osler.engine.local import LocalEngine

    workers = WORKERS if choice.workers is None else max(choice.workers, 0)
    return LocalEngine(workers, work.limits, work.preload, ahead=work.ahead)
