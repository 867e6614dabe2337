"""`osler model`: models that leave a workspace and enter another, every file under its hash."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from osler.cli.command import CommandResult, add_workspace

if TYPE_CHECKING:
    from osler.exchange.manifest import Manifest
    from osler.workspace import Workspace

SUMMARY = "export, import, verify or list the models of a workspace"
ACTIONS = {
    "export": "write a model as one zip or folder, every file under its hash",
    "import": "take the model of such a zip or folder into the workspace, whole or not at all",
    "verify": "check a zip or folder, or a model of the workspace with its patches, calibrations and bank",
    "list": "list the models of the workspace",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the actions of `osler model`."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    parsers = {name: actions.add_parser(name, help=text, description=text) for name, text in ACTIONS.items()}
    _add_export(parsers["export"])
    parsers["import"].add_argument("file", type=Path, metavar="FILE", help="a zip or a folder")
    parsers["import"].add_argument("--name", help="name to give it (default: the one it was exported under)")
    parsers["verify"].add_argument("what", metavar="FILE|MODEL", help="a zip, a folder, or a model of the workspace")
    for name in ("import", "verify"):
        parsers[name].add_argument("--sha256", metavar="HEX", help="digest of the package, as `export` told its sender")
    for name in ("export", "import"):
        parsers[name].add_argument("--author", metavar="NAME", help="who does it (default: your account)")
    for one in parsers.values():
        add_workspace(one)


def _add_export(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", help="a model of the workspace")
    parser.add_argument("--to", type=Path, required=True, metavar="FILE", help="a .zip, or a folder, not there yet")
    parser.add_argument("--monai-bundle", action="store_true", help="lay it out so that MONAI's tools open it too")
    parser.add_argument("--licence", default="", metavar="TEXT", help="the model's licence, such as Apache-2.0")
    parser.add_argument("--encoder-licence", default="", metavar="TEXT", help="licence of weights that you imported")


def run(arguments: argparse.Namespace) -> CommandResult:
    """Do one action."""
    from osler.workspace import Workspace

    if arguments.action == "verify" and Path(arguments.what).exists():
        return _verify_package(Path(arguments.what), arguments.sha256)
    workspace = Workspace.open(arguments.workspace, create=arguments.action == "import")
    actions = {"export": _export, "import": _import, "verify": _verify_model, "list": _list}
    return actions[arguments.action](workspace, arguments)


def _export(workspace: Workspace, arguments: argparse.Namespace) -> CommandResult:
    from osler.cli.people import account
    from osler.exchange.licences import Terms
    from osler.exchange.service import export_model

    manifest = export_model(
        workspace,
        arguments.model,
        arguments.to,
        actor=arguments.author or account(),
        terms=Terms(arguments.licence, arguments.encoder_licence),
        bundle=arguments.monai_bundle,
    )
    lines = [f"{arguments.to}: {_told(manifest)}", f"SHA-256 of the package: {manifest.digest}", *_unstated(manifest)]
    if manifest.encoder_name:
        lines.append(f"Its encoder {manifest.encoder_name} comes with Osler and is named, not carried.")
    lines.append(f"Next: osler model import {arguments.to.name} --sha256 {manifest.digest}")
    return CommandResult({"file": str(arguments.to), **_record(manifest)}, lines)


def _import(workspace: Workspace, arguments: argparse.Namespace) -> CommandResult:
    from osler.cli.people import account
    from osler.exchange.service import import_model

    done = import_model(
        workspace,
        arguments.file,
        actor=arguments.author or account(),
        name=arguments.name,
        sha256=arguments.sha256,
    )
    state = "taken in" if done.fresh else "was there already, the very same; nothing was changed"
    lines = [f"{done.folder.name}: {state}. {_told(done.manifest)}", *_unstated(done.manifest)]
    lines.append(f"Next: osler explain --model {done.folder.name}")
    return CommandResult({"model": done.folder.name, "fresh": done.fresh, **_record(done.manifest)}, lines)


def _verify_package(path: Path, sha256: str | None) -> CommandResult:
    import tempfile

    from osler.exchange.service import checked_package

    with (
        tempfile.TemporaryDirectory() as scratch,
        checked_package(path, Path(scratch), sha256) as (_, manifest),
    ):
        lines = [f"{path}: sound. {_told(manifest)}", f"SHA-256 of the package: {manifest.digest}"]
        return CommandResult({"file": str(path), "sound": True, **_record(manifest)}, [*lines, *_unstated(manifest)])


def _verify_model(workspace: Workspace, arguments: argparse.Namespace) -> CommandResult:
    from osler.exchange.verify import verify_model

    found = verify_model(workspace, arguments.what)
    faults = [one for one in found if one.error is not None]
    lines = [f"{one.what}: {'sound' if one.error is None else one.error.message}" for one in found]
    lines.append(f"{len(faults)} of {len(found)} are not sound." if faults else "All sound.")
    payload = {
        "model": arguments.what,
        "sound": not faults,
        "checks": [{"what": one.what, "error": one.error and one.error.to_dict()} for one in found],
    }
    return CommandResult(payload, lines, failed=bool(faults))


def _list(workspace: Workspace, _: argparse.Namespace) -> CommandResult:
    from osler.bottleneck.artefact import read_record
    from osler.explain.service import model_names
    from osler_contracts.errors import OslerError

    rows = []
    for name in model_names(workspace):
        try:
            record = read_record(workspace.models / name)
            rows.append({"name": name, "digest": record["digest"], "classes": record["classes"], "error": None})
        except OslerError as error:
            rows.append({"name": name, "digest": None, "classes": [], "error": error.to_dict()})
    lines = [
        f"{row['name']:24} {row['digest'][:12]}  {' or '.join(row['classes'])}"
        if row["digest"]
        else f"{row['name']:24} {row['error']['message']}"
        for row in rows
    ]
    return CommandResult({"models": rows}, lines or ["The workspace has no model."])


def _told(manifest: Manifest) -> str:
    size = sum(one.bytes for one in manifest.files.values())
    return f"Model {manifest.model[:12]}, {len(manifest.files)} files, {size / 1e6:.1f} MB."


def _unstated(manifest: Manifest) -> list[str]:
    parts = [one.part for one in manifest.licences if not one.terms]
    return [f"Licence not stated: {', '.join(parts)}."] if parts else []


def _record(manifest: Manifest) -> dict[str, object]:
    return {"package": manifest.digest, "manifest": manifest.record}
