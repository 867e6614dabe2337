"""A Ray cluster of two nodes on loopback, and the processes of its workers."""

from __future__ import annotations

import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

import psutil
import pytest

if TYPE_CHECKING:
    from ray.cluster_utils import Cluster


@dataclass(frozen=True)
class TwoNodes:
    """Two nodes of one core each.

    Attributes:
        address: Address of the head.
    """

    address: str

    def hosts(self) -> list[psutil.Process]:
        """Return the actors that hold workers."""
        below = psutil.Process().children(recursive=True)
        return [process for process in below if _name(process).startswith("ray::Host")]

    def kill_one_of_each(self) -> int:
        """Kill an actor, and the working process beneath another; returns how many were killed."""
        _until(lambda: len(self.hosts()) == 2 and all(host.children() for host in self.hosts()))
        killed = 0
        for number, host in enumerate(self.hosts()):
            victims = host.children() if number else [host]
            for victim in victims[:1]:
                victim.send_signal(signal.SIGKILL)
                killed += 1
        return killed


def _name(process: psutil.Process) -> str:
    try:
        return "".join(process.cmdline()[:1])
    except (psutil.NoSuchProcess, psutil.ZombieProcess):
        return ""


@pytest.fixture(scope="session")
def two_nodes() -> Iterator[TwoNodes]:
    """Start a head and a second node, and end both."""
    environment = pytest.MonkeyPatch()
    environment.setenv("RAY_USAGE_STATS_ENABLED", "0")
    cluster = _started()
    try:
        yield TwoNodes(cluster.address)
    finally:
        cluster.shutdown()
        environment.undo()


def _started() -> Cluster:
    """Start both nodes. Ray allows each 30 s, which no setting changes and a busy machine exceeds: tried three times."""
    from ray.cluster_utils import Cluster

    node = {"num_cpus": 1, "object_store_memory": 100 << 20}
    for last in (False, False, True):
        cluster = Cluster()
        try:
            cluster.add_node(**node, **_ports(), include_dashboard=False)  # the first is the head
            cluster.add_node(**node, **_ports())
            return cluster
        except Exception:  # what Ray raises then is no kind of its own
            cluster.shutdown()
            if last:
                raise
    raise AssertionError


def _ports() -> dict[str, int]:
    """Return free ports for a node's agents: named, nobody waits 15 s at most for them to name their own."""
    names = ("metrics_agent_port", "dashboard_agent_listen_port", "runtime_env_agent_port", "metrics_export_port")
    with ExitStack() as stack:
        held = [stack.enter_context(socket.socket()) for _ in names]
        for one in held:
            one.bind(("127.0.0.1", 0))
        return {name: one.getsockname()[1] for name, one in zip(names, held, strict=True)}


def _until(true: Callable[[], bool]) -> None:
    until = time.monotonic() + 120
    while not true():
        assert time.monotonic() < until, "its workers did not start in time"
        time.sleep(0.1)
