"""Numbers of studies that stay: a name in an address or on paper must not lead to another study once one was deleted."""

from __future__ import annotations

import fcntl
import hashlib
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from osler.files import write_atomically
from osler.workspace import Workspace

FILE = "study-numbers.json"


def study_numbers(workspace: Workspace, sites: Mapping[str, str], arrival: Sequence[str]) -> dict[str, int]:
    """Number the studies of each site from 1 in the order of arrival; a number is never given twice.

    Where the workspace cannot be written, numbers are as good as they were at the last time that it could.

    Args:
        workspace: Keeps the numbers, by a hash of the study.
        sites: Site of each study.
        arrival: The studies in the order of their arrival.
    """
    path = workspace.feedback / FILE
    try:
        with path.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            held = _read(path.read_bytes() if path.exists() else b"{}")
            numbers, content = _numbered(held, sites, arrival)
            if content != held:
                write_atomically(path, json.dumps(content, sort_keys=True).encode())
            return numbers
    except OSError:
        held = {}
        with suppress(OSError):
            held = _read(path.read_bytes())
        return _numbered(held, sites, arrival)[0]


def _numbered(
    held: Mapping[str, Any], sites: Mapping[str, str], arrival: Sequence[str]
) -> tuple[dict[str, int], dict[str, Any]]:
    """Return the numbers, and what to keep: those of studies that are there, and the last one that was given."""
    known: dict[str, dict[str, int]] = {site: dict(one["numbers"]) for site, one in held.items()}
    last = {site: int(one["last"]) for site, one in held.items()}
    numbers: dict[str, int] = {}
    kept: dict[str, dict[str, int]] = {}
    for uid in arrival:
        site, name = sites[uid], hashlib.sha256(uid.encode()).hexdigest()[:20]
        number = known.get(site, {}).get(name)
        if number is None:
            number = last[site] = last.get(site, 0) + 1
        numbers[uid] = kept.setdefault(site, {})[name] = number
    content = {site: {"last": last[site], "numbers": kept.get(site, {})} for site in last}
    return numbers, content


def _read(content: bytes) -> dict[str, Any]:
    """Return what was kept; a file that cannot be read is begun anew."""
    try:
        held = json.loads(content)
        return {str(site): {"last": int(one["last"]), "numbers": dict(one["numbers"])} for site, one in held.items()}
    except (ValueError, TypeError, KeyError, AttributeError):
        return {}
