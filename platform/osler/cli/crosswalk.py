"""`osler crosswalk`: from a pseudonym back to the patient, for who gives a name and a reason."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from osler.cli.command import CommandResult, add_workspace

SUMMARY = "look up whom a pseudonym stands for (audited)"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the action of `osler crosswalk`."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    looking = actions.add_parser("look-up", help="show the originals behind one pseudonym")
    looking.add_argument("pseudonym", help="pseudonym of a patient, or pseudonymous UID of a study, series or image")
    looking.add_argument("--actor", required=True, help="who asks")
    looking.add_argument("--reason", required=True, help="why")
    add_crosswalk(looking, required=True)
    add_workspace(looking)


def add_crosswalk(parser: argparse._ActionsContainer, *, required: bool) -> None:
    """Add the options that name a crosswalk and its key."""
    parser.add_argument(
        "--crosswalk", type=Path, metavar="FILE", required=required, help="the crosswalk, outside the workspace"
    )
    parser.add_argument(
        "--crosswalk-key", type=Path, metavar="FILE", help="its key (default: $OSLER_CROSSWALK_KEY_FILE)"
    )


def chosen(arguments: argparse.Namespace, workspace: Any, *, create: bool = False) -> Any:
    """Return the crosswalk that the options name, None where they name none."""
    from osler.deid.crosswalk import open_crosswalk

    if arguments.crosswalk is None:
        return None
    return open_crosswalk(arguments.crosswalk, workspace, key_file=arguments.crosswalk_key, create=create)


def run(arguments: argparse.Namespace) -> CommandResult:
    """Look up one pseudonym."""
    from osler.workspace import Workspace

    crosswalk = chosen(arguments, Workspace.open(arguments.workspace))
    links = crosswalk.look_up(arguments.pseudonym, actor=arguments.actor, reason=arguments.reason)
    lines = [f"{link.kind} of {link.patient}: {key} {value}" for link in links for key, value in link.originals.items()]
    payload = [{"kind": link.kind, "patient": link.patient, "originals": dict(link.originals)} for link in links]
    return CommandResult({"pseudonym": arguments.pseudonym, "links": payload}, lines)
