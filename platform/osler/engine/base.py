"""What an engine does: one function over many items, in workers that may be lost without losing the work.

An engine keeps at most `WINDOW` items of a stream between handing them out and their answers being taken, so that neither
the queue nor the answers grow with the number of items.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from multiprocessing.reduction import ForkingPickler
from typing import Any, Generic, Self, TypeVar

from osler.engine.answers import Done, Lost, Raised, Result
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

Item = TypeVar("Item")
Answer = TypeVar("Answer")
OnLoss = Callable[[Item, OslerError], Answer]

WINDOW = 4096
QUEUED = 1024  # tasks that wait in the driver's memory, pickled
PATIENCE_S = 1.0


class Engine(ABC):
    """Workers that do tasks; a context manager, which ends them."""

    def __init__(self) -> None:
        self._streams: list[Stream[Any]] = []
        self._waiting: deque[Task] = deque()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @abstractmethod
    def close(self) -> None:
        """End the workers."""

    @abstractmethod
    def _pump(self, patience: float) -> None:
        """Take what has been answered within `patience` seconds, replace workers that were lost, and hand out what waits."""

    def map(
        self,
        task: Callable[[Item], Answer],
        items: Iterable[Item],
        on_loss: OnLoss[Item, Answer] | None = None,
        *,
        ordered: bool = True,
    ) -> Iterator[Answer]:
        """Begin with the items at once, and return the answers.

        Args:
            task: A function that a worker can import; its answer is small, or written to a file.
            items: Its arguments. Several streams may be open at once; the older one goes first.
            on_loss: Answers for an item whose process crashed (`decode-crash`), hung (`decode-timeout`) or ran out of
                memory (`out-of-memory`); without it such an item ends the run.
            ordered: Answers in the order of the items; else as they are finished.

        Returns:
            An iterator that waits for the answers, and raises what a task raised; `internal` where an item was lost.
        """
        stream = Stream(task, iter(items), ordered)
        self._streams.append(stream)
        self._pump(0.0)
        return self._answers(stream, on_loss)

    def _answers(self, stream: Stream[Item], on_loss: OnLoss[Item, Answer] | None) -> Iterator[Answer]:
        while stream.pending or stream.open:
            entry = stream.take()
            self._pump(PATIENCE_S if entry is None else 0.0)
            if entry is not None:
                yield _answer(*entry, on_loss)

    def _refill(self) -> None:
        """Queue items of the oldest stream first."""
        for stream in list(self._streams):
            while len(self._waiting) < QUEUED and len(stream.pending) < WINDOW:
                task = stream.draw()
                if task is None:
                    break
                self._waiting.append(task)
            if not stream.open:
                self._streams.remove(stream)


@dataclass
class Task:
    """A function and its argument as bytes, and what came of it.

    Attributes:
        message: Both, pickled.
        finished: Told when the result is there.
        result: The result.
        tries: How often its process ended while it was at it.
        moves: How often the machine or the process that held its process was lost.
    """

    message: bytes
    finished: Callable[[], None] = lambda: None
    result: Result | None = None
    tries: int = 0
    moves: int = 0

    def finish(self, result: Result) -> None:
        """Settle it."""
        self.result = result
        self.finished()


@dataclass
class Stream(Generic[Item]):
    """The items of one `map`, drawn one by one; those between drawing and answering are held."""

    task: Callable[[Item], Any]
    items: Iterator[Item]
    ordered: bool
    pending: dict[int, tuple[Item, Task]] = field(default_factory=dict)
    ready: deque[int] = field(default_factory=deque)
    drawn: int = 0
    taken: int = 0
    open: bool = True

    def draw(self) -> Task | None:
        """Return the next task, None after the last."""
        for item in self.items:
            number = self.drawn
            self.drawn += 1
            task = Task(bytes(ForkingPickler.dumps((self.task, item))), partial(self.ready.append, number))
            self.pending[number] = (item, task)
            return task
        self.open = False
        return None

    def take(self) -> tuple[Item, Task] | None:
        """Return an item that is answered, the next one in order where order matters."""
        if self.ordered:
            number = self.taken
            if number not in self.pending or self.pending[number][1].result is None:
                return None
        elif self.ready:
            number = self.ready.popleft()
        else:
            return None
        self.taken += 1
        return self.pending.pop(number)


def _answer(item: Item, task: Task, on_loss: OnLoss[Item, Answer] | None) -> Answer:
    result = task.result
    if isinstance(result, Done):
        answer: Answer = result.answer
        return answer
    if isinstance(result, Lost):
        if on_loss is not None:
            return on_loss(item, result.error)
        mend = "Check this machine's memory, and run it again: what is finished is kept."
        raise OslerError(Code.INTERNAL, f"A worker was lost over the same work again: {result.error.message}", mend)
    raise result.error if isinstance(result, Raised) else RuntimeError("a task was taken before it was settled")
