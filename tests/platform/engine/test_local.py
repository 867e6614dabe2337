"""The pool: a task that crashes, hangs or eats memory costs that task alone, and is known for certain."""

from __future__ import annotations

import ctypes
import operator
import os
import signal
import time
from functools import partial

import pytest

from osler.engine.limits import Limits
from osler.engine.local import LocalEngine
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

# A process under test can import these: they end it, stop it or fill its memory for real.
CRASH, FINE = partial(ctypes.string_at, 0), partial(abs, -7)
ABORT, KILL = partial(os.abort), partial(signal.raise_signal, signal.SIGKILL)
HANG, FILL = partial(time.sleep, 600), partial(operator.mul, b"x", 8 << 30)
DEADLY = (CRASH, ABORT, KILL)


def lost(task: partial[object], error: OslerError) -> object:
    return error.code


def run(workers: LocalEngine, tasks: list[partial[object]]) -> list[object]:
    return list(workers.map(operator.call, tasks, lost))


@pytest.mark.parametrize("count", [1, 2])
def test_crashes_are_named_and_the_rest_is_done(count: int) -> None:
    tasks = [FINE, ABORT, FINE, FINE, CRASH, KILL, *[FINE] * 50, ABORT]
    with LocalEngine(count) as workers:
        assert run(workers, tasks) == [Code.DECODE_CRASH if task in DEADLY else 7 for task in tasks]
        assert run(workers, [FINE]) == [7]


def test_a_hang_ends_and_the_rest_is_done() -> None:
    with LocalEngine(2, Limits(seconds=0.5)) as workers:
        assert run(workers, [FINE, HANG, FINE, FINE]) == [7, Code.DECODE_TIMEOUT, 7, 7]


def test_memory_is_limited() -> None:
    with LocalEngine(1, Limits(memory_bytes=1 << 30)) as workers:
        assert run(workers, [FINE, FILL, FINE]) == [7, Code.OUT_OF_MEMORY, 7]


def test_slow_reading_of_answers_is_no_hang() -> None:
    with LocalEngine(2, Limits(seconds=0.5)) as workers:
        answers = workers.map(operator.call, [FINE] * 20, lost)
        assert next(answers) == 7
        time.sleep(1.0)
        assert list(answers) == [7] * 19


def test_two_streams_at_once_keep_their_orders() -> None:
    with LocalEngine(2) as workers:
        first = workers.map(abs, list(range(-200, 0)), lambda item, _error: item)
        second = workers.map(str, list(range(200)), lambda item, _error: str(item))
        assert list(second) == [str(number) for number in range(200)]
        assert list(first) == list(range(200, 0, -1))


def test_what_a_task_raises_is_raised_here() -> None:
    with LocalEngine(1) as workers:
        answers = workers.map(int, ["1", "x"], lambda _item, _error: 0)
        assert next(answers) == 1
        with pytest.raises(ValueError, match="invalid literal"):
            next(answers)


def test_processes_that_cannot_start_are_an_error() -> None:
    with LocalEngine(1, Limits(memory_bytes=1 << 70)) as workers, pytest.raises(OslerError) as caught:
        run(workers, [FINE])
    assert caught.value.code is Code.INTERNAL


def test_no_process_at_all() -> None:
    with LocalEngine(0) as workers:
        assert list(workers.map(abs, [-1, 2], lambda item, _error: item)) == [1, 2]
