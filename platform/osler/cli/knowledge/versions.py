"""`osler knowledge versions | diff | export | import`: the life of a bank, and its way between workspaces."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from osler.cli.command import CommandResult
from osler.cli.knowledge.common import add_action
from osler.cli.knowledge.review import add_reviewer, opened, payload_of, reviewer

if TYPE_CHECKING:
    from osler.banks import BankStore
    from osler_knowledge.bank import ConceptBank


def declare(actions: Any) -> None:
    """Declare the actions."""
    add_action(actions, "versions", "list the versions of the bank with who changed what, when and why", _versions)
    comparing = add_action(actions, "diff", "say in words what changed between two versions, or two files", _diff)
    comparing.add_argument("old", metavar="OLD", help="number of a version, or a file")
    comparing.add_argument("new", metavar="NEW", nargs="?", help="another (default: the bank at hand)")
    exporting = add_action(actions, "export", "write the bank to a file", _export)
    exporting.add_argument("file", type=Path, metavar="FILE")
    exporting.add_argument("--version", type=int, metavar="N", help="this version (default: the one at hand)")
    importing = add_action(actions, "import", "check a bank's file and keep it in the workspace", _import)
    importing.add_argument("file", type=Path, metavar="FILE")
    add_reviewer(importing, reason=False)


def _versions(arguments: argparse.Namespace) -> CommandResult:
    from dataclasses import asdict

    from osler_knowledge.diff import told
    from osler_knowledge.review import notice

    store = opened(arguments)
    bank, kept = store.load(), store.versions()
    lines = []
    for version in sorted({*kept, *(one.version for one in bank.history)}):
        lines.append(f"version {version}" + ("" if version in kept else " (its file is not in this workspace)"))
        lines += [f"  {one.time} {one.by}: {told(one)}" for one in bank.history if one.version == version]
    models = fitted_on(store)
    lines += [f"model {name}: fitted on version {version}" for name, version in models.items()]
    record = {"versions": kept, "history": [asdict(one) for one in bank.history], "models": models}
    return CommandResult(payload_of(bank) | record, [*lines, notice(bank)])


def fitted_on(store: BankStore) -> dict[str, int]:
    """Return the version of this bank that each model of the workspace was fitted on."""
    from osler_contracts.errors import OslerError
    from osler_knowledge.bank import ConceptBank

    name, found = store.load().name, {}
    for path in sorted(store.workspace.models.glob("*/bank.json")):
        try:
            held = ConceptBank.load(path)
        except OslerError:
            continue  # opening that model says so
        if held.name == name:
            found[path.parent.name] = held.version
    return found


def _diff(arguments: argparse.Namespace) -> CommandResult:
    from osler_knowledge.diff import differences

    old, new = _named(arguments, arguments.old), _named(arguments, arguments.new)
    found = differences(old, new)
    payload = {"old": old.version, "new": new.version, "differences": found}
    return CommandResult(payload, found or ["Nothing differs."])


def _named(arguments: argparse.Namespace, text: str | None) -> ConceptBank:
    from osler_knowledge.bank import ConceptBank

    if text is None or text.isdecimal():
        return opened(arguments).load(int(text) if text else None)
    return ConceptBank.load(Path(text))


def _export(arguments: argparse.Namespace) -> CommandResult:
    from osler.files import write_atomically
    from osler_contracts.errors import from_os_error

    bank = opened(arguments).load(arguments.version)
    try:
        write_atomically(arguments.file, bank.to_json().encode())
    except OSError as error:
        raise from_os_error(error) from None
    line = f"Version {bank.version}, {len(bank.concepts)} concepts: {arguments.file}"
    return CommandResult(payload_of(bank) | {"file": str(arguments.file)}, [line])


def _import(arguments: argparse.Namespace) -> CommandResult:
    from osler.banks import BankStore
    from osler.workspace import Workspace
    from osler_knowledge.bank import ConceptBank
    from osler_knowledge.review import notice

    brought = ConceptBank.load(arguments.file)
    store = BankStore(Workspace.open(arguments.workspace, create=True), arguments.task)
    bank = store.bring(brought, reviewer(arguments))
    line = f"Version {bank.version} of {bank.name}, {len(bank.concepts)} concepts: {store.path}"
    return CommandResult(payload_of(bank), [line, notice(bank)])
