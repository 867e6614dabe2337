"""The gate: ways in (password, hospital's log-in, the terminal's own address), and who is behind a session now.

Every sign-in, refusal and sign-out is in the audit log before it takes effect.
"""

from __future__ import annotations

import hashlib
import hmac
import math
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from osler import audit
from osler.access.accounts import Account, AccountFile, key_of
from osler.access.backoff import BackOff
from osler.access.hospital import Hospital
from osler.access.passwords import matches
from osler.access.roles import Person
from osler.access.sessions import IDLE, LONGEST, Sessions, expired
from osler.workspace import Workspace
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

SIGN_IN, REFUSED, SIGN_OUT = "access.sign-in", "access.refused", "access.sign-out"
UNKNOWN = "unknown"  # the actor of a refusal: what was typed as a name may be a password


class Gate:
    """The ways into one workspace.

    Args:
        workspace: The workspace.
        accounts: Its accounts; the default file where left out.
        hospital: Its hospital's log-in, None where there is none.
        idle: Seconds without a step after which a session ends.
        longest: Seconds after which it ends however busy it is.
        clock: Seconds since the epoch.
    """

    def __init__(
        self,
        workspace: Workspace,
        *,
        accounts: AccountFile | None = None,
        hospital: Hospital | None = None,
        idle: float = IDLE,
        longest: float = LONGEST,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.workspace, self.hospital = workspace, hospital
        self.accounts = accounts or AccountFile(workspace)
        self._clock = clock
        self._sessions = Sessions(idle=idle, longest=longest, clock=clock)
        self._waiting = BackOff(clock)
        self._secret = secrets.token_bytes(32)
        self._door: tuple[str, Person] | None = None
        self._lock = threading.Lock()

    def sign_in(self, name: str, password: str) -> str:
        """Open a session for a name and a password, and return its number.

        Raises:
            OslerError: `sign-in-refused` for a wrong pair, whatever is wrong with it; `sign-in-delayed` after several;
                `access-invalid`; `audit-broken`.
        """
        account = self._proved(name, password)
        return self._open(_person(account))

    def renew(self, number: str, password: str) -> None:
        """Go on with a session that has ended, for the person who held it.

        Raises:
            OslerError: As `sign_in`; `session-expired` where the session is not known or was no account's.
        """
        holder = self._sessions.holder(number)
        if holder is None or holder.via != "account":
            raise expired()
        person = _person(self._proved(holder.name, password))
        audit.record(self.workspace, actor=person.name, action=SIGN_IN, subject=person.name, details={"via": "again"})
        self._sessions.renew(number)

    def open_door(self, person: Person) -> str:
        """Make a token that lets one person in once, and return it; the one made before no longer does.

        Raises:
            OslerError: `not-allowed` where there are accounts, or a hospital's log-in: those are the way in then.
        """
        self._only_without_accounts()
        token = secrets.token_urlsafe(32)
        with self._lock:
            self._door = (_digest(token), person)
        return token

    def enter(self, token: str) -> str:
        """Open a session for a token of `open_door`, and return its number.

        Raises:
            OslerError: `sign-in-refused`; `not-allowed` as `open_door`.
        """
        self._only_without_accounts()
        with self._lock:
            door = self._door
            if door is None or not hmac.compare_digest(door[0], _digest(token)):
                door = None
            else:
                self._door = None
        if door is None:
            audit.record(self.workspace, actor=UNKNOWN, action=REFUSED, subject="local address")
            raise OslerError(
                Code.SIGN_IN_REFUSED,
                "This address has been used, or is of an earlier start.",
                "The terminal that runs `osler dashboard` shows the one that is good now.",
            )
        return self._open(door[1])

    def hospital_session(self, claims: Mapping[str, Any]) -> str:
        """Return the number of the session of an identity token, opened at its first sight.

        Args:
            claims: The verified claims of the token.

        Raises:
            OslerError: `sign-in-refused` where its claims give no role; `session-expired` where the token is over.
        """
        if self.hospital is None:
            raise expired()
        parts = [str(claims.get(name, "")) for name in ("iss", "sub", "iat", "exp")]
        number = hmac.new(self._secret, "\n".join(parts).encode(), hashlib.sha256).hexdigest()
        if self._sessions.known(number):
            return number
        until = claims.get("exp")
        if not isinstance(until, int | float) or not math.isfinite(until) or until <= self._clock():
            raise expired()
        try:
            person = self.hospital.person(claims)
        except OslerError:
            audit.record(self.workspace, actor=UNKNOWN, action=REFUSED, subject="hospital log-in")
            raise
        return self._open(person, until=float(until), number=number)

    def person(self, number: str | None, *, step: bool = True) -> Person:
        """Return who is behind a session, with the roles that the person has now.

        Args:
            number: The number of the session, None where the browser holds none.
            step: Whether the person did something.

        Raises:
            OslerError: `session-expired`, also where the account was changed or removed since.
        """
        if not number:
            raise expired()
        session = self._sessions.get(number, step=step)
        if session.person.via != "account":
            return session.person
        account = self.accounts.get(session.person.name)
        if account is None or not account.active or _moment(account.changed) > session.opened:
            self._sessions.close(number)
            raise expired()
        return _person(account)

    def holder(self, number: str | None) -> Person | None:
        """Return who may go on with an ended session by the password alone, None where nobody may."""
        held = self._sessions.holder(number) if number else None
        return held if held is not None and held.via == "account" else None

    def sign_out(self, number: str | None) -> None:
        """End a session."""
        person = self._sessions.close(number) if number else None
        if person is not None:
            audit.record(self.workspace, actor=person.name, action=SIGN_OUT, subject=person.name)

    def _open(self, person: Person, *, until: float | None = None, number: str | None = None) -> str:
        told = {"via": person.via, "roles": " ".join(sorted(person.roles))}
        audit.record(self.workspace, actor=person.name, action=SIGN_IN, subject=person.name, details=told)
        return self._sessions.open(person, until=until, number=number)

    def _proved(self, name: str, password: str) -> Account:
        """Return the account of a name and a password."""
        key = key_of(name[: 2 * audit.MAX_ACTOR])
        wait = self._waiting.wait(key)
        if wait > 0:
            raise OslerError(
                Code.SIGN_IN_DELAYED,
                "There were several wrong passwords for this name.",
                f"Try again in {_told(wait)}.",
            )
        account = self.accounts.get(key)
        good = matches(account.hash if account else None, password)
        if account is None or not good or not account.active:
            self._waiting.failed(key)
            actor = account.name if account else UNKNOWN
            audit.record(self.workspace, actor=actor, action=REFUSED, subject=actor, details={"via": "account"})
            raise OslerError(
                Code.SIGN_IN_REFUSED,
                "Name and password do not belong together.",
                "Try again, or ask who manages the accounts here.",
            )
        self._waiting.passed(key)
        return account

    def _only_without_accounts(self) -> None:
        if self.hospital is not None or self.accounts.all():
            raise OslerError(
                Code.NOT_ALLOWED, "This workspace has accounts: sign in with one.", "`osler accounts list` shows them."
            )


def _person(account: Account) -> Person:
    return Person(account.name, account.roles)


def _moment(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def _told(seconds: float) -> str:
    return f"{math.ceil(seconds)} seconds" if seconds < 90 else f"{math.ceil(seconds / 60)} minutes"
