"""Which database a workspace uses: none but its own files, or the one that the environment or its setting names."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from osler.files import write_atomically
from osler.workspace import Workspace
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

VARIABLE = "OSLER_DATABASE_URL"
PASSWORD_FILE = "OSLER_DATABASE_PASSWORD_FILE"
SETTING = "database.json"
SCHEMES = frozenset({"postgres", "postgresql", "postgresql+psycopg"})
# What libpq may be told in an address. Neither a password nor a place to load code from is among them.
OPTIONS = frozenset(
    [
        "application_name",
        "channel_binding",
        "connect_timeout",
        "gssencmode",
        "host",
        "passfile",
        "port",
        "sslcert",
        "sslcrl",
        "sslkey",
        "sslmode",
        "sslrootcert",
        "target_session_attrs",
    ]
)
EXAMPLE = "postgresql://osler@database.hospital.example:5432/osler"


@dataclass(frozen=True)
class Address:
    """Where a PostgreSQL database is; it holds no password, so it may be shown.

    Attributes:
        text: The URL, as it was given.
    """

    text: str

    def __post_init__(self) -> None:
        url = self._split()
        if url.password is not None:
            raise _invalid(
                "The address of the database holds a password.",
                f"Leave it out; give it in the file that {PASSWORD_FILE} names, or as PGPASSFILE or PGPASSWORD.",
            )
        if url.scheme not in SCHEMES or not url.path.strip("/"):
            raise _invalid("The address of the database is none of PostgreSQL.", f"Write it as {EXAMPLE}.")
        if strangers := sorted(set(self.options) - OPTIONS):
            raise _invalid(
                f"The address of the database has the option {strangers[0][:40]!r}, which is not among those allowed.",
                f"Use {', '.join(sorted(OPTIONS))}.",
            )

    @property
    def options(self) -> dict[str, str]:
        """What follows the question mark."""
        return dict(parse_qsl(self._split().query, keep_blank_values=True))

    @property
    def parts(self) -> dict[str, str | int]:
        """User, host, port and name of the database, as libpq calls them; what is not given is left out."""
        url = self._split()
        given = {"user": url.username, "host": url.hostname, "port": url.port, "dbname": unquote(url.path.strip("/"))}
        return {name: unquote(value) if isinstance(value, str) else value for name, value in given.items() if value}

    @property
    def shown(self) -> str:
        """Server and name of the database, for a sentence."""
        parts = self.parts | self.options
        port = f":{parts['port']}" if "port" in parts else ""
        return f"{parts['dbname']} at {parts.get('host', 'this machine')}{port}"

    def _split(self) -> SplitResult:
        try:
            url = urlsplit(self.text)
            _ = url.port
            return url
        except ValueError:  # the text is not told: it may hold a password
            raise _invalid("The address of the database cannot be read.", f"Write it as {EXAMPLE}.") from None


@dataclass(frozen=True)
class Setting:
    """What a workspace notes of its database.

    Attributes:
        url: Its address; the environment may name another way to the same database.
        id: Mark that the database holds too, so that no workspace writes into the database of another.
        claimed: Whether the database has the mark.
    """

    url: str
    id: str
    claimed: bool = True


def address_of(workspace: Workspace) -> Address | None:
    """Return the database of a workspace, None where it keeps everything in its own files.

    The environment goes first. A workspace that has once used a database does not go back to files by itself.

    Raises:
        OslerError: `database-invalid` where the address is none, or holds a password.
    """
    if text := os.environ.get(VARIABLE, "").strip():
        return Address(text)
    setting = read_setting(workspace)
    return None if setting is None else Address(setting.url)


def password() -> str | None:
    """Return the password that a secret file holds, None where none is named: libpq looks for itself then.

    Raises:
        OslerError: `database-invalid` where the file cannot be read.
    """
    if not (named := os.environ.get(PASSWORD_FILE)):
        return None
    try:
        return Path(named).read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError):
        raise _invalid(
            f"The file that {PASSWORD_FILE} names cannot be read.", "Check its path and its permissions."
        ) from None


def read_setting(workspace: Workspace) -> Setting | None:
    """Return what the workspace notes of its database, None where it has none.

    Raises:
        OslerError: `database-invalid` where the note cannot be read.
    """
    path = workspace.root / SETTING
    try:
        setting = Setting(**json.loads(path.read_bytes()))
        if not (isinstance(setting.url, str) and isinstance(setting.id, str) and isinstance(setting.claimed, bool)):
            raise TypeError
        return setting
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, RecursionError):
        raise _invalid(f"{SETTING} of the workspace cannot be read.", "Restore it from a backup.") from None


def check_in_files(workspace: Workspace) -> None:
    """Check, under the lock of a file of records, that nobody has moved the records into a database while it was waited for.

    Raises:
        OslerError: `workspace-occupied`: trying again goes to the database.
    """
    if read_setting(workspace) is not None:
        raise OslerError(
            Code.WORKSPACE_OCCUPIED, "The records of this workspace were just moved into a database.", "Try again."
        )


def write_setting(workspace: Workspace, setting: Setting) -> None:
    """Note the database of a workspace."""
    write_atomically(workspace.root / SETTING, json.dumps(asdict(setting), indent=1, sort_keys=True).encode() + b"\n")


def _invalid(message: str, mend: str) -> OslerError:
    return OslerError(Code.DATABASE_INVALID, message, mend)
