"""`osler patch`: what is done differently at each site, and how to undo it."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from datetime import date
from typing import TYPE_CHECKING

from osler.cli.command import CommandResult, add_workspace

if TYPE_CHECKING:
    from osler.adapt.patch import SitePatch
    from osler.adapt.store import PatchStore
    from osler.workspace import Workspace

SUMMARY = "list, show, compare, apply or revoke the patches of a workspace"
ACTIONS = {
    "list": "list all patches",
    "show": "show one patch in plain words: what it does, why, until when, how to undo it",
    "diff": "show what differs from one patch to another",
    "apply": "put a patch in force at its site",
    "revoke": "take a patch out of force; it is kept",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the actions of `osler patch`."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    for name, text in ACTIONS.items():
        action = actions.add_parser(name, help=text, description=text)
        if name != "list":
            action.add_argument("id", metavar="ID|SITE", help="the start of a patch's name, or the site it is for")
        else:
            action.add_argument("--site", help="only those of this site")
        if name == "diff":
            action.add_argument("other", help="the start of the other's name")
        else:
            action.add_argument("--date", type=date.fromisoformat, help="ISO date of the day (default: today)")
        if name in ("apply", "revoke"):
            action.add_argument("--note", default="", help="why, for the history")
            action.add_argument("--author", metavar="NAME", help="who decides (default: your account)")
        add_workspace(action)
        action.add_argument(
            "--json", action="store_true", default=argparse.SUPPRESS, help="print one JSON object on stdout"
        )


def run(arguments: argparse.Namespace) -> CommandResult:
    """Do one action."""
    from osler.adapt.store import PatchStore
    from osler.adapt.words import headline
    from osler.workspace import Workspace

    workspace = Workspace.open(arguments.workspace)
    store = PatchStore(workspace.patches)
    if arguments.action == "list":
        found, unreadable = store.read()
        patches, on = [patch for patch in found if arguments.site in (None, patch.site)], _day(arguments)
        lines = [headline(patch, on) for patch in patches]
        lines += [f"{name} cannot be read: {error.message} {error.mend}" for name, error in unreadable.items()]
        return CommandResult(
            {
                "patches": [_record(patch, on) for patch in patches],
                "unreadable": {name: error.message for name, error in unreadable.items()},
            },
            lines or ["The workspace has no patch."],
        )
    patch = _meant(store, arguments.id, arguments.action)
    if arguments.action == "diff":
        lines = patch.diff(store.get(arguments.other))
        return CommandResult({"differences": lines}, lines or ["The two patches do the same."])
    return _shown(workspace, patch if arguments.action == "show" else _change(workspace, patch, arguments), arguments)


def _meant(store: PatchStore, text: str, action: str) -> SitePatch:
    """Return the patch of this name, or the one of this site that the action can only mean.

    Raises:
        OslerError: `patch-invalid` where none or several can be meant.
    """
    from osler.adapt.patch import patch_invalid

    own = [patch for patch in store.all() if patch.site == text]
    if not own:
        return store.get(text)
    active = [patch for patch in own if patch.status == "active"]
    proposed = [patch for patch in own if patch.status == "proposed"]
    meant = {"revoke": active, "apply": [patch for patch in proposed if not patch.changes_nothing]}
    found = meant.get(action, active or proposed or own)
    if len(found) != 1:
        names = ", ".join(patch.id for patch in found or own)
        raise patch_invalid(
            f"{len(found) or 'None'} of the patches for site {text!r} can be meant.", f"Name one of {names}."
        )
    return found[0]


def _change(workspace: Workspace, patch: SitePatch, arguments: argparse.Namespace) -> SitePatch:
    from osler.adapt.in_force import put_in_force, take_out_of_force
    from osler.cli.people import account

    change = put_in_force if arguments.action == "apply" else take_out_of_force
    return change(workspace, patch, on=_day(arguments), actor=arguments.author or account(), note=arguments.note)


def _shown(workspace: Workspace, patch: SitePatch, arguments: argparse.Namespace) -> CommandResult:
    from osler.adapt.in_force import model_of
    from osler.adapt.words import lines_of

    on = _day(arguments)
    return CommandResult({"patch": _record(patch, on)}, lines_of(patch, model_of(workspace, patch), on))


def _record(patch: SitePatch, on: str) -> dict[str, object]:
    return asdict(patch) | {"id": patch.id, "kinds": list(patch.kinds), "expired": patch.expired(on)}


def _day(arguments: argparse.Namespace) -> str:
    return str((arguments.date or date.today()).isoformat())
