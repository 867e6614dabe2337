"""Expendable worker processes: a task that crashes, hangs or eats memory costs itself alone, and is known by name.

Neither `concurrent.futures` (one death breaks the pool, a hang cannot be ended) nor pebble (its pool breaks where a
task dies before its acknowledgement was read) says for certain which task it was. Here each process has a pipe of its
own and answers in order, so that the task at fault is always the first unanswered one.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing import get_context
from multiprocessing.connection import wait
from multiprocessing.context import SpawnProcess

from osler.dicom.refusals import refusal
from osler.engine.answers import Lost, Result
from osler.engine.base import Answer, Engine, Item, OnLoss, Task
from osler.engine.limits import Limits
from osler.engine.process import ONE_THREAD, serve
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

AHEAD_BYTES = 1 << 15  # less than a pipe holds, so that sending never waits
TRIES = 2  # a process may be killed by somebody else: a task is blamed when it happens again
STARTS = 3  # processes in a row that may fail to start
START_SECONDS = 300.0


class LocalEngine(Engine):
    """Worker processes of this machine, spawned so that they inherit nothing, of one thread each.

    Args:
        count: Number of processes; 0 works in this process, without limits, and a crash of a decoder ends the run.
        limits: Limits of each task.
        preload: Modules that a process imports before its first task, so that no task answers for that time.
        ahead: Tasks that a process may be sent before it asks; 1 for tasks of seconds, so that none waits behind another
            while a process is idle.
    """

    def __init__(
        self, count: int, limits: Limits | None = None, preload: Sequence[str] = (), *, ahead: int = 32
    ) -> None:
        super().__init__()
        self._count = count
        self._preload = tuple(preload)
        self._limits = limits or Limits()
        self._ahead = ahead
        self._workers: list[_Worker] = []
        self._failed_starts = 0

    def close(self) -> None:
        """End the processes."""
        for worker in self._workers:
            worker.kill()
        self._workers.clear()

    def map(
        self,
        task: Callable[[Item], Answer],
        items: Iterable[Item],
        on_loss: OnLoss[Item, Answer] | None = None,
        *,
        ordered: bool = True,
    ) -> Iterator[Answer]:
        """Do it in the processes, or here where there are none; see `Engine.map`."""
        return map(task, items) if self._count == 0 else super().map(task, items, on_loss, ordered=ordered)

    def run(self, messages: Iterable[bytes]) -> list[Result]:
        """Do tasks that were pickled elsewhere, and return what became of each, in order."""
        tasks = [Task(message) for message in messages]
        self._waiting.extend(tasks)
        self._pump(0.0)
        results = []
        for task in tasks:
            while task.result is None:
                self._pump(1.0)
            results.append(task.result)
        return results

    def start(self) -> None:
        """Wait until a process has started.

        Raises:
            OslerError: `internal` where none does.
        """
        if not self._workers:
            self._add()
        while not any(worker.ready for worker in self._workers):
            self._pump(1.0)
            if not self._workers:
                self._add()

    def _add(self) -> None:
        self._workers.append(_Worker(self._limits, self._preload))

    def _pump(self, patience: float) -> None:
        ready = wait([worker.pipe for worker in self._workers], patience) if self._workers else []
        for worker in list(self._workers):
            if worker.pipe in ready:
                self._hear(worker)
            elif time.monotonic() > worker.deadline:
                self._replace(worker, Code.DECODE_TIMEOUT)
        self._refill()
        self._feed()

    def _hear(self, worker: _Worker) -> None:
        try:
            while worker.pipe.poll():
                answer = worker.pipe.recv()
                self._failed_starts = 0
                worker.settle(answer, self._limits.seconds)
                if isinstance(answer, Lost):  # what is left of its memory may be in pieces
                    self._replace(worker, None)
                    return
        except (EOFError, OSError):
            self._replace(worker, Code.DECODE_CRASH)

    def _feed(self) -> None:
        unanswered = len(self._waiting) + sum(len(worker.tasks) for worker in self._workers)
        while len(self._workers) < min(self._count, unanswered):
            self._add()
        share = min(self._ahead, max(2, len(self._waiting) // (2 * self._count)))
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
                first.finish(Lost(_loss(code, ended_by, self._limits)))
        self._waiting.extendleft(reversed(worker.tasks))


@dataclass
class _Worker:
    """One process with the tasks that it was sent, the running one first."""

    limits: Limits
    preload: tuple[str, ...]
    tasks: deque[Task] = field(default_factory=deque)
    ready: bool = False
    sent_bytes: int = 0

    def __post_init__(self) -> None:
        context = get_context("spawn")
        self.pipe, far = context.Pipe()
        arguments = (far, self.limits, self.preload, os.getpid())
        self.process: SpawnProcess = context.Process(target=serve, args=arguments, daemon=True)
        with _environment():
            self.process.start()
        far.close()
        self.deadline = time.monotonic() + START_SECONDS

    def takes(self, task: Task, share: int) -> bool:
        size = self.sent_bytes + len(task.message)
        if size <= AHEAD_BYTES:
            return len(self.tasks) < share
        return self.ready and not self.tasks  # it reads at once, so that sending waits for nothing

    def send(self, task: Task, seconds: float) -> None:
        if not self.tasks and self.ready:
            self.deadline = time.monotonic() + seconds
        self.tasks.append(task)
        self.sent_bytes += len(task.message)
        with suppress(OSError):  # its death will be heard at the other end of the pipe
            self.pipe.send_bytes(task.message)

    def settle(self, answer: Result, seconds: float) -> None:
        """Take the answer to the first task; the process's very first word says that it has started."""
        if not self.ready:
            self.ready = True
        else:
            task = self.tasks.popleft()
            self.sent_bytes -= len(task.message)
            task.finish(answer)
        self.deadline = time.monotonic() + seconds if self.tasks else float("inf")

    def kill(self) -> int | None:
        """End the process if it has not ended yet; returns its exit code, negative for a signal."""
        self.process.kill()
        self.process.join()
        self.pipe.close()
        return self.process.exitcode


@contextmanager
def _environment() -> Iterator[None]:
    """What a process that starts now is to find in its environment."""
    before = {name: os.environ.get(name) for name in ONE_THREAD}
    os.environ.update(ONE_THREAD)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _loss(code: Code, ended_by: int | None, limits: Limits) -> OslerError:
    if code is Code.DECODE_TIMEOUT:
        return refusal(code, f"Reading the file took longer than {limits.seconds:g} seconds.")
    return refusal(code, f"Reading the file ended the process that did it, twice (exit code {ended_by}).")
