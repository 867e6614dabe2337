"""The engine on a Ray cluster: an actor for each worker, sent a few tasks at a time and replaced when it is lost."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

from osler import __version__
from osler.dicom.refusals import refusal
from osler.engine.answers import Lost
from osler.engine.base import Engine, Task
from osler.engine.choice import EngineChoice, Work
from osler.engine.ray_cluster import connected
from osler.engine.ray_host import Host
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

IN_FLIGHT = 2  # parcels that a host holds, so that it need not wait for the next; one where tasks take seconds
ALONE, MOVES = 2, 4  # a task whose host was lost twice goes in a parcel of its own; after four times it is blamed
START_SECONDS = 300.0


def open_engine(choice: EngineChoice, work: Work) -> Engine:
    """Connect to a cluster, or start Ray on this machine where no address is given; see `EngineChoice.open`."""
    with ExitStack() as stack:
        ray = stack.enter_context(connected(choice.address, choice.workers))
        cores = int(ray.cluster_resources().get("CPU", 0))
        return RayEngine(ray, choice.workers or max(cores, 1), work, stack.pop_all())


class RayEngine(Engine):
    """Hosts on the nodes of a cluster.

    Args:
        ray: The module, connected.
        count: Number of hosts; those for which no core is free wait and join later.
        work: Limits, preload and folders.
        connection: Closed in the end.
    """

    def __init__(self, ray: Any, count: int, work: Work, connection: ExitStack) -> None:
        super().__init__()
        self._ray = ray
        self._count = count
        self._work = work
        self._connection = connection
        self._hosts: list[_Host] = []
        self._patience_ends = time.monotonic() + START_SECONDS
        self._actor = ray.remote(num_cpus=1, max_restarts=0, max_task_retries=0)(Host)
        self._probes = [_probe(folder) for folder in work.folders]
        connection.callback(_remove, self._probes)

    def close(self) -> None:
        """End the hosts, and the connection."""
        with self._connection:
            for host in self._hosts:
                with suppress(Exception):  # its node may be gone
                    self._ray.kill(host.actor)
            self._hosts.clear()

    def _pump(self, patience: float) -> None:
        asked = {ref: host for host in self._hosts for ref in host.waiting_for()}
        if asked:
            refs = list(asked)
            self._ray.wait(refs, num_returns=1, timeout=patience)
            for ref in self._ray.wait(refs, num_returns=len(refs), timeout=0)[0]:
                if asked[ref] in self._hosts:
                    self._hear(asked[ref], ref)
        self._refill()
        self._feed()

    def _hear(self, host: _Host, ref: Any) -> None:
        errors = self._ray.exceptions
        try:
            answer = self._ray.get(ref)
        except errors.RayTaskError as error:  # raised by the host itself: its processes do not start, say
            raise error.cause from None
        except errors.RayError:
            self._replace(host)
            return
        if ref == host.starting:
            _check(*answer)
            host.starting = None
        else:
            for task, result in zip(host.parcels.pop(ref), answer, strict=True):
                task.finish(result)

    def _feed(self) -> None:
        held = sum(len(parcel) for host in self._hosts for parcel in host.parcels.values())
        while len(self._hosts) < min(self._count, len(self._waiting) + held):
            actor = self._actor.remote(self._work.limits, self._work.preload, Path.cwd())
            self._hosts.append(_Host(actor, actor.start.remote(self._probes)))
        started = [host for host in self._hosts if host.starting is None]
        if started or not self._hosts:
            self._patience_ends = time.monotonic() + START_SECONDS
        elif time.monotonic() > self._patience_ends:
            raise OslerError(
                Code.SERVER_REFUSED,
                f"The Ray cluster gave no core within {START_SECONDS:g} seconds.",
                "See `ray status`: add nodes, or let other work finish.",
            )
        in_flight = 1 if self._work.ahead == 1 else IN_FLIGHT
        for parcels in range(in_flight):
            for host in started:
                if self._waiting and len(host.parcels) == parcels:
                    parcel = self._parcel()
                    host.parcels[host.actor.work.remote([task.message for task in parcel])] = parcel

    def _parcel(self) -> list[Task]:
        """Take tasks from the queue: fewer towards its end, and one that lost its host before goes alone."""
        size = min(self._work.ahead, max(1, len(self._waiting) // (2 * IN_FLIGHT * self._count)))
        parcel = [self._waiting.popleft()]
        while len(parcel) < size and self._waiting and max(parcel[0].moves, self._waiting[0].moves) < ALONE:
            parcel.append(self._waiting.popleft())
        return parcel

    def _replace(self, host: _Host) -> None:
        """Take the work of a host that was lost back to the head of the queue; another is asked for."""
        self._hosts.remove(host)
        with suppress(Exception):
            self._ray.kill(host.actor)
        parcels = list(host.parcels.values())
        for task in parcels[0] if parcels else ():
            task.moves += 1
        for parcel in reversed(parcels):
            blamed = [task for task in parcel if task.moves >= MOVES]
            self._waiting.extendleft(reversed([task for task in parcel if task.moves < MOVES]))
            for task in blamed:
                text = f"Reading the file ended the worker that did it, {MOVES} times."
                task.finish(Lost(refusal(Code.DECODE_CRASH, text)))


@dataclass
class _Host:
    """An actor with the parcels that it was sent, the running one first."""

    actor: Any
    starting: Any
    parcels: dict[Any, list[Task]] = field(default_factory=dict)

    def waiting_for(self) -> list[Any]:
        """Return what it will answer next: it answers in order."""
        return [self.starting] if self.starting is not None else list(self.parcels)


def _probe(folder: Path) -> Path:
    """Write an empty file into a folder, by which another machine can be told to see the same folder."""
    folder.mkdir(parents=True, exist_ok=True)
    probe = folder.resolve() / f".seen-{uuid4().hex}"
    probe.touch()
    return probe


def _remove(probes: Sequence[Path]) -> None:
    for probe in probes:
        probe.unlink(missing_ok=True)


def _check(version: str, missing: Sequence[Path], _process: int) -> None:
    """Refuse a node that would do something else.

    Raises:
        OslerError: `server-refused`.
    """
    if missing:
        raise OslerError(
            Code.SERVER_REFUSED,
            f"A node of the Ray cluster does not see {missing[0].parent}.",
            "Mount the same folder under the same path on every node.",
        )
    if version != __version__:
        raise OslerError(
            Code.SERVER_REFUSED,
            f"A node of the Ray cluster has Osler {version}, this machine {__version__}.",
            "Install the same version on every node, and start Ray there again.",
        )
