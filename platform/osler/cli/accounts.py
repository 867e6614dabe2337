"""`osler accounts`: who may sign in to the dashboard, and as what."""

from __future__ import annotations

import argparse
import getpass
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from osler.cli.command import CommandResult, add_workspace
from osler.cli.people import account as person_here

if TYPE_CHECKING:
    from osler.access.accounts import AccountFile

SUMMARY = "add, change, list or remove who may sign in to the dashboard (audited)"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the actions of `osler accounts`."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    listing = actions.add_parser("list", help="show the accounts")
    adding = actions.add_parser("add", help="add an account; the password is asked for")
    changing = actions.add_parser("change", help="change roles, password or state; sessions that are open end")
    removing = actions.add_parser("remove", help="remove an account; what it did stays in the audit log")
    roles = actions.add_parser("roles", help="show what each role may do")
    for action in (adding, changing, removing):
        action.add_argument("name", help="name of the person, as the audit log will say it")
        action.add_argument("--actor", help="who does this (default: your account on this computer)")
    for action in (adding, changing):
        action.add_argument("--role", action="append", metavar="ROLE", help="a role; may be repeated")
        action.add_argument(
            "--password-file", type=Path, metavar="FILE", help="take the password from a file's first line"
        )
    changing.add_argument("--password", action="store_true", help="ask for a new password")
    state = changing.add_mutually_exclusive_group()
    state.add_argument("--lock", action="store_true", help="let nobody sign in with it")
    state.add_argument("--unlock", action="store_true", help="let the person sign in again")
    for action in (listing, adding, changing, removing, roles):
        add_workspace(action)


def run(arguments: argparse.Namespace) -> CommandResult:
    """Do one action."""
    from osler.access.accounts import AccountFile
    from osler.workspace import Workspace

    if arguments.action == "roles":
        return _roles()
    file = AccountFile(Workspace.open(arguments.workspace))
    if arguments.action == "list":
        return _list(file)
    actor = arguments.actor or person_here()
    if arguments.action == "remove":
        file.remove(arguments.name, actor=actor)
        return CommandResult({"removed": arguments.name}, [f"{arguments.name} may no longer sign in."])
    return _add(file, arguments, actor) if arguments.action == "add" else _change(file, arguments, actor)


def _add(file: AccountFile, arguments: argparse.Namespace, actor: str) -> CommandResult:
    from osler.access.roles import Role, parse_roles

    roles = parse_roles(arguments.role or ())
    made = file.add(arguments.name, tuple(roles), _password(arguments.password_file), actor=actor)
    lines = [f"{made.name} may sign in as {_told(made.roles)}."]
    if not any(Role.ADMINISTRATOR in one.roles for one in file.all()):
        lines.append("Nobody is an administrator yet: only this command can manage accounts and read the audit log.")
    return CommandResult({"name": made.name, "roles": sorted(made.roles)}, lines)


def _change(file: AccountFile, arguments: argparse.Namespace, actor: str) -> CommandResult:
    asked = arguments.password or arguments.password_file is not None
    password = _password(arguments.password_file) if asked else None
    active = False if arguments.lock else True if arguments.unlock else None
    made = file.change(arguments.name, actor=actor, roles=arguments.role, password=password, active=active)
    lines = [f"{made.name}: {_told(made.roles)}{'' if made.active else ', locked'}. Open sessions have ended."]
    return CommandResult({"name": made.name, "roles": sorted(made.roles), "active": made.active}, lines)


def _list(file: AccountFile) -> CommandResult:
    found = file.all()
    payload = [{"name": one.name, "roles": sorted(one.roles), "active": one.active} for one in found]
    lines = [f"{one.name}: {_told(one.roles)}{'' if one.active else ', locked'}" for one in found]
    nobody = "There are no accounts: `osler dashboard` lets the person at its terminal in."
    return CommandResult({"accounts": payload}, lines or [nobody])


def _roles() -> CommandResult:
    from osler.access.roles import ACTIONS, Action, Role

    table = {str(role): [action.value for action in Action if action in ACTIONS[role]] for role in Role}
    return CommandResult({"roles": table}, [f"{role}: {', '.join(actions)}" for role, actions in table.items()])


def _told(roles: frozenset[str]) -> str:
    return " and ".join(sorted(roles))


def _password(file: Path | None) -> str:
    """Ask for a password twice, or read it; never from the command line, which other users of a machine can see.

    Raises:
        OslerError: `usage` where the two differ or nobody can be asked; `access-invalid` where the file cannot be read.
    """
    from osler_contracts.codes import Code
    from osler_contracts.errors import OslerError

    if file is not None:
        try:
            return file.read_text(encoding="utf-8").partition("\n")[0]
        except (OSError, UnicodeDecodeError):
            raise OslerError(Code.ACCESS_INVALID, f"{file.name} cannot be read.", "Name another.") from None
    if not sys.stdin.isatty():
        raise OslerError(Code.USAGE, "Nobody is here to be asked for a password.", "Name a file with --password-file.")
    first = getpass.getpass("Password: ")
    if first != getpass.getpass("Again: "):
        raise OslerError(Code.USAGE, "The two passwords differ.", "Try again.")
    return first
