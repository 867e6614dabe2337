"""Checking a model where it lies: its files, its encoder, and what was fitted to it at sites."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from osler import audit
from osler.adapt.patch import SitePatch
from osler.bottleneck.artefact import read_record
from osler.calibrate.record import SiteCalibration
from osler.exchange.service import opened_model, require_name
from osler.explain.service import model_names
from osler.workspace import Workspace
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError
from osler_knowledge.bank import ConceptBank


@dataclass(frozen=True)
class Check:
    """What was looked at, by its path in the workspace, and why it is refused; None where it is sound."""

    what: str
    error: OslerError | None = None


def verify_model(workspace: Workspace, name: str) -> list[Check]:
    """Check a model, everything in the workspace that can change what it says, and the log of who changed what.

    Returns:
        One check a file or part, in a fixed order.

    Raises:
        OslerError: As `own_checks`.
    """
    log = _check(f"feedback/{audit.LOG}", lambda: _log(workspace))
    return [*own_checks(workspace, name), *bank_checks(workspace), log]


def own_checks(workspace: Workspace, name: str) -> list[Check]:
    """Check a model's folder, and what was fitted to it at sites.

    Returns:
        The folder first. A patch or calibration that cannot be read is listed whatever its model: it may be this one's.

    Raises:
        OslerError: `model-invalid` where there is no such model; `usage` for a name that none can have.
    """
    if require_name(name) not in model_names(workspace):
        raise OslerError(
            Code.MODEL_INVALID,
            f"The workspace has no model {name!r}.",
            f"It has: {', '.join(model_names(workspace)) or 'none'}.",
        )
    folder = workspace.models / name
    checks = [_check(f"models/{name}", lambda: opened_model(folder))]
    try:
        digest = str(read_record(folder)["digest"])
    except OslerError:
        digest = ""
    checks += _files(workspace.patches, digest, SitePatch.load)
    checks += _files(workspace.calibrations, digest, SiteCalibration.load)
    return checks


def bank_checks(workspace: Workspace) -> list[Check]:
    """Check the concept banks of a workspace."""
    paths = sorted(workspace.knowledge.glob("*.json"))
    return [_check(f"knowledge/{path.name}", partial(ConceptBank.load, path)) for path in paths]


def _check(what: str, look: Callable[[], object]) -> Check:
    try:
        look()
    except OslerError as error:
        return Check(what, error)
    return Check(what)


def _files(folder: Path, model: str, load: Callable[[Path], SitePatch | SiteCalibration]) -> Iterator[Check]:
    for path in sorted(folder.glob("*.json")):
        what = f"{folder.name}/{path.name}"
        try:
            if load(path).model in (model, ""):
                yield Check(what)
        except OslerError as error:
            yield Check(what, error)


def _log(workspace: Workspace) -> None:
    found = audit.verify(workspace)
    if found.fault is not None:
        raise OslerError(
            Code.AUDIT_BROKEN, f"Entry {found.entry} of {audit.LOG}: {found.fault}", "Run `osler audit verify`."
        )
