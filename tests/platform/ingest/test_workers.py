"""The pool: a task that kills its process costs that task alone."""

from __future__ import annotations

import signal

from osler.ingest.workers import Workers

# `raise_signal` is a task that any process can import: SIGCHLD does nothing, SIGKILL ends the process.
FINE, DEADLY = signal.SIGCHLD, signal.SIGKILL


def answer(item: signal.Signals) -> str:
    return f"died of {item.name}"


def test_death_is_answered_for_and_the_rest_is_done() -> None:
    items = [FINE, DEADLY, FINE]
    with Workers(1) as workers:
        assert list(workers.map(signal.raise_signal, items, answer)) == [
            answer(item) if item is DEADLY else None for item in items
        ]
        assert list(workers.map(abs, [-1, 2, -3], abs)) == [1, 2, 3]


def test_no_process_at_all() -> None:
    with Workers(0) as workers:
        assert list(workers.map(abs, [-1, 2], abs)) == [1, 2]
