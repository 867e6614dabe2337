"""`osler archive`: what the archive holds, proof that it holds nobody's name, and how to take something out again."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from osler.cli.command import CommandResult, add_workspace
from osler.cli.crosswalk import add_crosswalk, chosen

if TYPE_CHECKING:
    from osler.archive.retention import Removed

SUMMARY = "list, verify, delete or expire the studies of the archive"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the actions of `osler archive`."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    listing = actions.add_parser("list", help="list studies")
    listing.add_argument("--site", help="only those of this site")
    proving = actions.add_parser("verify", help="prove that objects and index agree and are de-identified")
    proving.add_argument(
        "--identifiers", type=Path, metavar="FILE", help="original values that must be nowhere, one a line"
    )
    add_crosswalk(proving, required=False)
    deleting = actions.add_parser("delete", help="remove a patient, with every trace")
    deleting.add_argument("--patient", required=True, metavar="PSEUDONYM", help="as `osler archive list` shows it")
    deleting.add_argument("--key-file", type=Path, help="key of the pseudonyms (default: $OSLER_KEY_FILE)")
    expiring = actions.add_parser("retain", help="remove what has been kept for long enough, with every trace")
    expiring.add_argument(
        "--older-than", type=int, required=True, metavar="DAYS", help="studies of which nothing has arrived since"
    )
    expiring.add_argument("--site", help="only those of this site")
    for action in (deleting, expiring):
        action.add_argument("--actor", required=True, help="who does it")
        action.add_argument("--reason", required=True, help="why")
        add_crosswalk(action, required=False)
    upgrading = actions.add_parser("upgrade", help="bring an older database to the form that this version needs")
    moving = actions.add_parser("move-database", help="move index, reviews and audit log into a PostgreSQL server")
    moving.add_argument(
        "--to", metavar="URL", help="postgresql://user@host/name, without a password (default: $OSLER_DATABASE_URL)"
    )
    moving.add_argument("--actor", required=True, help="who does it")
    for action in (listing, proving, deleting, expiring, upgrading, moving):
        add_workspace(action)


def run(arguments: argparse.Namespace) -> CommandResult:
    """Do one action."""
    actions = {"list": _list, "verify": _verify, "delete": _delete, "retain": _retain}
    actions |= {"upgrade": _upgrade, "move-database": _move_database}
    return actions[arguments.action](arguments)


def _list(arguments: argparse.Namespace) -> CommandResult:
    from osler.archive import Archive
    from osler.workspace import Workspace

    archive = Archive(Workspace.open(arguments.workspace))
    studies = []
    for study in archive.studies(arguments.site):
        frontal = archive.frontal(study)
        row: dict[str, object] = {
            "uid": study.uid,
            "site": study.site,
            "patient": study.patient,
            "study_date": study.study_date,
        }
        studies.append(row | {"images": len(study.instances), "frontal": frontal and frontal.uid})
    lines = [
        f"{study['uid']:44s}  {study['site']}  {study['patient']}  {study['images']} images"
        f"{'' if study['frontal'] else ', no frontal'}"
        for study in studies
    ]
    return CommandResult({"studies": studies}, lines or ["The archive holds no study."])


def _verify(arguments: argparse.Namespace) -> CommandResult:
    from osler.archive import Archive
    from osler.archive.verify import verify_archive
    from osler.workspace import Workspace
    from osler_contracts.codes import Code
    from osler_contracts.errors import OslerError

    workspace = Workspace.open(arguments.workspace)
    identifiers: set[str] = set()
    if (crosswalk := chosen(arguments, workspace)) is not None:
        identifiers |= crosswalk.originals()
    if (listed := arguments.identifiers) is not None:
        if not listed.is_file():
            raise OslerError(Code.SOURCE_MISSING, f"There is no file {listed}.", "Check the path given.")
        identifiers |= set(listed.read_text(encoding="utf-8").splitlines())
    proof = verify_archive(Archive(workspace), identifiers)
    lines = [f"{fault.where}: {fault.what} {fault.detail}".rstrip() for fault in proof.faults]
    said = f"{proof.objects} objects re-read, {proof.files_searched} files searched for {proof.identifiers} identifiers"
    lines.append(f"{said}: {'nothing wrong' if not proof.faults else f'{len(proof.faults)} faults'}.")
    if not proof.identifiers:
        lines.append("No identifiers were given (--crosswalk or --identifiers): only the profile was proved.")
    return CommandResult(asdict(proof), lines, failed=bool(proof.faults))


def _delete(arguments: argparse.Namespace) -> CommandResult:
    from osler.archive import Archive
    from osler.archive.retention import delete_patient
    from osler.deid import Pseudonymizer, load_key
    from osler.workspace import Workspace

    workspace = Workspace.open(arguments.workspace)
    removed = delete_patient(
        Archive(workspace),
        arguments.patient,
        actor=arguments.actor,
        reason=arguments.reason,
        pseudonymizer=Pseudonymizer(load_key(arguments.key_file, workspace=workspace.root)),
        crosswalk=chosen(arguments, workspace),
    )
    return _told(removed)


def _retain(arguments: argparse.Namespace) -> CommandResult:
    from osler.archive import Archive
    from osler.archive.retention import retain
    from osler.workspace import Workspace

    workspace = Workspace.open(arguments.workspace)
    removed = retain(
        Archive(workspace),
        older_than_days=arguments.older_than,
        site=arguments.site,
        actor=arguments.actor,
        reason=arguments.reason,
        crosswalk=chosen(arguments, workspace),
    )
    return _told(removed)


def _upgrade(arguments: argparse.Namespace) -> CommandResult:
    from osler.database.migrate import upgrade_workspace
    from osler.workspace import Workspace

    before, now = upgrade_workspace(Workspace.open(arguments.workspace))
    said = (
        f"The database has schema {now} already." if before == now else f"Upgraded from {before or 'nothing'} to {now}."
    )
    return CommandResult({"before": before, "now": now}, [said])


def _move_database(arguments: argparse.Namespace) -> CommandResult:
    import os

    from osler.database.move import move_to_server
    from osler.database_address import VARIABLE, Address
    from osler.workspace import Workspace

    workspace = Workspace.open(arguments.workspace)
    address = Address(arguments.to or os.environ.get(VARIABLE, ""))
    moved = move_to_server(workspace, address, actor=arguments.actor)
    lines = [f"{name}: {count} rows" for name, count in moved.rows.items()]
    lines.append(f"Moved to {moved.database}; every row was compared, and the audit chain holds ({moved.audit_head}).")
    lines.append(f"The files of before are in {moved.kept}; remove them once the database has its backup.")
    return CommandResult(asdict(moved), lines)


def _told(removed: Removed) -> CommandResult:
    counts = asdict(removed)
    return CommandResult({"removed": counts}, [f"{name}: {count}" for name, count in counts.items()])
