"""A record that carries the hash of its own content, so that a changed byte anywhere in its file is seen.

No key is involved: a seal shows damage and careless edits, not a forger who computes it again. Against that a digest is
compared that came by another way.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

SEAL = "sha256"


def seal_of(record: Mapping[str, Any]) -> str:
    """Return the SHA-256 of a record without its seal, keys in order."""
    content = {key: value for key, value in record.items() if key != SEAL}
    return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def sealed(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return a record with its seal."""
    return {**record, SEAL: seal_of(record)}


def written(record: Mapping[str, Any]) -> bytes:
    """Return a record with its seal as the bytes of its file: the same record gives the same bytes."""
    return (json.dumps(sealed(record), indent=1, sort_keys=True) + "\n").encode()


class SealError(ValueError):
    """A file that is not byte for byte what was written."""


def opened(content: bytes, form: str, *former: str) -> dict[str, Any]:
    """Return the record of a file that `written` made, without its seal.

    Args:
        content: The file.
        form: The `format` that the record must have.
        former: Formats of before there were seals, whose files are taken as they are.

    Raises:
        SealError: Where the record does not have its hash, or is spelt otherwise than it was written.
        OslerError: `record-newer` where it is whole, and a later version of Osler wrote it in a later format.
        ValueError: Where it is no JSON object, or has another format.
    """
    try:
        held: Any = json.loads(content)
    except RecursionError:  # endless brackets
        raise ValueError("The file is nested too deeply") from None
    if isinstance(held, dict) and _later(held.get("format"), form) and held.get(SEAL) == seal_of(held):
        raise OslerError(
            Code.RECORD_NEWER,
            f"A record has format {held['format']}, and this version of Osler reads formats up to {form}.",
            "Install the version of Osler that wrote it, or a later one; or restore the copy from before the upgrade.",
        )
    if not isinstance(held, dict) or held.get("format") not in (form, *former):
        raise ValueError(f"The file is not of format {form}")
    if held["format"] in former and SEAL not in held:
        return held
    record = {key: value for key, value in held.items() if key != SEAL}
    if held["format"] != form or held.get(SEAL) != seal_of(held) or written(record) != content:
        raise SealError("The record is not the one that was written")
    return record


def _later(found: object, form: str) -> bool:
    """Return whether a format is of the same name as `form` with a higher number."""
    (name, _, number), (mine, _, known) = str(found).rpartition("/"), form.rpartition("/")
    return name == mine and number.isdecimal() and int(number) > int(known)
