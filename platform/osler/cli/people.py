"""Who is at the keyboard, where nobody says so."""

from __future__ import annotations

import getpass

NOBODY = "unnamed"


def account() -> str:
    """Return the name of the account that runs this process; in a container it may have none."""
    try:
        name = "".join(one for one in getpass.getuser() if one.isprintable()).strip()
    except (OSError, KeyError, ImportError):
        return NOBODY
    return name[:80] or NOBODY
