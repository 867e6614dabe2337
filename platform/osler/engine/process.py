"""The far side of a worker: a process that does one task after the other until its pipe is closed."""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module
from multiprocessing.connection import Connection
from multiprocessing.reduction import ForkingPickler

from osler.dicom.refusals import refusal
from osler.engine.answers import Done, Lost, Raised, Result
from osler.engine.limits import Limits
from osler_contracts.codes import Code

# A worker is one thread: the number of workers is the number of cores that are used, and sums do not depend on who shares
# them. Set before a process starts, since libraries read it when they are loaded.
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")


def serve(pipe: Connection, limits: Limits, preload: Sequence[str], parent: int) -> None:
    """Work until the pipe is closed; the first word says that it has started."""
    _confine(limits, parent)
    for module in preload:
        import_module(module)
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(1)
    pipe.send(Done(None))
    with suppress(EOFError, OSError, KeyboardInterrupt):
        while True:
            pipe.send_bytes(_packed(_work(pipe)))


def _work(pipe: Connection) -> Result:
    """Do the next task.

    Raises:
        EOFError, OSError: Nobody asks for anything any more.
    """
    try:
        task, item = pipe.recv()
    except (EOFError, OSError):
        raise
    except Exception as error:  # noqa: BLE001 - a task that cannot be read here is the fault of who sent it
        return Raised(error)
    try:
        return Done(task(item))
    except MemoryError:
        return Lost(refusal(Code.OUT_OF_MEMORY))
    except Exception as error:  # noqa: BLE001 - it is raised again in the main process
        return Raised(error)


def _packed(result: Result) -> bytes:
    try:
        return bytes(ForkingPickler.dumps(result))
    except MemoryError:
        return bytes(ForkingPickler.dumps(Lost(refusal(Code.OUT_OF_MEMORY))))
    except Exception as error:  # noqa: BLE001 - an answer that cannot be sent is an error of the task
        return bytes(ForkingPickler.dumps(Raised(TypeError(f"The answer cannot be sent: {error}"))))


def _confine(limits: Limits, parent: int) -> None:
    """Limit memory, and leave no core dump, which would hold patients, nor decoders' chatter, which may quote them."""
    memory = () if limits.memory_bytes is None else ((resource.RLIMIT_AS, limits.memory_bytes),)
    for kind, limit in (*memory, (resource.RLIMIT_CORE, 0)):
        _soft, hard = resource.getrlimit(kind)
        resource.setrlimit(kind, (limit if hard == resource.RLIM_INFINITY else min(limit, hard), hard))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if limits.silent:
        nowhere = os.open(os.devnull, os.O_RDWR)
        os.dup2(nowhere, 1)
        os.dup2(nowhere, 2)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG: no orphan, not even one that hangs
        if os.getppid() != parent:  # it died before it could be asked for
            os._exit(1)
