"""A fingerprint of the simulator itself, to be recorded before anything is trained on what it draws."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.resources import files

# Modules that name, file or show what was drawn, and shape neither image nor report nor truth.
NOT_DRAWING = frozenset(
    {"__init__.py", "contact_sheet.py", "dicom.py", "digest.py", "generate.py", "identity.py", "spoil.py"}
)


def drawing_sources() -> dict[str, bytes]:
    """Return the source of every file of the package that shapes images, reports or truth, by name."""
    entries = (one for one in files("osler_training.phantom").iterdir() if one.name.endswith((".py", ".yaml")))
    return {one.name: one.read_bytes() for one in entries if one.name not in NOT_DRAWING}


@cache
def phantom_digest() -> str:
    """Return the SHA-256 over names and sources of `drawing_sources`; unlike `parameters_digest`, it covers code too.

    A changed comment changes it as well: it says that nothing was touched, not how much was.
    """
    whole = hashlib.sha256()
    for name, source in sorted(drawing_sources().items()):
        whole.update(f"{name}\0{len(source)}\0".encode() + source)
    return whole.hexdigest()
