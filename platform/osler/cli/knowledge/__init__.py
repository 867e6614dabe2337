"""`osler knowledge`: build a concept bank from medical text, search the text, review and check a bank."""

from __future__ import annotations

import argparse

from osler.cli.command import CommandResult
from osler.cli.knowledge import annotate, interview, propose, report, review, search, versions

SUMMARY = "build a concept bank from medical text; search, review, judge and version it"
_SUBJECTS = (search, propose, interview, review, versions, report, annotate)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Let each subject declare its actions."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    for subject in _SUBJECTS:
        subject.declare(actions)


def run(arguments: argparse.Namespace) -> CommandResult:
    """Run one action."""
    result: CommandResult = arguments.act(arguments)
    return result
