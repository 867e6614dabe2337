"""A study's own UID as the watch keeps it: sealed, for the database holds pseudonyms only.

Bound to its pseudonym, under a key that follows from the key of the pseudonyms: who has that key knows the UID anyway.
"""

from __future__ import annotations

import hmac
import secrets
from base64 import b64decode, b64encode
from hashlib import sha256

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from osler.deid.pseudonyms import Pseudonymizer
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

NONCE_BYTES = 12


class Seal:
    """Seals and opens study UIDs.

    Args:
        key: Key of the pseudonyms.
    """

    def __init__(self, key: bytes) -> None:
        self._names = Pseudonymizer(key)
        self._cipher = AESGCM(hmac.new(key, b"osler watch", sha256).digest())

    def name(self, study: str) -> str:
        """Return the pseudonymous UID of a study."""
        return self._names.uid(study)

    def close(self, study: str) -> str:
        """Return a study's own UID, sealed."""
        nonce = secrets.token_bytes(NONCE_BYTES)
        sealed = self._cipher.encrypt(nonce, study.encode(), self.name(study).encode())
        return b64encode(nonce + sealed).decode()

    def open(self, name: str, sealed: str) -> str:
        """Return the UID behind a pseudonym.

        Raises:
            OslerError: `key-invalid` where another key sealed it.
        """
        raw = b64decode(sealed)
        try:
            return self._cipher.decrypt(raw[:NONCE_BYTES], raw[NONCE_BYTES:], name.encode()).decode()
        except InvalidTag:
            raise OslerError(
                Code.KEY_INVALID, "The watch of this workspace began with another key.", "Name that key."
            ) from None
