"""One table says what each role may do; nothing else is allowed."""

from __future__ import annotations

import itertools

import pytest

from osler.access import ACTIONS, Action, Person, Role, require_action
from osler.access.roles import parse_roles
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

# Written out by hand, so that a change of the table is a change of two places.
EXPECTED = {
    Role.CLINICIAN: {
        "VIEW_STUDIES",
        "CORRECT",
        "SIGN",
        "EXPORT",
        "LOOK_UP_PATIENT",
        "TAKE_PART",
        "VIEW_KNOWLEDGE",
        "REVIEW_BANK",
    },
    Role.RESEARCHER: {"VIEW_RESULTS", "EXPORT_LABELS", "RUN_READER_STUDY", "VIEW_KNOWLEDGE", "REVIEW_BANK"},
    Role.ENGINEER: {"VIEW_SITE", "ADAPT", "SWITCH_PATCH", "RELEASE", "EXAMINE", "VIEW_KNOWLEDGE"},
    Role.ADMINISTRATOR: {"READ_AUDIT", "MANAGE_ACCOUNTS"},
}


@pytest.mark.parametrize(("role", "action"), list(itertools.product(Role, Action)))
def test_a_role_may_do_what_the_table_says_and_nothing_else(role: Role, action: Action) -> None:
    person = Person("Dr A", frozenset({role}))
    expected = action.name in EXPECTED[role]
    assert person.may(action) == expected
    if expected:
        assert require_action(person, action) is person
        return
    with pytest.raises(OslerError) as refused:
        require_action(person, action)
    assert refused.value.code is Code.NOT_ALLOWED
    assert action.value in refused.value.message


def test_every_action_belongs_to_somebody_and_every_role_is_in_the_table() -> None:
    assert set(ACTIONS) == set(Role)
    assert frozenset[Action]().union(*ACTIONS.values()) == set(Action)


def test_two_roles_may_do_what_either_may() -> None:
    both = Person("Dr A", frozenset({Role.CLINICIAN, Role.ADMINISTRATOR}))
    assert {action for action in Action if both.may(action)} == ACTIONS[Role.CLINICIAN] | ACTIONS[Role.ADMINISTRATOR]
    nobody = Person("Dr A", frozenset())
    assert not any(nobody.may(action) for action in Action)


@pytest.mark.parametrize("names", [[], ["surgeon"], ["clinician", "root"], ["Clinician"]])
def test_unknown_roles_are_refused(names: list[str]) -> None:
    with pytest.raises(OslerError, match="role"):
        parse_roles(names)
