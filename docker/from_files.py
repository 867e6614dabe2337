"""Start a program that takes its secrets from the environment alone: each is read from the file that NAME_FILE names.

Used as an entry point: `python3 from_files.py PROGRAM ARGUMENTS...`. The standard library alone, since it runs in every image.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

# Osler's own variables are not here: it reads their files itself, and again when they change.
NAMES = (
    "MLFLOW_AUTH_ADMIN_PASSWORD",
    "MLFLOW_FLASK_SERVER_SECRET_KEY",
    "MLFLOW_TRACKING_PASSWORD",
    "ORTHANC_PASSWORD",
    "PGPASSWORD",
)


def read_secret(name: str, path: str) -> str:
    """Return the secret in a file; the program does not start without it, and nothing of it is shown."""
    try:
        secret = Path(path).read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        secret = ""
    if not secret:
        sys.exit(f"The file that {name}_FILE names, {path}, is missing, closed to this user, or holds no secret.")
    return secret


def main() -> None:
    """Become the program."""
    environment = dict(os.environ)
    for name in NAMES:
        if path := environment.pop(f"{name}_FILE", None):
            environment[name] = read_secret(name, path)
    os.execvpe(sys.argv[1], sys.argv[1:], environment)


if __name__ == "__main__":
    main()
