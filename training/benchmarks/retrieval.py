"""Retrieval on a million passages: what building and searching cost, and rank_bm25 beside it on the same text.

    python training/benchmarks/retrieval.py REPORTS.csv [--snippets 1000000] [--rank-memory 6] [--scratch DIR]

REPORTS.csv is the Open-i table of reports, out of which (and of the shipped corpus) the passages are made; the seed is
fixed. Building, searching and rank_bm25 run in processes of their own; on a busy machine the seconds of the processor
say more than those on the clock. rank_bm25 is given half as many passages until it stays within `--rank-memory` GiB of
address space. Both sides compute the same formula: rank_bm25's BM25Okapi gets Lucene's inverse
document frequency in place of its own, k1 = 1.5 and b = 0.75; its factor (k1 + 1) is taken out before scores are
compared. Its tokens are those of the index. Needs the extra `bench`.
"""

from __future__ import annotations

import argparse
import json
import math
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from retrieval_text import queries, write_jsonl

GIB = 2**30
QUERIES, RANK_QUERIES, WARM_UP, TOP = 300, 40, 3, 10
TOLERANCE = 1e-5  # relative; the index adds in single precision, rank_bm25 in double


def build(arguments: argparse.Namespace) -> dict[str, Any]:
    """Index the passages; seconds on the clock and the peak of resident memory."""
    from osler_knowledge.index.build import build_index
    from osler_knowledge.readers.base import Options
    from osler_knowledge.readers.read import Tally, read

    tally, started = Tally(), time.perf_counter()
    readings = read([arguments.text], Options())
    marker = build_index(islice(tally.accepted(readings), arguments.snippets), arguments.index, tally=tally)
    seconds = time.perf_counter() - started
    facts = {"snippets": marker.snippets, "terms": marker.terms, "refused": tally.total, "seconds": seconds}
    facts["processor_seconds"] = time.process_time()
    return facts | {"disk_bytes": sum(marker.files.values()), "peak_bytes": _peak()}


def search(arguments: argparse.Namespace) -> dict[str, Any]:
    """Search the index in a fresh process."""
    from osler_knowledge.index.search import DiskIndex

    started = time.perf_counter()
    index = DiskIndex(arguments.index)
    index.search("pleural effusion", TOP)
    first = time.perf_counter() - started
    asked = queries(arguments.reports, QUERIES)
    seconds, processor, found = _timed(lambda query: index.search(query, TOP), asked)
    memory = psutil.Process().memory_full_info()
    tops = [[(int(hit.snippet.entry[1:]), hit.score) for hit in hits] for hits in found[:RANK_QUERIES]]
    facts = {"first_query_seconds": first, "median_ms": 1e3 * float(np.median(seconds)), "tops": tops}
    facts["processor_median_ms"] = 1e3 * float(np.median(processor))
    facts |= {"p95_ms": 1e3 * float(np.percentile(seconds, 95)), "max_ms": 1e3 * max(seconds), "peak_bytes": _peak()}
    facts |= {"resident_bytes": memory.rss, "private_bytes": memory.uss, "hits": sum(map(len, found))}
    return facts | _means(seconds[:RANK_QUERIES], processor[:RANK_QUERIES])


def rank(arguments: argparse.Namespace) -> dict[str, Any]:
    """Do the same with rank_bm25; past the memory allowed the process ends with a MemoryError."""
    from rank_bm25 import BM25Okapi

    from osler_knowledge.words import terms

    class LuceneOkapi(BM25Okapi):  # type: ignore[misc]
        def _calc_idf(self, nd: dict[str, int]) -> None:
            self.idf = {word: math.log(1 + (self.corpus_size - n + 0.5) / (n + 0.5)) for word, n in nd.items()}

    resource.setrlimit(resource.RLIMIT_AS, (int(arguments.rank_memory * GIB),) * 2)
    started = time.perf_counter()
    with arguments.text.open(encoding="utf-8") as stream:
        corpus = [terms(json.loads(line)["content"]) for line in islice(stream, arguments.snippets)]
    ranker = LuceneOkapi(corpus, k1=1.5, b=0.75)
    built = time.perf_counter() - started

    def best(query: str) -> list[tuple[int, float]]:
        scores = ranker.get_scores(terms(query))
        floor = np.partition(scores, len(scores) - TOP)[len(scores) - TOP]
        candidates = np.flatnonzero(scores >= max(floor, 1e-9))
        order = candidates[np.lexsort((candidates, -scores[candidates]))[:TOP]]
        return [(int(one), float(scores[one]) / (ranker.k1 + 1)) for one in order]

    seconds, processor, tops = _timed(best, queries(arguments.reports, QUERIES)[:RANK_QUERIES])
    facts = {"snippets": len(corpus), "seconds": built, "peak_bytes": _peak(), "tops": tops}
    facts |= {"median_ms": 1e3 * float(np.median(seconds)), "processor_median_ms": 1e3 * float(np.median(processor))}
    return facts | _means(seconds, processor)


def _timed(search: Callable[[str], Any], asked: list[str]) -> tuple[list[float], list[float], list[Any]]:
    """Return seconds on the clock, seconds of the processor and the answer, for each query."""
    for query in asked[:WARM_UP]:
        search(query)
    seconds, processor, found = [], [], []
    for query in asked:
        started, worked = time.perf_counter(), time.thread_time()
        found.append(search(query))
        seconds.append(time.perf_counter() - started)
        processor.append(time.thread_time() - worked)
    return seconds, processor, found


def _means(seconds: list[float], processor: list[float]) -> dict[str, float]:
    return {"compared_seconds": float(np.mean(seconds)), "compared_processor_seconds": float(np.mean(processor))}


def _peak() -> int:
    """Return the peak of resident memory in bytes, of this program alone: `ru_maxrss` starts at the parent's."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return 1024 * int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")))


def agreement(ours: list[Any], theirs: list[Any]) -> dict[str, int]:
    """Count the queries whose ten best agree: in order, as a set, or but for passages of the same score.

    The last are those where rank by rank the scores are equal within `TOLERANCE`: which of several equal passages is
    among the ten is then a matter of rounding.
    """
    counts = {"queries": len(ours), "same_order": 0, "same_set": 0, "same_scores": 0}
    for mine, other in zip(ours, theirs, strict=True):
        counts["same_order"] += [one for one, _ in mine] == [one for one, _ in other]
        counts["same_set"] += {one for one, _ in mine} == {one for one, _ in other}
        pairs = zip(mine, other, strict=False)
        counts["same_scores"] += len(mine) == len(other) and all(
            math.isclose(a, b, rel_tol=TOLERANCE) for (_, a), (_, b) in pairs
        )
    return counts


def _in_process(role: str, arguments: argparse.Namespace, snippets: int, index: Path) -> dict[str, Any] | None:
    """Run one role in a process of its own; None where it ran out of the memory it is allowed."""
    command = [sys.executable, __file__, str(arguments.reports), "--role", role, "--snippets", str(snippets)]
    command += ["--text", str(arguments.text), "--index", str(index), "--rank-memory", str(arguments.rank_memory)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode and "MemoryError" not in done.stderr:
        raise SystemExit(done.stderr)
    return dict(json.loads(done.stdout)) if done.returncode == 0 else None


def compare(arguments: argparse.Namespace, scratch: Path) -> dict[str, Any]:
    """Measure everything."""
    arguments.text, index = scratch / "passages.jsonl", scratch / "index"
    write_jsonl(arguments.text, arguments.reports, arguments.snippets)
    result: dict[str, Any] = {"build": _in_process("build", arguments, arguments.snippets, index)}
    result["search"] = searched = _in_process("search", arguments, arguments.snippets, index)
    held, ranked = arguments.snippets, None
    while ranked is None:
        ranked = _in_process("rank", arguments, held, index)
        held = held if ranked else held // 2
    if held < arguments.snippets:
        _in_process("build", arguments, held, index)
        result["search_same_size"] = searched = _in_process("search", arguments, held, index)
    assert searched is not None  # only rank_bm25 is limited
    result |= {"rank_bm25": ranked, "agreement": agreement(searched["tops"], ranked["tops"])}
    for clock, name in (("seconds", "rate_ratio"), ("processor_seconds", "rate_ratio_of_processor_time")):
        result[name] = ranked[f"compared_{clock}"] / searched[f"compared_{clock}"]
    for side in result.values():
        if isinstance(side, dict):
            side.pop("tops", None)
    return result


def main() -> None:
    """Measure, or play one role of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("reports", type=Path)
    parser.add_argument("--snippets", type=int, default=1_000_000)
    parser.add_argument("--rank-memory", type=float, default=6, help="GiB of address space for rank_bm25")
    parser.add_argument("--scratch", type=Path, help="a folder with some GiB of room (default: a temporary one)")
    for name in ("--role", "--text", "--index"):
        parser.add_argument(name, type=str if name == "--role" else Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.role:
        print(json.dumps({"build": build, "search": search, "rank": rank}[arguments.role](arguments)))
        return
    with tempfile.TemporaryDirectory(dir=arguments.scratch) as scratch:
        print(json.dumps(compare(arguments, Path(scratch)), indent=1))


if __name__ == "__main__":
    main()
