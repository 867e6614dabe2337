"""A process pool that outlives its workers: a task that kills its process is found and answered for."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context, parent_process
from threading import Thread
from typing import Self, TypeVar

Item = TypeVar("Item")
Answer = TypeVar("Answer")

SLICE_PER_WORKER = 32


class Workers:
    """Worker processes, spawned so that they inherit nothing.

    Args:
        count: Number of processes; 0 works in this process, where a crash of a decoder ends the run.
    """

    def __init__(self, count: int) -> None:
        self._count = count
        self._pool: ProcessPoolExecutor | None = None
        self._single: ProcessPoolExecutor | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        _close(self._pool)
        _close(self._single)

    def map(
        self, task: Callable[[Item], Answer], items: Sequence[Item], on_death: Callable[[Item], Answer]
    ) -> Iterator[Answer]:
        """Yield the answers in the order of the items; `on_death` answers for an item whose process died of it."""
        if self._count == 0:
            yield from map(task, items)
            return
        step = SLICE_PER_WORKER * self._count
        for start in range(0, len(items), step):
            yield from self._slice(task, items[start : start + step], on_death)

    def _slice(
        self, task: Callable[[Item], Answer], items: Sequence[Item], on_death: Callable[[Item], Answer]
    ) -> Iterator[Answer]:
        futures = [self._submit(task, item) for item in items]
        for item, future in zip(items, futures, strict=True):
            try:
                yield future.result()
            except BrokenProcessPool:
                # One death breaks the whole pool: whoever was not done is tried again, one at a time.
                _close(self._pool)
                self._pool = None
                yield self._alone(task, item, on_death)

    def _submit(self, task: Callable[[Item], Answer], item: Item) -> Future[Answer]:
        if self._pool is None:
            self._pool = _new_pool(self._count)
        try:
            return self._pool.submit(task, item)
        except BrokenProcessPool as error:
            failed: Future[Answer] = Future()
            failed.set_exception(error)
            return failed

    def _alone(self, task: Callable[[Item], Answer], item: Item, on_death: Callable[[Item], Answer]) -> Answer:
        if self._single is None:
            self._single = _new_pool(1)
        try:
            return self._single.submit(task, item).result()
        except BrokenProcessPool:
            _close(self._single)
            self._single = None
            return on_death(item)


def _new_pool(count: int) -> ProcessPoolExecutor:
    return ProcessPoolExecutor(max_workers=count, mp_context=get_context("spawn"), initializer=_die_with_parent)


def _die_with_parent() -> None:
    """Leave no orphan behind when the main process is killed: the pool itself would wait for work for ever."""
    Thread(target=_exit_after_parent, daemon=True).start()


def _exit_after_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _close(pool: ProcessPoolExecutor | None) -> None:
    if pool is not None:
        pool.shutdown(cancel_futures=True)
