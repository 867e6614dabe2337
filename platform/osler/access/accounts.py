"""The local account file: names, roles and Argon2id hashes as JSON, readable by its owner alone."""

from __future__ import annotations

import os
import unicodedata
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from pydantic import TypeAdapter

from osler import audit
from osler.access.passwords import hash_password
from osler.access.private_file import STRICT, Content, Moment, PrivateFile
from osler.access.roles import Role, parse_roles
from osler.workspace import Workspace
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

VARIABLE = "OSLER_ACCOUNTS_FILE"
FOLDER, FILE = "access", "accounts.json"
RESERVED = frozenset({"osler", "unknown", "unnamed"})  # actors of the audit log that are no person


@dataclass(frozen=True)
class Account:
    """One account.

    Attributes:
        name: As the person signs in, and as the audit log names the person.
        roles: What the person is here.
        hash: Argon2id hash of the password.
        changed: When password, roles or state last changed, ISO 8601 in UTC: older sessions have ended.
        active: Whether the person may sign in.
    """

    name: str
    roles: frozenset[Role]
    hash: str
    changed: Moment
    active: bool = True


CONTENT = Content(
    "The account file", "accounts", TypeAdapter(list[Account], config=STRICT), lambda one: key_of(one.name)
)


class AccountFile:
    """The accounts of a workspace.

    Args:
        workspace: The workspace; what changes an account goes into its audit log.
        path: The file; OSLER_ACCOUNTS_FILE, else `access/accounts.json` in the workspace, where it is left out.
    """

    def __init__(self, workspace: Workspace, path: Path | None = None) -> None:
        named = os.environ.get(VARIABLE)
        self._workspace = workspace
        self.path = path or (Path(named) if named else workspace.root / FOLDER / FILE)
        self._file = PrivateFile(self.path, CONTENT)

    def all(self) -> list[Account]:
        """Return the accounts, by name.

        Raises:
            OslerError: `access-invalid` where the file can be read by others or is not one of ours.
        """
        return sorted(self._file.read().values(), key=lambda one: key_of(one.name))

    def get(self, name: str) -> Account | None:
        """Return an account by its name, however it is capitalised; None where there is none."""
        return self._file.read().get(key_of(name))

    def add(self, name: str, roles: list[str] | tuple[str, ...], password: str, *, actor: str) -> Account:
        """Add an account.

        Raises:
            OslerError: `usage` for a name that is taken, reserved or no line, an unknown role, or a password that breaks
                the rules; `access-invalid`; `disk-full`.
        """
        name = unicodedata.normalize("NFC", audit.check_words(name, "name", audit.MAX_ACTOR))
        if key_of(name) in RESERVED:
            raise OslerError(Code.USAGE, f"The name {name} is kept for Osler itself.", "Choose another.")
        account = Account(name, parse_roles(roles), hash_password(password, name), _now())
        with self._file.changing() as accounts:
            if key_of(name) in accounts:
                raise OslerError(
                    Code.USAGE, f"There is an account {name} already.", "Change it, or choose another name."
                )
            self._audit(actor, "account.add", account)
            accounts[key_of(name)] = account
        return account

    def change(
        self,
        name: str,
        *,
        actor: str,
        roles: list[str] | tuple[str, ...] | None = None,
        password: str | None = None,
        active: bool | None = None,
    ) -> Account:
        """Change roles, password or state of an account; sessions that it has open end.

        Raises:
            OslerError: `unknown-account`; `usage` as `add`, or where nobody would be left to manage the accounts.
        """
        given = parse_roles(roles) if roles is not None else None
        hashed = hash_password(password, name) if password is not None else None
        with self._file.changing() as accounts:
            held = _known(accounts, name)
            new = replace(
                held,
                roles=held.roles if given is None else given,
                hash=hashed or held.hash,
                active=held.active if active is None else active,
                changed=_now(),
            )
            _keep_an_administrator(accounts, new)
            self._audit(actor, "account.change", new, password="changed" if hashed else "")
            accounts[key_of(name)] = new
        return new

    def remove(self, name: str, *, actor: str) -> None:
        """Remove an account; what it did stays in the audit log.

        Raises:
            OslerError: `unknown-account`; `usage` where nobody would be left to manage the accounts.
        """
        with self._file.changing() as accounts:
            held = _known(accounts, name)
            _keep_an_administrator(accounts, replace(held, active=False))
            self._audit(actor, "account.remove", held)
            del accounts[key_of(name)]

    def _audit(self, actor: str, action: str, account: Account, **more: str) -> None:
        details = {"roles": " ".join(sorted(account.roles)), "active": "yes" if account.active else "no", **more}
        audit.record(self._workspace, actor=actor, action=action, subject=account.name, details=details)


def key_of(name: str) -> str:
    """Return what names are told apart by: `Dr A` and `dr a` are one person."""
    return unicodedata.normalize("NFKC", name).strip().casefold()


def _known(accounts: dict[str, Account], name: str) -> Account:
    held = accounts.get(key_of(name))
    if held is None:
        raise OslerError(Code.UNKNOWN_ACCOUNT, "There is no such account.", "`osler accounts list` shows them.")
    return held


def _keep_an_administrator(accounts: dict[str, Account], new: Account) -> None:
    """Refuse a change after which nobody could manage the accounts."""
    after = {**accounts, key_of(new.name): new}
    had = any(_manages(one) for one in accounts.values())
    if had and not any(_manages(one) for one in after.values()):
        raise OslerError(
            Code.USAGE,
            "This is the last administrator.",
            "Make somebody else one first, so that accounts can be managed.",
        )


def _manages(account: Account) -> bool:
    return account.active and Role.ADMINISTRATOR in account.roles


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds")
