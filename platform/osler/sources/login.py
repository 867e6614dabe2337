"""Names and passwords of servers: from the environment or a file, never from the command line, never into a log."""

from __future__ import annotations

import netrc
import os
import stat
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

USER, PASSWORD, TOKEN = "OSLER_DICOMWEB_USER", "OSLER_DICOMWEB_PASSWORD", "OSLER_DICOMWEB_TOKEN"
PASSWORD_FILE = "OSLER_DICOMWEB_PASSWORD_FILE"


@dataclass(frozen=True)
class Login:
    """What a server is shown: a user with a password, or a bearer token. Its `repr` shows none of them."""

    user: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)
    token: str | None = field(default=None, repr=False)


def find_login(address: str, file: Path | None = None) -> Login | None:
    """Return the login of a server, None where there is none.

    A given file counts first, then OSLER_DICOMWEB_TOKEN, then OSLER_DICOMWEB_USER with OSLER_DICOMWEB_PASSWORD or the
    file that OSLER_DICOMWEB_PASSWORD_FILE names, then the file in NETRC.

    Args:
        address: The server's URL.
        file: A file in the format of `netrc`, readable by its owner alone.

    Raises:
        OslerError: `login-invalid` where the file is missing, open to others, malformed or silent about the server, or
            where the environment has a user without a password.
    """
    if file is not None:
        return _from_file(address, file)
    if token := os.environ.get(TOKEN):
        return Login(token=token)
    if user := os.environ.get(USER):
        return Login(user, _password())
    named = os.environ.get("NETRC")
    return _from_file(address, Path(named)) if named else None


def _password() -> str:
    """Return the password of the environment, else that of the secret file, which a service manager hands over."""
    password, named = os.environ.get(PASSWORD), os.environ.get(PASSWORD_FILE)
    if password is not None:
        return password
    if not named:
        raise _invalid(
            f"{USER} is set and {PASSWORD} is not.", f"Set both, or name the password's file as {PASSWORD_FILE}."
        )
    try:
        password = Path(named).read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError):
        password = ""
    if not password:
        raise _invalid(f"The file that {PASSWORD_FILE} names holds no password.", "Check its path and its permissions.")
    return password


def _from_file(address: str, file: Path) -> Login:
    host = urlsplit(address).hostname or ""
    if not file.is_file():
        raise _invalid("There is no login file at the path given.", "Check --login-file or NETRC.")
    if file.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise _invalid("The login file is open to other users.", "Run `chmod 600` on it.")
    try:
        entry = netrc.netrc(file).authenticators(host)
    except (netrc.NetrcParseError, OSError, UnicodeDecodeError):
        # The parser's own message quotes the file.
        raise _invalid(
            "The login file cannot be read.", "Write it as `machine HOST login USER password PASSWORD`."
        ) from None
    if entry is None:
        raise _invalid(
            f"The login file says nothing of {host}.", f"Add a line `machine {host} login ... password ...`."
        )
    return Login(entry[0], entry[2] or "")


def _invalid(message: str, mend: str) -> OslerError:
    return OslerError(Code.LOGIN_INVALID, message, mend)
