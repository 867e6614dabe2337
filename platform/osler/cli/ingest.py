"""`osler ingest`: a folder of DICOM files into the archive."""

from __future__ import annotations

import argparse
from pathlib import Path

from osler.cli.command import CommandResult, add_workspace, say

SUMMARY = "take DICOM files through a data contract into the de-identified archive"
SAY_EVERY = 512


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `osler ingest`."""
    parser.add_argument("source", type=Path, help="a folder of DICOM files, searched at every depth, or one file")
    parser.add_argument("--site", required=True, help="name of the hospital that the files come from")
    add_workspace(parser)
    parser.add_argument("--contract", default="chest-radiograph", help="name of a shipped contract, or path of one")
    parser.add_argument("--workers", type=int, default=2, help="worker processes, 0 for none (default: 2)")
    parser.add_argument(
        "--key-file", type=Path, help="key of the pseudonyms (default: $OSLER_KEY_FILE, else a new one)"
    )
    parser.add_argument(
        "--labels", type=Path, metavar="CSV", help="labels and de-identified reports by study_instance_uid"
    )


def run(arguments: argparse.Namespace) -> CommandResult:
    """Ingest, with progress on stderr."""
    from osler.deid import load_key
    from osler.ingest import ingest
    from osler.workspace import Workspace

    workspace = Workspace.open(arguments.workspace, create=True)
    key = load_key(arguments.key_file, create=True, workspace=workspace.root)
    said = 0

    def progress(done: int, total: int) -> None:
        nonlocal said
        if done == total or done >= said + SAY_EVERY:
            said = done
            say(f"{done} of {total} files")

    summary = ingest(
        arguments.source,
        site=arguments.site,
        workspace=workspace,
        contract=arguments.contract,
        key=key,
        workers=max(arguments.workers, 0),
        labels=arguments.labels,
        progress=progress,
    )
    return CommandResult(summary.to_dict(), summary.lines(), summary.quarantined)
