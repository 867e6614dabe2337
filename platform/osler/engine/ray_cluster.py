"""The connection to a Ray cluster: nothing is sent anywhere, no dashboard, a small object store."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

STORE_BYTES = 256 << 20  # tasks are names and answers are small: nothing of it should ever spill
CONNECT_SECONDS = 20.0
STARTS = 3  # Ray gives a node 30 s to come up, which no setting changes and a busy machine exceeds.
# Head of a Ray cluster speaks gRPC: to the opening of HTTP/2 and an empty frame of settings it answers with its own.
OPENING, SETTINGS = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes((0, 0, 0, 4, 0, 0, 0, 0, 0)), 4
MEND = "Start one with `ray start --head`, and give the address that it names: --address HOST:PORT."


@contextmanager
def connected(address: str | None, workers: int | None) -> Iterator[Any]:
    """Yield Ray's module, connected.

    Args:
        address: `host:port` of a cluster's head, of which this machine is a node; None starts Ray here.
        workers: Cores to offer where Ray is started here; all of them where it is left out.

    Raises:
        OslerError: `part-missing` without Ray's package; `usage` where the address is none; `server-unreachable` where no
            cluster answers there, or this machine is not a node of it.
    """
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    ray = _module()
    if address is not None:
        _require_open(address)
    already = ray.is_initialized()
    if not already:
        _join(ray, address, workers)
    try:
        yield ray
    finally:
        if not already:
            ray.shutdown()


def _join(ray: ModuleType, address: str | None, workers: int | None) -> None:
    own = {"num_cpus": workers, "object_store_memory": STORE_BYTES, "include_dashboard": False}
    options = {"address": address} if address else {"address": "local", **own}
    for left in reversed(range(1 if address else STARTS)):
        try:
            ray.init(log_to_driver=False, logging_level=logging.ERROR, **options)
            return
        except Exception as error:  # noqa: BLE001 - Ray raises the bare class where a node does not come up in time
            ray.shutdown()
            if left:
                continue
            text = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise OslerError(
                Code.SERVER_UNREACHABLE, f"No Ray cluster could be joined at {address or 'this machine'}: {text}", MEND
            ) from None


def _module() -> ModuleType:
    try:
        import ray
        import ray.exceptions
    except ModuleNotFoundError:
        raise OslerError(
            Code.PART_MISSING, "The engine `ray` needs Ray.", "Install it with pip install 'osler[ray]'."
        ) from None
    return ray


def _require_open(address: str) -> None:
    """Look whether anybody listens who may be Ray: it would itself try for minutes.

    Raises:
        OslerError: `usage`, `server-unreachable`.
    """
    host, _, port = address.rpartition(":")
    if not host or "/" in host or not port.isdecimal():
        raise OslerError(Code.USAGE, f"{address!r} is no address of a Ray cluster.", "Give --address HOST:PORT.")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), CONNECT_SECONDS) as link:
            if os.environ.get("RAY_USE_TLS", "0") == "0":
                link.sendall(OPENING)
                if link.recv(9)[3:4] != bytes((SETTINGS,)):
                    raise ConnectionError
    except (OSError, OverflowError):
        raise OslerError(Code.SERVER_UNREACHABLE, f"No Ray cluster answers at {address}.", MEND) from None
