"""Work that goes on beside a test."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import count


@contextmanager
def meanwhile(work: Callable[[int], object]) -> Iterator[None]:
    """Do work again and again, counted from 0, in a thread of its own, until the block ends; what it raises is raised."""
    done = threading.Event()

    def go_on() -> None:
        for number in count():
            if done.is_set():
                return
            work(number)

    with ThreadPoolExecutor(1) as pool:
        going = pool.submit(go_on)
        try:
            yield
        finally:
            done.set()
    going.result()
