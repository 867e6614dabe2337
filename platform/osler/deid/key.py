"""The key behind the pseudonyms. Whoever holds it can link pseudonyms to patients, so it never lies beside the data."""

from __future__ import annotations

import os
import secrets
import stat
from pathlib import Path

from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

KEY_BYTES = 32
VARIABLE = "OSLER_KEY_FILE"


def default_key_path() -> Path:
    """Return the path in OSLER_KEY_FILE, else `deid.key` in the user's configuration folder."""
    named = os.environ.get(VARIABLE)
    return Path(named) if named else Path.home() / ".config" / "osler" / "deid.key"


def load_key(path: Path | None = None, *, create: bool = False, workspace: Path | None = None) -> bytes:
    """Read the key, 64 hexadecimal digits.

    Args:
        path: File of the key; `default_key_path()` where it is left out.
        create: Make a random key, readable by its owner alone, where there is no file.
        workspace: A folder that must not hold the key.

    Raises:
        OslerError: `key-invalid` where the file is missing, lies inside the workspace, can be read by others or
            holds no key.
    """
    path = (path or default_key_path()).expanduser().resolve()
    if workspace is not None and path.is_relative_to(workspace.resolve()):
        raise _invalid(
            "The key lies inside the workspace.", "Keep it elsewhere: whoever has both can name the patients."
        )
    if create and not path.exists():
        _create(path)
    if not path.is_file():
        raise _invalid("There is no key file.", f"Name one with --key-file or {VARIABLE}.")
    if path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise _invalid("The key file is open to other users.", "Run `chmod 600` on it.")
    try:
        key = bytes.fromhex(path.read_text(encoding="ascii"))
    except ValueError:
        key = b""
    if len(key) != KEY_BYTES:
        raise _invalid(
            "The key file holds no key.", f"It must hold {2 * KEY_BYTES} hexadecimal digits and nothing else."
        )
    return key


def _create(path: Path) -> None:
    """Write a new key; a file that somebody made meanwhile is left as it is."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return
    with os.fdopen(descriptor, "w", encoding="ascii") as stream:
        stream.write(secrets.token_hex(KEY_BYTES) + "\n")
        stream.flush()
        os.fsync(stream.fileno())


def _invalid(message: str, mend: str) -> OslerError:
    return OslerError(Code.KEY_INVALID, message, mend)
