"""Tokens: what a program shows instead of a person's password. The file holds hashes, readable by its owner alone.

A token is issued to the name of an account, or to a program that has none, with roles and a last moment. One of an account
may do what both its own roles and those of the account allow, and ends when the account is changed, locked or removed, as
its sessions do. The secret is 256 random bits, so that one SHA-256 guards it: there is nothing to guess that Argon2 would
have to slow down.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from operator import attrgetter

from pydantic import TypeAdapter

from osler import audit
from osler.access.accounts import FOLDER, RESERVED, AccountFile, key_of
from osler.access.private_file import STRICT, Content, Moment, PrivateFile
from osler.access.roles import Person, Role, parse_roles
from osler.workspace import Workspace
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

FILE = "tokens.json"
PREFIX = "osler"  # scanners that look for leaked secrets find a token by it
DAYS, MOST_DAYS = 90, 366
FORM = re.compile(rf"{PREFIX}_([0-9a-f]{{12}})_([A-Za-z0-9_-]{{43}})")


@dataclass(frozen=True)
class Token:
    """One token.

    Attributes:
        id: Its name: by it, it is listed and revoked.
        name: Whose it is, as the audit log says it.
        roles: What its holder may be.
        hash: SHA-256 of its secret.
        created: When it was issued, ISO 8601 in UTC.
        expires: The moment from which it is good no more, ISO 8601 in UTC.
        program: Whether its holder is a program without an account.
        revoked: When it was revoked, empty where it was not.
    """

    id: str
    name: str
    roles: frozenset[Role]
    hash: str
    created: Moment
    expires: Moment
    program: bool = False
    revoked: str = ""

    def over(self, now: datetime) -> bool:
        """Return whether it has expired."""
        return datetime.fromisoformat(self.expires) <= now

    def state(self, now: datetime) -> str:
        """Return `revoked`, `expired` or `good`; an account that was changed since may end it all the same."""
        return "revoked" if self.revoked else "expired" if self.over(now) else "good"


CONTENT = Content("The file of tokens", "tokens", TypeAdapter(list[Token], config=STRICT), attrgetter("id"))


class TokenFile:
    """The tokens of a workspace.

    Args:
        workspace: The workspace; what changes a token goes into its audit log.
        accounts: Its accounts; the default file where left out.
    """

    def __init__(self, workspace: Workspace, accounts: AccountFile | None = None) -> None:
        self._workspace = workspace
        self._accounts = accounts or AccountFile(workspace)
        self.path = workspace.root / FOLDER / FILE
        self._file = PrivateFile(self.path, CONTENT)

    def all(self) -> list[Token]:
        """Return the tokens, by name and moment of issue.

        Raises:
            OslerError: `access-invalid` where the file can be read by others or is not one of ours.
        """
        return sorted(self._file.read().values(), key=lambda one: (key_of(one.name), one.created, one.id))

    def issue(
        self,
        name: str,
        roles: list[str] | tuple[str, ...],
        *,
        actor: str,
        days: float = DAYS,
        program: bool = False,
        now: datetime | None = None,
    ) -> tuple[str, Token]:
        """Issue a token.

        Args:
            name: The account's name, or that of a program.
            roles: Its roles; of those that the account has.
            actor: Who issues it.
            days: For how many days it is good.
            program: Whether it is for a program without an account.
            now: The moment, the present where left out.

        Returns:
            The token as its holder shows it, which is kept nowhere, and its record.

        Raises:
            OslerError: `unknown-account`; `usage` for roles that the account has not, days out of range, or a program named
                as an account is; `access-invalid`; `disk-full`.
        """
        given, now = parse_roles(roles), now or datetime.now(UTC)
        if not 0 < days <= MOST_DAYS:
            raise OslerError(
                Code.USAGE, f"A token cannot be good for {days:g} days.", f"Give more than 0 and up to {MOST_DAYS}."
            )
        name = self._program(name) if program else self._account(name, given)
        identifier, secret = secrets.token_hex(6), secrets.token_urlsafe(32)
        token = Token(
            id=identifier,
            name=name,
            roles=given,
            hash=_digest(secret),
            created=now.isoformat(timespec="microseconds"),
            expires=(now + timedelta(days=days)).isoformat(timespec="seconds"),
            program=program,
        )
        with self._file.changing() as tokens:
            self._audit(actor, "token.issue", token)
            tokens[identifier] = token
        return f"{PREFIX}_{identifier}_{secret}", token

    def revoke(self, identifier: str, *, actor: str) -> Token:
        """Revoke a token; its record stays.

        Raises:
            OslerError: `unknown-token`; as `issue`.
        """
        with self._file.changing() as tokens:
            held = tokens.get(identifier)
            if held is None:
                raise OslerError(Code.UNKNOWN_TOKEN, "There is no such token.", "`osler api token list` shows them.")
            if held.revoked:
                return held
            self._audit(actor, "token.revoke", held)
            tokens[identifier] = replace(held, revoked=datetime.now(UTC).isoformat(timespec="seconds"))
            return tokens[identifier]

    def holder(self, text: str | None, now: datetime | None = None) -> tuple[Token, Person]:
        """Return the record of a token that was shown, and its holder with the roles that hold now.

        Raises:
            OslerError: `token-refused` where there is none or it is not good; `token-expired`, which only who has the whole
                token is told; `access-invalid`.
        """
        match = FORM.fullmatch(text or "")
        held = self._file.read().get(match[1]) if match else None
        # The same work for names that exist and names that do not.
        good = hmac.compare_digest(_digest(match[2] if match else ""), held.hash if held else _digest("nobody"))
        if held is None or not good or held.revoked:
            raise refused()
        if held.over(now or datetime.now(UTC)):
            raise OslerError(
                Code.TOKEN_EXPIRED,
                f"The token {held.id} expired on {held.expires[:10]}.",
                "Ask who manages the accounts here for a new one: `osler api token issue`.",
            )
        return held, self._person(held)

    def _person(self, token: Token) -> Person:
        account = self._accounts.get(token.name)
        if token.program:
            if account is not None:  # a person of that name came later: nobody may sign as that person
                raise refused()
            return Person(token.name, token.roles, via="token")
        if account is None or not account.active or account.changed > token.created:
            raise refused()
        return Person(account.name, token.roles & account.roles, via="token")

    def _program(self, name: str) -> str:
        name = audit.check_words(name, "name", audit.MAX_ACTOR)
        if key_of(name) in RESERVED or self._accounts.get(name) is not None:
            raise OslerError(Code.USAGE, f"The name {name} is not free for a program.", "Choose another.")
        return name

    def _account(self, name: str, roles: frozenset[Role]) -> str:
        account = self._accounts.get(name)
        if account is None:
            raise OslerError(
                Code.UNKNOWN_ACCOUNT,
                "There is no such account.",
                "`osler accounts list` shows them; a program without an account takes --program.",
            )
        if roles - account.roles:
            raise OslerError(
                Code.USAGE,
                f"{account.name} is not {' or '.join(sorted(roles - account.roles))}.",
                f"Choose of {', '.join(sorted(account.roles))}.",
            )
        return account.name

    def _audit(self, actor: str, action: str, token: Token) -> None:
        told = {"name": token.name, "roles": " ".join(sorted(token.roles)), "expires": token.expires}
        told |= {"program": "yes"} if token.program else {}
        audit.record(self._workspace, actor=actor, action=action, subject=token.id, details=told)


def refused() -> OslerError:
    """Return the one answer to a token that is missing, wrong, revoked or of somebody who has gone."""
    return OslerError(
        Code.TOKEN_REFUSED,
        "A token that is good here is needed.",
        "Send it as `Authorization: Bearer TOKEN`; who manages the accounts here issues one with `osler api token issue`.",
    )


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
