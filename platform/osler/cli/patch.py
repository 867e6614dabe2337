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

SUMMARY = "list, show, compare, apply or revoke the patches of a workspace"
ACTIONS = {
    "list": "list all patches",
    "show": "show one patch with its edits and guards",
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
            action.add_argument("id", help="the start of a patch's name")
        if name == "diff":
            action.add_argument("other", help="the start of the other's name")
        if name in ("apply", "revoke"):
            action.add_argument("--date", type=date.fromisoformat, help="ISO date for the history (default: today)")
            action.add_argument("--note", default="", help="why, for the history")
        add_workspace(action)
        action.add_argument(
            "--json", action="store_true", default=argparse.SUPPRESS, help="print one JSON object on stdout"
        )


def run(arguments: argparse.Namespace) -> CommandResult:
    """Do one action."""
    from osler.adapt.store import PatchStore
    from osler.workspace import Workspace

    store = PatchStore(Workspace.open(arguments.workspace).patches)
    if arguments.action == "list":
        patches = store.all()
        return CommandResult(
            {"patches": [asdict(patch) | {"id": patch.id} for patch in patches]},
            [headline(patch) for patch in patches] or ["The workspace has no patch."],
        )
    patch = store.get(arguments.id)
    if arguments.action == "diff":
        lines = patch.diff(store.get(arguments.other))
        return CommandResult({"differences": lines}, lines or ["The two patches do the same."])
    return shown(patch if arguments.action == "show" else _change(store, patch, arguments))


def _change(store: PatchStore, patch: SitePatch, arguments: argparse.Namespace) -> SitePatch:
    change = store.activate if arguments.action == "apply" else store.revoke
    return change(patch, (arguments.date or date.today()).isoformat(), arguments.note)


def headline(patch: SitePatch) -> str:
    """Return a patch in one line."""
    return (
        f"{patch.id}  {patch.status:8s}  {patch.site}  {patch.created}  {patch.adapter}  "
        f"{len(patch.masked)} masked, {len(patch.amplified)} amplified"
    )


def shown(patch: SitePatch) -> CommandResult:
    """Return a patch as a command's answer."""
    lines = [headline(patch), patch.reason]
    lines += [f"  {sentence}" for sentence in patch.edits]
    lines += [
        f"  guard {guard.name}: {'passed' if guard.passed else 'failed'}. {guard.sentence}" for guard in patch.guards
    ]
    lines += [f"  {date} {status} {note}".rstrip() for date, status, note in patch.history]
    return CommandResult({"patch": asdict(patch) | {"id": patch.id}}, lines)
