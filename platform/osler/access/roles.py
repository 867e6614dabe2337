"""Roles and what each may do: one table, asked before a page is drawn and again before anything is done."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from osler_contracts.codes import Code
from osler_contracts.errors import OslerError


class Role(StrEnum):
    """What a person is here; one person may be several."""

    CLINICIAN = "clinician"
    RESEARCHER = "researcher"
    ENGINEER = "engineer"
    ADMINISTRATOR = "administrator"


class Action(StrEnum):
    """What may be allowed or not; the value is how it is said to a person."""

    VIEW_STUDIES = "see studies"
    CORRECT = "correct what the model found"
    SIGN = "sign a study off"
    EXPORT = "export results of a study"
    LOOK_UP_PATIENT = "look up a patient"
    TAKE_PART = "take part in a reader study"
    VIEW_RESULTS = "see experiments"
    EXPORT_LABELS = "export corrections as labels"
    RUN_READER_STUDY = "run a reader study"
    VIEW_SITE = "see what arrives at a site"
    ADAPT = "adapt a model to a site"
    SWITCH_PATCH = "put a site patch in force or undo it"
    RELEASE = "release or discard what is held back"
    EXAMINE = "examine the installation"
    VIEW_KNOWLEDGE = "see concept banks"
    REVIEW_BANK = "review concept banks"
    READ_AUDIT = "read the audit log"
    MANAGE_ACCOUNTS = "manage accounts"


# A bank counts as clinically reviewed when people decided on it, so an engineer reads banks and does not decide.
ACTIONS: Mapping[Role, frozenset[Action]] = {
    Role.CLINICIAN: frozenset(
        {
            Action.VIEW_STUDIES,
            Action.CORRECT,
            Action.SIGN,
            Action.EXPORT,
            Action.LOOK_UP_PATIENT,
            Action.TAKE_PART,
            Action.VIEW_KNOWLEDGE,
            Action.REVIEW_BANK,
        }
    ),
    Role.RESEARCHER: frozenset(
        {
            Action.VIEW_RESULTS,
            Action.EXPORT_LABELS,
            Action.RUN_READER_STUDY,
            Action.VIEW_KNOWLEDGE,
            Action.REVIEW_BANK,
        }
    ),
    Role.ENGINEER: frozenset(
        {
            Action.VIEW_SITE,
            Action.ADAPT,
            Action.SWITCH_PATCH,
            Action.RELEASE,
            Action.EXAMINE,
            Action.VIEW_KNOWLEDGE,
        }
    ),
    Role.ADMINISTRATOR: frozenset({Action.READ_AUDIT, Action.MANAGE_ACCOUNTS}),
}


@dataclass(frozen=True)
class Person:
    """Who is signed in.

    Attributes:
        name: As it is written into reviews, histories and the audit log.
        roles: What the person is here.
        via: How the person came in: `account`, `hospital` (OpenID Connect) or `local` (the terminal's own address).
    """

    name: str
    roles: frozenset[Role]
    via: str = "account"

    def may(self, action: Action) -> bool:
        """Return whether one of the person's roles allows an action."""
        return any(action in ACTIONS[role] for role in self.roles)


def require_action(person: Person, action: Action) -> Person:
    """Return the person where the action is allowed.

    Raises:
        OslerError: `not-allowed`.
    """
    if not person.may(action):
        needed = [role for role in Role if action in ACTIONS[role]]
        raise OslerError(
            Code.NOT_ALLOWED,
            f"Your account may not {action.value}.",
            f"That belongs to the role {' or '.join(needed)}: ask who manages the accounts here.",
        )
    return person


def parse_roles(names: list[str] | tuple[str, ...]) -> frozenset[Role]:
    """Read roles by their names.

    Raises:
        OslerError: `usage` where there is none or an unknown one.
    """
    known = {str(role) for role in Role}
    if not names or set(names) - known:
        raise OslerError(
            Code.USAGE,
            "A person needs a role." if not names else f"There is no role {min(set(names) - known)!r}.",
            f"Choose of {', '.join(Role)}.",
        )
    return frozenset(Role(name) for name in names)
