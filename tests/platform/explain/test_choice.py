"""Which model explains where nobody names one."""

from __future__ import annotations

import pytest

from osler.explain.choice import PREFERRED_MODEL, chosen_model
from osler.workspace import Workspace
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError


def _with(workspace: Workspace, *names: str) -> Workspace:
    for name in names:
        (workspace.models / name).mkdir()
        (workspace.models / name / "bottleneck.json").write_text("{}")
    return workspace


def test_the_one_with_a_prior_then_the_first_unless_one_is_named(workspace: Workspace) -> None:
    _with(workspace, "b", "a")
    assert chosen_model(workspace) == "a"
    _with(workspace, PREFERRED_MODEL)
    assert chosen_model(workspace) == PREFERRED_MODEL
    assert chosen_model(workspace, "b") == "b"
    assert chosen_model(workspace, "") == PREFERRED_MODEL


def test_none_and_an_unknown_one_are_told_apart_and_names_that_were_sent_are_not_repeated(workspace: Workspace) -> None:
    with pytest.raises(OslerError) as caught:
        chosen_model(workspace, "x")
    assert caught.value.code is Code.WORKSPACE_INVALID
    with pytest.raises(OslerError) as caught:
        chosen_model(_with(workspace, "a"), "Doe^Jane")
    assert (caught.value.code, "Doe" in str(caught.value), caught.value.mend) == (
        Code.UNKNOWN_MODEL,
        False,
        "It has: a.",
    )
