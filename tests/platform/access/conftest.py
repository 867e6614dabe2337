"""Cheap hashes, so that many passwords can be tried; `test_accounts` holds the real parameters."""

from __future__ import annotations

import pytest
from argon2 import PasswordHasher

from osler.access import passwords


@pytest.fixture(autouse=True)
def cheap_hashes(monkeypatch: pytest.MonkeyPatch) -> PasswordHasher:
    """Make hashes that take no time, and return the hasher that is used elsewhere."""
    real = passwords._HASHER
    monkeypatch.setattr(passwords, "_HASHER", PasswordHasher(time_cost=1, memory_cost=64, parallelism=1))
    return real
