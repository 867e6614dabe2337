"""Passwords: Argon2id hashes (RFC 9106), rules of length rather than of signs (NIST SP 800-63B, 3.1.1.2)."""

from __future__ import annotations

import threading
import unicodedata
from functools import cache

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

SHORTEST, LONGEST, DISTINCT = 12, 256, 5
_HASHER = PasswordHasher()  # Argon2id with the library's defaults, RFC 9106's second recommended choice
# A hash takes 64 MiB: a flood of log-ins must not take all memory.
_AT_ONCE = threading.BoundedSemaphore(2)


def hash_password(password: str, name: str) -> str:
    """Return the hash of a new password, in the encoding of the PHC string format.

    Args:
        password: The password.
        name: Whose it is: a password that holds the name is refused.

    Raises:
        OslerError: `usage` where the password is too short, too long, repetitive or holds the name.
    """
    text = _normal(password)
    if not SHORTEST <= len(text) <= LONGEST:
        raise _refused(f"A password has {SHORTEST} to {LONGEST} characters.", "Several words in a row are good ones.")
    if len(set(text)) < DISTINCT:
        raise _refused("The password repeats the same few characters.", "Several words in a row are good ones.")
    if _normal(name).casefold() in text.casefold():
        raise _refused("The password holds the name of the account.", "Choose one that others cannot guess.")
    with _AT_ONCE:
        return _HASHER.hash(text)


def matches(hashed: str | None, password: str) -> bool:
    """Return whether a password belongs to a hash; takes as long where there is no such account."""
    text = _normal(password[: LONGEST + 1])
    try:
        with _AT_ONCE:
            good = _HASHER.verify(hashed or _nobody(), text)
    except (VerificationError, InvalidHashError):
        return False
    return good and hashed is not None


@cache
def _nobody() -> str:
    return _HASHER.hash("no account has this password")


def _normal(text: str) -> str:
    """Write a text as every keyboard's variant of it."""
    return unicodedata.normalize("NFKC", text)


def _refused(message: str, mend: str) -> OslerError:
    return OslerError(Code.USAGE, message, mend)
