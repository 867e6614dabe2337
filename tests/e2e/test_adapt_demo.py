"""Somebody who never saw Osler adapts the demonstration's model to hospital C: by three commands alone, by the dashboard alone."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from osler.adapt.store import PatchStore
from osler.archive import Archive
from osler.audit import entries
from osler.explain.service import StudyExplainer
from osler.tracking import open_tracker
from osler.workspace import Workspace

SITE, MODEL = "hospital_c", "bottleneck_prior"


@pytest.fixture
def workspace(demo: Path, tmp_path: Path) -> Workspace:
    """The finished demonstration, to change."""
    shutil.copytree(demo / "workspace", tmp_path / "workspace", ignore=shutil.ignore_patterns("phantoms"))
    return Workspace.open(tmp_path / "workspace")


@pytest.fixture
def told(workspace: Workspace, osler: Any) -> Callable[..., dict[str, Any]]:
    """The command on that workspace."""

    def run(*words: str, expect: int = 0) -> dict[str, Any]:
        done = osler(*words, "--workspace", str(workspace.root), "--json", expect=expect)
        return dict(json.loads(done.stdout))

    return run


def first_study(workspace: Workspace, site: str) -> str:
    archive = Archive(workspace)
    return next(study.uid for study in archive.studies(site) if archive.image(study))


def tracked(workspace: Workspace, patch: str) -> list[Any]:
    client = open_tracker(workspace).client
    experiments = [one.experiment_id for one in client.search_experiments()]
    return list(client.search_runs(experiments, filter_string=f"tags.patch = '{patch}'"))


def test_three_commands_adapt_the_model(told: Callable[..., dict[str, Any]], workspace: Workspace) -> None:
    here, elsewhere = first_study(workspace, SITE), first_study(workspace, "hospital_a")
    archive = Archive(workspace)
    studies = sum(archive.image(study) is not None for study in archive.studies(SITE))
    # What an explanation says of other studies is of those that were encoded: here all, before and after.
    told("evaluate", "--site", SITE, "--model", MODEL, "--replicates", "20")
    before = {uid: told("explain", uid, "--model", MODEL) for uid in (here, elsewhere)}
    words = ("adapt", "--site", SITE, "--model", MODEL, "--adapter", "anchored_head")
    proposed = told(*words)
    patch = proposed["patch"]
    assert patch["shots"] == {"heart_failure": 4, "pneumonia": 4}
    assert proposed["unlabelled"] == {"studies": studies, "unmeasured": 0}
    applied = told("patch", "apply", patch["id"], "--note", "first weeks")["patch"]
    assert applied["status"] == "active"
    answer = told("evaluate", "--site", SITE, "--model", MODEL, "--patch", patch["id"], "--replicates", "20")
    assert answer["n"] == studies
    now = told("explain", here, "--model", MODEL)
    assert now["patch"]["id"] == patch["id"]
    assert now["finding"] != before[here]["finding"]
    assert told("explain", elsewhere, "--model", MODEL) == before[elsewhere]
    told("patch", "revoke", patch["id"], "--note", "done")
    assert told("explain", here, "--model", MODEL) == before[here]
    log = [one.action for one in entries(workspace) if one.subject == patch["id"]]
    assert log[-3:] == ["patch.fit", "patch.apply", "patch.revoke"]
    assert [run.data.params["model"] for run in tracked(workspace, patch["id"])] == [MODEL]


def test_the_recommended_adapter_answers_and_says_what_to_do_next(
    told: Callable[..., dict[str, Any]], workspace: Workspace, osler: Any
) -> None:
    patch = told("adapt", "--site", SITE, "--model", MODEL, "--no-tracking")["patch"]
    shown = osler("patch", "show", patch["id"], "--workspace", str(workspace.root)).stdout
    if patch["kinds"]:
        assert f"osler patch apply {patch['id']}" in shown
        assert told("patch", "apply", patch["id"])["patch"]["status"] == "active"
    else:
        assert "Nothing needs to be done" in shown
        assert patch["reason"].startswith("No change: ")
        assert told("patch", "apply", patch["id"], expect=1)["error"]["code"] == "patch-invalid"


def test_the_source_is_not_taken_for_a_new_site(told: Callable[..., dict[str, Any]]) -> None:
    error = told("adapt", "--site", "hospital_a", "--model", MODEL, "--no-tracking", expect=1)["error"]
    assert error["code"] == "support-insufficient"
    assert "is its source" in error["message"]


@pytest.mark.system
def test_the_dashboard_alone_adapts_the_model(workspace: Workspace, tmp_path: Path) -> None:
    from osler_dashboard.screenshots import photograph_adapting

    pictures = photograph_adapting(workspace.root, tmp_path / "pictures", "Hospital C", "Ada Lovelace")
    assert [path.name for path in pictures] == ["adapt-moved.png", "adapt-proposal.png", "adapt-in-force.png"]
    digest = StudyExplainer(workspace, MODEL).pipeline.digest
    (patch,) = [one for one in PatchStore(workspace.patches).all() if (one.site, one.model) == (SITE, digest)]
    assert patch.author == "Ada Lovelace"
    assert patch.expires is not None
    assert patch.changes_nothing or patch.status == "active"
    assert {one.actor for one in entries(workspace) if one.subject == patch.id} == {"Ada Lovelace"}
