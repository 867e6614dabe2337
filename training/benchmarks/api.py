"""Many clients of the HTTP API at once: what they are answered, and how long they wait.

    python training/benchmarks/api.py --workspace DIR [--clients 200] [--seconds 120] [--workers 1] [--json FILE]

It starts `osler api` on the workspace, issues a token to each client, and lets each client ask without a pause: mostly for
explanations of studies drawn at random, some pages of studies, single studies, reviews, tried corrections. Every client is
one person, so that each first look at a study is an entry of the audit log, on disk before the answer goes out. Clients and
server share the machine: what the clients themselves need is reported beside. The tokens are revoked at the end.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import socket
import subprocess
import sys
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil

from osler.api.tokens import TokenFile
from osler.workspace import Workspace

# Shares of what clients ask for.
MIX = {"explanation": 0.60, "study": 0.15, "page": 0.10, "reviews": 0.10, "correction": 0.05}
PAGE = 50


@dataclass
class Seen:
    """What the clients saw: seconds and statuses by kind of question."""

    seconds: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    statuses: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))

    def to_dict(self, lasted: float) -> dict[str, Any]:
        """Return the figures; p50, p95, p99 and the longest in milliseconds."""
        kinds = {
            kind: _figures(values) | {"statuses": dict(self.statuses[kind])} for kind, values in self.seconds.items()
        }
        together = [one for values in self.seconds.values() for one in values]
        statuses = sum(self.statuses.values(), Counter())
        whole = _figures(together) | {"statuses": dict(statuses), "per_s": round(len(together) / lasted, 1)}
        return {"all": whole, "kinds": dict(sorted(kinds.items()))}


def _figures(values: list[float]) -> dict[str, Any]:
    p50, p95, p99 = np.percentile(np.array(values) * 1000, (50, 95, 99))
    longest = max(values) * 1000
    return {"requests": len(values)} | {
        name: round(float(value))
        for name, value in zip(("p50", "p95", "p99", "max"), (p50, p95, p99, longest), strict=True)
    }


def main() -> int:
    """Run the benchmark and print its figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workspace", type=Path, required=True)
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--pause", type=float, default=0.0, help="seconds between two questions of a client")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    tokens = TokenFile(Workspace.open(arguments.workspace))
    issued = [
        tokens.issue(f"client {number}", ("clinician",), actor="benchmark", days=1, program=True)
        for number in range(arguments.clients)
    ]
    port = _free_port()
    server = _start(arguments.workspace, port, arguments.workers)
    try:
        _wait(f"http://127.0.0.1:{port}/health/ready", server)
        figures = asyncio.run(_load([text for text, _ in issued], port, arguments, server))
    finally:
        server.terminate()
        server.wait(60)
        for _, token in issued:
            tokens.revoke(token.id, actor="benchmark")
    print(json.dumps(figures, indent=2))
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    failed = sum(count for status, count in figures["all"]["statuses"].items() if not status.startswith(("2", "3")))
    return 1 if failed else 0


def _start(workspace: Path, port: int, workers: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "osler.cli.main", "api", "--workspace", str(workspace)]
    return subprocess.Popen([*command, "--port", str(port), "--workers", str(workers)])


def _wait(address: str, server: subprocess.Popen[bytes]) -> None:
    """Wait until the server has measured its sites: what a first start costs is not what is asked here."""
    for _ in range(600):
        if server.poll() is not None:
            raise SystemExit("the server has ended")
        try:
            answer = httpx.get(address, timeout=10)
            if answer.status_code == 200 and answer.json()["warm"]:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.5)
    raise SystemExit("the server did not get ready")


async def _load(
    tokens: list[str], port: int, arguments: argparse.Namespace, server: subprocess.Popen[bytes]
) -> dict[str, Any]:
    seen, process = Seen(), psutil.Process(server.pid)
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
    before, spent, own = os.getloadavg(), _processor(process), time.process_time()
    begun = time.monotonic()
    async with httpx.AsyncClient(
        base_url=f"http://127.0.0.1:{port}", timeout=180, limits=limits, trust_env=False
    ) as client:
        uids = await _uids(client, tokens[0])
        end = time.monotonic() + arguments.seconds
        clients = [
            _ask_on(client, token, uids, end, arguments.pause, seen, random.Random(number))
            for number, token in enumerate(tokens)
        ]
        await asyncio.gather(*clients)
    lasted = time.monotonic() - begun
    machine = {
        "cores": os.cpu_count(),
        "load_before": [round(one, 1) for one in before],
        "load_after": [round(one, 1) for one in os.getloadavg()],
        "server_cores": round((_processor(process) - spent) / lasted, 2),
        "client_cores": round((time.process_time() - own) / lasted, 2),
        "server_mib": round(sum(one.memory_info().rss for one in _family(process)) / 2**20),
    }
    told = {"clients": len(tokens), "seconds": round(lasted, 1), "workers": arguments.workers, "studies": len(uids)}
    return {**told, "machine": machine, **seen.to_dict(lasted)}


async def _uids(client: httpx.AsyncClient, token: str) -> list[str]:
    """Return the studies that have an explanation for certain: the benchmark's workspace holds frontal images."""
    found: list[str] = []
    while True:
        page = (await client.get(f"/v1/studies?limit=200&offset={len(found)}", headers=_headers(token))).json()
        found += [one["uid"] for one in page["items"]]
        if len(found) >= page["total"] or not page["items"]:
            return found


async def _ask_on(
    client: httpx.AsyncClient,
    token: str,
    uids: list[str],
    end: float,
    pause: float,
    seen: Seen,
    draw: random.Random,
) -> None:
    """Ask one question after the other until the end."""
    concepts: dict[str, str] = {}
    while time.monotonic() < end:
        (kind,) = draw.choices(list(MIX), list(MIX.values()))
        uid = draw.choice(uids)
        if kind == "correction" and not concepts:
            kind = "explanation"
        method, address, body = _question(kind, uid, len(uids), concepts.get("first", ""), draw)
        begun = time.monotonic()
        try:
            answer = await client.request(method, address, json=body, headers=_headers(token))
            status = str(answer.status_code)
            if kind == "explanation" and status == "200":
                concepts["first"] = answer.json()["concepts"][0]["id"]
        except httpx.TransportError as error:
            status = type(error).__name__
        seen.seconds[kind].append(time.monotonic() - begun)
        seen.statuses[kind][status] += 1
        await asyncio.sleep(pause)


def _question(
    kind: str, uid: str, count: int, concept: str, draw: random.Random
) -> tuple[str, str, dict[str, Any] | None]:
    if kind == "page":
        return "GET", f"/v1/studies?limit={PAGE}&offset={draw.randrange(0, max(count - PAGE, 1))}", None
    if kind == "correction":
        return "POST", f"/v1/studies/{uid}/explanation", {"answers": {concept: draw.choice(["present", "absent"])}}
    return "GET", f"/v1/studies/{uid}" + ("" if kind == "study" else f"/{kind}"), None


def _headers(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def _family(process: psutil.Process) -> list[psutil.Process]:
    return [process, *process.children(recursive=True)]


def _processor(process: psutil.Process) -> float:
    """Return the seconds of processor time that the server has used, with its workers."""
    return sum(one.cpu_times().user + one.cpu_times().system for one in _family(process))


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    sys.exit(main())
