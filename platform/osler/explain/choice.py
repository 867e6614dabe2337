"""Which model of a workspace explains where nobody names one: the same for pages, programs and doctors."""

from __future__ import annotations

from osler.explain.service import model_names
from osler.workspace import Workspace
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

PREFERRED_MODEL = "bottleneck_prior"


def chosen_model(workspace: Workspace, asked: str | None = None) -> str:
    """Return the model that was asked for, else the one fitted with a prior, else the first by name.

    Raises:
        OslerError: `workspace-invalid` where there is none, `unknown-model` where not the one asked for.
    """
    names = model_names(workspace)
    if not names:
        raise OslerError(
            Code.WORKSPACE_INVALID, "There is no model here yet.", "Run `osler demo`, or fit a bottleneck."
        )
    if asked and asked not in names:  # the name is not repeated: it may be anything that a caller sent
        raise OslerError(Code.UNKNOWN_MODEL, "The workspace has no such model.", f"It has: {', '.join(names)}.")
    return asked or (PREFERRED_MODEL if PREFERRED_MODEL in names else names[0])
