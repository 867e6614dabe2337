"""The hospital's own log-in (OpenID Connect): a file that says where it is, and which of its groups are which role."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

from osler import audit
from osler.access.accounts import FOLDER
from osler.access.private_file import access_invalid, read_private
from osler.access.roles import Person, Role
from osler.workspace import Workspace
from osler.yaml_settings import parse_settings
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

VARIABLE = "OSLER_HOSPITAL_FILE"
FILE = "hospital.yaml"
CALLBACK = "/oauth2callback"  # fixed by Streamlit
HERE = ("http://localhost", "http://127.0.0.1")


class Hospital(BaseModel):
    """The log-in of a hospital.

    Attributes:
        title: How the button names it.
        metadata: Address of its OpenID configuration.
        client_id: As it knows Osler.
        client_secret_file: File with the secret that it shares with Osler, readable by its owner alone.
        address: Address of this dashboard as browsers see it; `/oauth2callback` after it must be registered there.
        name_claim: Claim by which the audit log names a person.
        group_claim: Claim that lists a person's groups.
        groups: Groups of each role.
        people: E-mail addresses of each role; they count only where the hospital says that it checked them.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    title: str = "Hospital account"
    metadata: str
    client_id: str
    client_secret_file: Path
    address: str
    name_claim: str = "email"
    group_claim: str = "groups"
    groups: Mapping[Role, tuple[str, ...]] = Field(default_factory=dict)
    people: Mapping[Role, tuple[str, ...]] = Field(default_factory=dict)

    @field_validator("metadata", "address")
    @classmethod
    def _encrypted(cls, value: str) -> str:
        if not value.startswith(("https://", *HERE)):
            raise ValueError("must begin with https://")
        return value.rstrip("/")

    def roles(self, claims: Mapping[str, Any]) -> frozenset[Role]:
        """Return the roles that verified claims give; none where they give none."""
        listed = claims.get(self.group_claim)
        groups = {listed} if isinstance(listed, str) else {str(one) for one in listed or ()}
        checked = claims.get("email_verified") is True
        email = str(claims.get("email", "")).casefold() if checked else ""
        return frozenset(
            role
            for role in Role
            if groups & set(self.groups.get(role, ()))
            or (email and email in {one.casefold() for one in self.people.get(role, ())})
        )

    def person(self, claims: Mapping[str, Any]) -> Person:
        """Return the person of verified claims.

        Raises:
            OslerError: `sign-in-refused` where the claims give no role or no name.
        """
        name = str(claims.get(self.name_claim) or claims.get("sub") or "").strip()
        roles = self.roles(claims)
        if not roles or not name.isprintable() or not 0 < len(name) <= audit.MAX_ACTOR:
            raise OslerError(
                Code.SIGN_IN_REFUSED,
                "Your hospital account has no role in Osler." if name else "Your hospital account has no name.",
                "Ask who manages the accounts here to add you.",
            )
        return Person(name, roles, via="hospital")

    def secrets(self, cookie_secret: str) -> dict[str, Any]:
        """Return what Streamlit's `auth` asks for.

        Raises:
            OslerError: `access-invalid` where the secret cannot be read, or others can read it.
        """
        path = self.client_secret_file.expanduser()
        return {
            "auth": {
                "redirect_uri": self.address + CALLBACK,
                "cookie_secret": cookie_secret,
                "client_id": self.client_id,
                "client_secret": read_private(path, path.name).strip(),
                "server_metadata_url": self.metadata,
            }
        }


def load_hospital(workspace: Workspace) -> Hospital | None:
    """Read the file named by OSLER_HOSPITAL_FILE, else `access/hospital.yaml` in the workspace; None without one.

    Raises:
        OslerError: `access-invalid`.
    """
    named = os.environ.get(VARIABLE)
    path = Path(named) if named else workspace.root / FOLDER / FILE
    if not named and not path.exists():
        return None
    return parse_settings(read_private(path, path.name).encode(), Hospital, _invalid)


def _invalid(what: str) -> OslerError:
    return access_invalid(
        f"The file of the hospital's log-in is not valid: {what}.", "See docs/access.md for what it holds."
    )
