"""Expendable worker processes: a task that crashes, hangs or eats memory costs itself alone, and is known by name.

Neither `concurrent.futures` (one death breaks the pool, a hang cannot be ended) nor pebble (its pool breaks where a
task dies before its acknowledgement was read) says for certain which task it was. Here each process has a pipe of its
own and answers in order, so that the task at fault is always the first unanswered one.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from importlib import import_module
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from multiprocessing.reduction import ForkingPickler
from typing import Any, Generic, Self, TypeVar

from osler.dicom.refusals import refusal
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

Item = TypeVar("Item")
Answer = TypeVar("Answer")

AHEAD, AHEAD_BYTES = (
    32,
    1 << 15,
)  # sent to a process before it asks; less than a pipe holds, so that sending never waits
TRIES = 2  # a process may be killed by somebody else: a task is blamed when it happens again
STARTS = 3  # processes in a row that may fail to start
START_SECONDS = 300.0


@dataclass(frozen=True)
class Limits:
    """What one task may take.

    Attributes:
        seconds: Time on the clock.
        memory_bytes: Address space of its process (RLIMIT_AS), libraries included.
    """

    seconds: float = 60.0
    memory_bytes: int = 4 << 30


class Workers:
    """Worker processes, spawned so that they inherit nothing.

    Args:
        count: Number of processes; 0 works in this process, without limits, and a crash of a decoder ends the run.
        limits: Limits of each task.
        preload: Modules that a process imports before its first task, so that no file answers for that time.
    """

    def __init__(self, count: int, limits: Limits | None = None, preload: Sequence[str] = ()) -> None:
        self._count = count
        self._preload = tuple(preload)
        self._limits = limits or Limits()
        self._workers: list[_Worker] = []
        self._waiting: deque[_Task] = deque()
        self._failed_starts = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self._workers:
            worker.kill()

    def map(
        self, task: Callable[[Item], Answer], items: Sequence[Item], on_loss: Callable[[Item, OslerError], Answer]
    ) -> Iterator[Answer]:
        """Put tasks in the queue at once, and return the answers in the order of the items.

        Args:
            task: A function that a process can import.
            items: Its arguments.
            on_loss: Answers for an item whose process crashed (`decode-crash`), hung (`decode-timeout`) or ran out of
                memory (`out-of-memory`).

        Returns:
            An iterator that waits for the answers, and raises what a task raised.
        """
        if self._count == 0:
            return map(task, items)
        queued = [_Task(bytes(ForkingPickler.dumps((task, item)))) for item in items]
        self._waiting.extend(queued)
        self._feed()
        return self._answers(queued, items, on_loss)

    def _answers(
        self, queued: Sequence[_Task], items: Sequence[Item], on_loss: Callable[[Item, OslerError], Answer]
    ) -> Iterator[Answer]:
        for task, item in zip(queued, items, strict=True):
            self._pump(0.0)
            while task.result is None:
                self._pump(1.0)
            result, task.result = task.result, None
            if isinstance(result, _Lost):
                yield on_loss(item, result.error)
            elif isinstance(result, _Raised):
                raise result.error
            else:
                yield result.answer

    def _pump(self, patience: float) -> None:
        """Take what has been answered, replace who died or is late, and hand out what waits."""
        ready = wait([worker.pipe for worker in self._workers], patience)
        for worker in list(self._workers):
            if worker.pipe in ready:
                self._hear(worker)
            elif time.monotonic() > worker.deadline:
                self._replace(worker, Code.DECODE_TIMEOUT)
        self._feed()

    def _hear(self, worker: _Worker) -> None:
        try:
            while worker.pipe.poll():
                answer = worker.pipe.recv()
                self._failed_starts = 0
                worker.settle(answer, self._limits.seconds)
                if isinstance(answer, _Lost):  # what is left of its memory may be in pieces
                    self._replace(worker, None)
                    return
        except (EOFError, OSError):
            self._replace(worker, Code.DECODE_CRASH)

    def _feed(self) -> None:
        unanswered = len(self._waiting) + sum(len(worker.tasks) for worker in self._workers)
        while len(self._workers) < min(self._count, unanswered):
            self._workers.append(_Worker(self._limits, self._preload))
        share = min(AHEAD, max(2, len(self._waiting) // (2 * self._count)))
        for worker in self._workers:
            while self._waiting and worker.takes(self._waiting[0], share):
                worker.send(self._waiting.popleft(), self._limits.seconds)

    def _replace(self, worker: _Worker, code: Code | None) -> None:
        """End a process; its first task answers for the code, the others go back to the head of the queue."""
        self._workers.remove(worker)
        ended_by = worker.kill()
        if not worker.ready:
            self._failed_starts += 1
            if self._failed_starts >= STARTS:
                raise OslerError(
                    Code.INTERNAL,
                    f"Worker processes do not start (exit code {ended_by}).",
                    "Check the memory limit, and `osler doctor`.",
                )
        elif code is not None and worker.tasks:
            first = worker.tasks[0]
            first.tries += 1
            if code is Code.DECODE_TIMEOUT or first.tries == TRIES:
                worker.tasks.popleft()
                first.result = _Lost(_loss(code, ended_by, self._limits))
        self._waiting.extendleft(reversed(worker.tasks))


@dataclass
class _Done(Generic[Answer]):
    answer: Answer


@dataclass
class _Lost:
    error: OslerError


@dataclass
class _Raised:
    error: Exception


@dataclass
class _Task:
    message: bytes
    result: _Done[Any] | _Lost | _Raised | None = None
    tries: int = 0


@dataclass
class _Worker:
    """One process with the tasks that it was sent, the running one first."""

    limits: Limits
    preload: tuple[str, ...]
    tasks: deque[_Task] = field(default_factory=deque)
    ready: bool = False
    sent_bytes: int = 0

    def __post_init__(self) -> None:
        context = get_context("spawn")
        self.pipe, far = context.Pipe()
        arguments = (far, self.limits.memory_bytes, self.preload)
        self.process: SpawnProcess = context.Process(target=_serve, args=arguments, daemon=True)
        self.process.start()
        far.close()
        self.deadline = time.monotonic() + START_SECONDS

    def takes(self, task: _Task, share: int) -> bool:
        room = len(self.tasks) < share and self.sent_bytes + len(task.message) <= AHEAD_BYTES
        return room or not self.tasks

    def send(self, task: _Task, seconds: float) -> None:
        if not self.tasks and self.ready:
            self.deadline = time.monotonic() + seconds
        self.tasks.append(task)
        self.sent_bytes += len(task.message)
        with suppress(OSError):  # its death will be heard at the other end of the pipe
            self.pipe.send_bytes(task.message)

    def settle(self, answer: Any, seconds: float) -> None:
        """Take the answer to the first task; the process's very first word says that it has started."""
        if not self.ready:
            self.ready = True
        else:
            task = self.tasks.popleft()
            self.sent_bytes -= len(task.message)
            task.result = answer
        self.deadline = time.monotonic() + seconds if self.tasks else float("inf")

    def kill(self) -> int | None:
        """End the process if it has not ended yet; returns its exit code, negative for a signal."""
        self.process.kill()
        self.process.join()
        self.pipe.close()
        return self.process.exitcode


def _loss(code: Code, ended_by: int | None, limits: Limits) -> OslerError:
    if code is Code.DECODE_TIMEOUT:
        return refusal(code, f"Reading the file took longer than {limits.seconds:g} seconds.")
    return refusal(code, f"Reading the file ended the process that did it, twice (exit code {ended_by}).")


def _serve(pipe: Connection, memory_bytes: int, preload: Sequence[str]) -> None:
    """Work until the pipe is closed."""
    _confine(memory_bytes)
    for module in preload:
        import_module(module)
    pipe.send(_Done(None))
    with suppress(EOFError, OSError, KeyboardInterrupt):
        while True:
            pipe.send(_work(*pipe.recv()))


def _work(task: Callable[[Item], Answer], item: Item) -> _Done[Answer] | _Lost | _Raised:
    try:
        answer = task(item)
    except MemoryError:
        return _Lost(refusal(Code.OUT_OF_MEMORY))
    except Exception as error:  # noqa: BLE001 - it is raised again in the main process
        return _Raised(error)
    return _Done(answer)


def _confine(memory_bytes: int) -> None:
    """Limit memory, leave no core dump, which would hold patients, nor decoders' chatter, which may quote them."""
    for kind, limit in ((resource.RLIMIT_AS, memory_bytes), (resource.RLIMIT_CORE, 0)):
        _soft, hard = resource.getrlimit(kind)
        resource.setrlimit(kind, (limit if hard == resource.RLIM_INFINITY else min(limit, hard), hard))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    nowhere = os.open(os.devnull, os.O_RDWR)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG: no orphan, not even one that hangs
