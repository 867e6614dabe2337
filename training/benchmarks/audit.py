"""What an entry of the audit log costs: entries a second, by threads that write at once, against one wait for the disk each.

    python training/benchmarks/audit.py [--folder DIR] [--threads 1 8 32] [--entries 300] [--rounds 5]

In one run and in turns, so that both see the same disk: each entry written by itself under the log's lock, as it was
before threads shared a wait, and by `osler.audit.record`. The folder should lie on the disk that a workspace would.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from osler import audit
from osler.audit.entry import checked, entry_after
from osler.audit.log_files import AuditFiles
from osler.database_address import address_of
from osler.workspace import Workspace

Write = Callable[[Workspace, str], None]


def alone(workspace: Workspace, subject: str) -> None:
    """Write an entry, and wait for the disk for it alone."""
    assert address_of(workspace) is None
    with AuditFiles(workspace).appending() as end:
        end.append(entry_after(end.number, end.sha256, checked("A. Reader", "study.view", subject, {})))


def shared(workspace: Workspace, subject: str) -> None:
    """Write an entry as Osler does."""
    audit.record(workspace, actor="A. Reader", action="study.view", subject=subject)


def rate(write: Write, threads: int, entries: int, folder: Path) -> float:
    """Return entries a second on a new log, which must verify afterwards."""
    with tempfile.TemporaryDirectory(dir=folder) as place:
        workspace = Workspace.open(Path(place) / "workspace", create=True)
        write(workspace, "2.25.0")
        with ThreadPoolExecutor(threads) as pool:
            start = time.perf_counter()
            list(pool.map(lambda number: write(workspace, f"2.25.{number}"), range(1, entries + 1)))
            lasted = time.perf_counter() - start
        found = audit.verify(workspace)
        assert (found.count, found.fault) == (entries + 1, None)
    return entries / lasted


def main() -> None:
    """Print the figures as JSON: medians of the rounds, and of their ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path.cwd(), help="on the disk to measure (default: this folder)")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--entries", type=int, default=300, help="for each figure and round")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    for threads in arguments.threads:
        pairs = []
        for turn in range(arguments.rounds):
            order = (alone, shared) if turn % 2 == 0 else (shared, alone)  # what else the machine does falls on both
            found = {write: rate(write, threads, arguments.entries, arguments.folder) for write in order}
            pairs.append((found[alone], found[shared]))
        before, after = (statistics.median(one) for one in zip(*pairs, strict=True))
        ratios = sorted(second / first for first, second in pairs)
        said = {"threads": threads, "alone_per_s": round(before, 1), "shared_per_s": round(after, 1)}
        spread = [round(ratios[0], 2), round(ratios[-1], 2)]
        print(json.dumps(said | {"ratio": round(statistics.median(ratios), 2), "ratios": spread}), flush=True)


if __name__ == "__main__":
    main()
