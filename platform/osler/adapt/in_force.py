"""Putting patches in force and taking them out again, with an entry in the audit log for each."""

from __future__ import annotations

from dataclasses import replace

from osler import audit
from osler.adapt.patch import SitePatch, patch_invalid
from osler.adapt.store import PatchStore
from osler.bottleneck.artefact import load_bottleneck, read_record
from osler.explain.service import model_names
from osler.workspace import Workspace

FITTED, APPLIED, REVOKED = "patch.fit", "patch.apply", "patch.revoke"


def note_fitted(workspace: Workspace, patch: SitePatch, actor: str) -> None:
    """Note in the audit log that a patch was fitted; see `osler.audit.record`."""
    _note(workspace, FITTED, patch, actor, "no change" if patch.changes_nothing else ", ".join(patch.kinds))


def put_in_force(workspace: Workspace, patch: SitePatch, *, on: str, actor: str, note: str = "") -> SitePatch:
    """Put a patch in force at its site; the one that was in force for its model there is revoked.

    Args:
        workspace: Holds the patch and the model that it was fitted to.
        patch: The patch.
        on: ISO date of the day.
        actor: Who decides.
        note: Why, for the history.

    Raises:
        OslerError: `patch-invalid` where it changes nothing or belongs to a model or bank that the workspace does not have;
            `patch-expired`; as `osler.audit.record`, and nothing is done then.
    """
    _require_model(workspace, patch, on)
    store = PatchStore(workspace.patches)
    if patch.changes_nothing:
        return store.activate(patch, on, note)  # refuses
    _note(workspace, APPLIED, patch, actor, note)
    return store.activate(patch, on, note)


def take_out_of_force(workspace: Workspace, patch: SitePatch, *, on: str, actor: str, note: str = "") -> SitePatch:
    """Take a patch out of force; it is kept. See `put_in_force`."""
    _note(workspace, REVOKED, patch, actor, note)
    return PatchStore(workspace.patches).revoke(patch, on, note)


def model_of(workspace: Workspace, patch: SitePatch) -> str | None:
    """Return the name of the model that a patch belongs to, None where the workspace has none such."""
    for name in model_names(workspace):
        if read_record(workspace.models / name)["digest"] == patch.model:
            return name
    return None


def _require_model(workspace: Workspace, patch: SitePatch, on: str) -> None:
    name = model_of(workspace, patch)
    if name is None:
        raise patch_invalid(
            f"The patch {patch.id} belongs to model {patch.model[:12]}, and the workspace has none such: it was fitted again, "
            "or removed.",
            "Fit a new patch with `osler adapt`.",
        )
    # A patch that was revoked may come into force again; model, bank and date must hold.
    replace(patch, status="proposed").require_of(load_bottleneck(workspace.models / name), on=on)


def _note(workspace: Workspace, action: str, patch: SitePatch, actor: str, note: str) -> None:
    details = {"site": patch.site, "model": patch.model[:12], "adapter": patch.adapter, "note": note}
    audit.record(workspace, actor=actor, action=action, subject=patch.id, details=details)
