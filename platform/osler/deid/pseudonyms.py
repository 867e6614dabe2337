"""Pseudonyms by keyed hash: the same original gives the same pseudonym, and nobody without the key can tell which."""

from __future__ import annotations

import hmac
import uuid
from datetime import date, timedelta
from hashlib import sha256

from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

LEAST_SHIFT_DAYS = 366
SHIFT_RANGE_DAYS = 3287  # nine years: enough to hide a date, little enough to leave no century behind


class Pseudonymizer:
    """Replaces UIDs, patient numbers and dates.

    Args:
        key: At least 32 bytes.

    Raises:
        OslerError: `key-invalid` for a shorter key.
    """

    def __init__(self, key: bytes) -> None:
        if len(key) < 32:
            raise OslerError(Code.KEY_INVALID, "The key is shorter than 32 bytes.", "Give a key made by `load_key`.")
        self._key = key

    def uid(self, original: str) -> str:
        """Return the UID that stands for another, under 2.25 (PS3.5 B.2)."""
        return f"2.25.{uuid.UUID(bytes=self._digest('uid', original)[:16], version=5).int}"

    def patient(self, original_patient_id: str, issuer: str = "") -> str:
        """Return the pseudonym of a patient; the issuer keeps two hospitals' numbers apart."""
        return f"P{self._digest('patient', issuer, original_patient_id).hex()[:16].upper()}"

    def days(self, original_patient_id: str, issuer: str = "") -> int:
        """Return by how many days a patient's dates move, always into the past and the same for all of them."""
        drawn = int.from_bytes(self._digest("days", issuer, original_patient_id)[:8], "big")
        return -(LEAST_SHIFT_DAYS + drawn % SHIFT_RANGE_DAYS)

    def fingerprint(self) -> str:
        """Return a mark by which a workspace knows its key again, and from which nobody can find the key."""
        return self._digest("fingerprint").hex()

    def _digest(self, purpose: str, *parts: str) -> bytes:
        # Lengths in front, so that no two lists of parts give the same message.
        message = b"".join(len(raw).to_bytes(4, "big") + raw for raw in (part.encode() for part in (purpose, *parts)))
        return hmac.new(self._key, message, sha256).digest()


def shift_date(value: str, days: int) -> str:
    """Move a DICOM date or date-time (DA, DT) by days; time of day and UTC offset stay.

    Returns:
        The moved value; empty where it is no date, or where a date-time does not name its day.
    """
    try:
        moved = date(int(value[:4]), int(value[4:6]), int(value[6:8])) + timedelta(days=days)
    except (ValueError, OverflowError):
        return ""
    rest = value[8:]
    return f"{moved:%Y%m%d}".zfill(8) + rest if all(character in "0123456789.+-" for character in rest) else ""
