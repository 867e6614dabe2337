"""`osler ingest` beside what a user would write instead, on the same files, alternating, in one run.

    python training/benchmarks/ingest.py FOLDER [--contract any-image] [--runs 3]

Each side runs in processes of its own, over a folder and over one file of it; the difference is what files cost once
everything is started. The time on the clock, the processors' time of all processes, and the greatest sum of resident
memory are taken of the whole tree of processes. Needs the extra `bench`.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

import psutil

SAMPLE_SECONDS = 0.1
OSLER, SCRIPT = PROGRAMS = ("osler", "script")
SIDES = {
    f"{program}{suffix}": (program, look)
    for suffix, look in ((", text looked for", True), ("", False))
    for program in PROGRAMS
}


@dataclass(frozen=True)
class Cost:
    """What one run took: seconds on the clock, seconds of all processors, bytes of resident memory at the peak."""

    wall: float
    processors: float
    peak: int


def measure(command: Sequence[str]) -> Cost:
    """Run a command to its end and measure its tree of processes."""
    before, started, peak = os.times(), time.monotonic(), 0
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        watched = psutil.Process(process.pid)
        while process.poll() is None:
            peak = max(peak, _resident(watched))
            time.sleep(SAMPLE_SECONDS)
        complaint = process.stderr.read() if process.stderr else ""
    after = os.times()
    if process.returncode not in (0, 3):  # 3: some files were refused
        raise SystemExit(complaint)
    spent = after.children_user + after.children_system - before.children_user - before.children_system
    return Cost(time.monotonic() - started, spent, peak)


def _resident(process: psutil.Process) -> int:
    total = 0
    for one in (process, *process.children(recursive=True)):
        try:
            total += one.memory_info().rss
        except psutil.NoSuchProcess:
            continue
    return total


def commands(folder: Path, scratch: Path, contract: str, workers: int) -> dict[str, list[str]]:
    """Return the command of each side."""
    common = [str(folder), str(scratch), str(workers), contract]
    return {side: [sys.executable, __file__, "--side", side, *common] for side in SIDES}


def run_osler(folder: Path, scratch: Path, workers: int, contract: str, look: bool) -> None:
    """Ingest a folder, with or without looking for burned-in text."""
    from osler.deid.options import BASIC, BurnedIn
    from osler.ingest import ingest
    from osler.workspace import Workspace

    profile = BASIC if look else replace(BASIC, burned_in=BurnedIn.UNJUDGED)
    workspace = Workspace.open(scratch / "w", create=True)
    ingest(folder, site="a", workspace=workspace, contract=contract, key=b"k" * 32, workers=workers, profile=profile)


def run_side(side: str, folder: Path, scratch: Path, workers: int, contract: str) -> None:
    """Be one of the sides."""
    program, look = SIDES[side]
    if program == SCRIPT:
        from handmade import main as handmade

        handmade(folder, scratch / "script", workers, look)
    else:
        run_osler(folder, scratch, workers, contract, look)


def one_file(folder: Path, scratch: Path) -> Path:
    """Copy the largest file of a folder into one of its own."""
    path = max((path for path in folder.rglob("*") if path.is_file()), key=lambda path: path.stat().st_size)
    scratch.mkdir()
    shutil.copy(path, scratch / "one.dcm")
    return scratch


def main() -> None:
    """Measure and print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--contract", default="chest-radiograph")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--runs", type=int, default=3)
    arguments = parser.parse_args()
    files = sum(path.is_file() for path in arguments.folder.rglob("*"))
    taken: dict[tuple[str, str], list[Cost]] = {}
    with tempfile.TemporaryDirectory() as name:
        single = one_file(arguments.folder, Path(name, "single"))
        for _run in range(arguments.runs):
            for size, folder in (("one", single), ("all", arguments.folder)):
                sides = commands(folder, Path(name, "scratch"), arguments.contract, arguments.workers)
                for side, command in sides.items():
                    shutil.rmtree(Path(name, "scratch"), ignore_errors=True)
                    Path(name, "scratch").mkdir()
                    taken.setdefault((side, size), []).append(measure(command))
    print(json.dumps(report(taken, files), indent=2))


def report(taken: dict[tuple[str, str], list[Cost]], files: int) -> dict[str, object]:
    """Return medians, and how many times the script's cost is that of Osler doing the same."""
    middle = {
        (*key, kind): median(getattr(cost, kind) for cost in costs)
        for key, costs in taken.items()
        for kind in ("wall", "processors", "peak")
    }
    found: dict[str, object] = {"files": files}
    for side, (program, look) in SIDES.items():
        lines: dict[str, float] = {"peak MB": round(middle[side, "all", "peak"] / 1e6)}
        script = next(other for other, kind in SIDES.items() if kind == (SCRIPT, look))
        for kind in ("wall", "processors"):
            whole, start = (middle[side, size, kind] for size in ("all", "one"))
            lines[f"{kind}: seconds to start"] = round(start, 1)
            lines[f"{kind}: seconds"] = round(whole, 1)
            lines[f"{kind}: ms a file after the start"] = round(1000 * (whole - start) / (files - 1), 1)
            if program == OSLER:
                other, others_start = (middle[script, size, kind] for size in ("all", "one"))
                lines[f"{kind}: times as fast as the script"] = round(other / whole, 2)
                lines[f"{kind}: times as fast after the start"] = round((other - others_start) / (whole - start), 2)
        found[side] = lines
    return found


if __name__ == "__main__":
    if sys.argv[1:2] == ["--side"]:
        side, folder, scratch, workers, contract = sys.argv[2:]
        run_side(side, Path(folder), Path(scratch), int(workers), contract)
    else:
        main()
