"""Throughput of the engines beside a process pool, on the same tasks, alternating, in one run; start-up excluded.

    python training/benchmarks/engines.py WORKSPACE [--encoder phantom_clip] [--images 256] [--rounds 5] [--workers 2]

The tasks are real: reading what drift watches of each archived file, and encoding parts of 16 images into an empty cache.
Each side has its workers, of one thread each, before the clock starts. Without --address, Ray is started on this machine.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import Any

from osler.archive import Archive
from osler.archive.images import StudyImages
from osler.bottleneck import encoding
from osler.bottleneck.encoders.catalogue import encoder_folder
from osler.bottleneck.encoders.lazy import LazyEncoder
from osler.drift.reading import read_values
from osler.engine import UNLIMITED, EngineChoice
from osler.workspace import Workspace

PART = 16
Map = Callable[[Callable[[Any], Any], Sequence[Any]], Iterator[Any]]


def one_thread() -> None:
    """Begin a process of the pool."""
    import torch

    torch.set_num_threads(1)


def sides(stack: ExitStack, workers: int, address: str | None, ahead: int) -> dict[str, Map]:
    """Start every side's workers."""
    pool = stack.enter_context(ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=one_thread))
    found: dict[str, Map] = {"pool": lambda task, items: pool.map(task, items, chunksize=1 if ahead == 1 else 8)}
    for name, choice in {
        "local": EngineChoice(workers=workers),
        "ray": EngineChoice("ray", workers, address),
    }.items():
        engine = stack.enter_context(choice.open(UNLIMITED, encoding.PRELOAD, ahead=ahead))
        found[name] = engine.map
    return found


def measure(sides: dict[str, Map], make: Callable[[], tuple[Callable[[Any], Any], Sequence[Any]]], rounds: int) -> Any:
    """Return the median seconds of each side, and of the ratios within a round; the first round warms up."""
    taken: dict[str, list[float]] = {name: [] for name in sides}
    for number in range(rounds + 1):
        names = list(sides)
        for name in names[number % len(names) :] + names[: number % len(names)]:
            task, items = make()
            start = time.monotonic()
            for _ in sides[name](task, items):
                pass
            if number:
                taken[name].append(time.monotonic() - start)
    ratios = {
        f"ray / {name}": round(median(mine / other for mine, other in zip(taken["ray"], taken[name], strict=True)), 3)
        for name in ("local", "pool")
    }
    return {"seconds": {name: round(median(all_), 2) for name, all_ in taken.items()}, "time": ratios}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("workspace", type=Path)
    parser.add_argument("--encoder", default="phantom_clip")
    parser.add_argument("--images", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--address")
    arguments = parser.parse_args()
    archive = Archive(Workspace.open(arguments.workspace))
    images = StudyImages.of(archive, archive.studies()[: arguments.images], grey=True)
    folder = encoder_folder(arguments.encoder)
    paths = [one.path for one in images.instances]
    parts = [images.rows(range(start, min(start + PART, len(images)))) for start in range(0, len(images), PART)]
    result: dict[str, Any] = {"images": len(images), "workers": arguments.workers}
    with tempfile.TemporaryDirectory() as scratch:
        caches = iter(range(10**6))

        def encode() -> tuple[Callable[[Any], Any], Sequence[Any]]:
            cache = Path(scratch, str(next(caches)))
            return encoding.Encoding(LazyEncoder(folder.path, folder.digest), cache), parts

        for name, make, ahead in (("read", lambda: (read_values, paths), 32), ("encode", encode, 1)):
            with ExitStack() as stack:
                started = sides(stack, arguments.workers, arguments.address, ahead)
                result[name] = measure(started, make, arguments.rounds)
                print(json.dumps({name: result[name]}), flush=True)
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
