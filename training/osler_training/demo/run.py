"""The demonstration from start to summary."""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from osler.archive import Archive
from osler.banks import BankStore
from osler.tracking import open_tracker
from osler.workspace import Workspace
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError
from osler_knowledge.bank import ConceptBank
from osler_knowledge.propose import build_bank
from osler_knowledge.review import Reviewer
from osler_knowledge.tasks import DEFAULT_TASK
from osler_training.demo.checking import check_models
from osler_training.demo.experiment import PRIOR, adapt, fit_methods, read_setting
from osler_training.demo.hospitals import LATER, REFERENCE, SOURCE, TARGET, demo_nuisance, make_and_ingest
from osler_training.experiments.adaptation import AdaptationRecord
from osler_training.experiments.confounded import leads
from osler_training.recipes.recipe import DemoRecipe

FORMAT = "osler-demo/1"
MARK = "demo.json"

Progress = Callable[[str], None]


class Stopwatch:
    """Seconds spent in each step."""

    def __init__(self) -> None:
        self.steps: dict[str, float] = {}
        self._start = time.perf_counter()

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Time a block."""
        start = time.perf_counter()
        yield
        self.steps[name] = round(time.perf_counter() - start, 1)

    @property
    def total(self) -> float:
        """Seconds since the beginning."""
        return round(time.perf_counter() - self._start, 1)


def recipe_digest(recipe: DemoRecipe) -> str:
    """Return the SHA-256 of a recipe."""
    return hashlib.sha256(recipe.model_dump_json().encode()).hexdigest()


def earlier_summary(workspace: Workspace, recipe: DemoRecipe) -> dict[str, Any] | None:
    """Return the summary of a finished demonstration of the same recipe, or None where the workspace is free for one.

    A demonstration that was broken off is cleared away: all that it holds are phantoms, made again from the seed.

    Raises:
        OslerError: `workspace-occupied` where something else is in the workspace.
    """
    mark = workspace.cache / MARK
    if mark.is_file() and json.loads(mark.read_text(encoding="utf-8"))["recipe"] == recipe_digest(recipe):
        if workspace.summary.is_file():
            return dict(json.loads(workspace.summary.read_text(encoding="utf-8")))
        if {study.site for study in Archive(workspace).studies()} <= {SOURCE, TARGET, REFERENCE, LATER}:
            _clear(workspace)
            return None
    if any(workspace.archive.iterdir()) or any(workspace.models.iterdir()) or workspace.summary.exists():
        raise OslerError(
            Code.WORKSPACE_OCCUPIED,
            f"The workspace {workspace.root} holds something other than this demonstration.",
            "Name another folder with --workspace; nothing in this one was touched.",
        )
    return None


def _clear(workspace: Workspace) -> None:
    for folder in (
        workspace.archive,
        workspace.quarantine,
        workspace.models,
        workspace.patches,
        workspace.artifacts,
        workspace.cache,
    ):
        shutil.rmtree(folder)
        folder.mkdir()
    for path in workspace.root.glob("mlflow.db*"):
        path.unlink()


def run_demo(workspace: Workspace, recipe: DemoRecipe, *, workers: int, progress: Progress) -> dict[str, Any]:
    """Run the demonstration and leave `summary.json` in the workspace; see `earlier_summary` for a second run.

    Args:
        workspace: An open workspace, empty or with the same demonstration.
        recipe: The recipe.
        workers: Worker processes.
        progress: Receives a line a step.
    """
    earlier = earlier_summary(workspace, recipe)
    if earlier is not None:
        progress("This workspace holds the finished demonstration already; its results follow. [demo-finished]")
        return earlier
    (workspace.cache / MARK).write_text(json.dumps({"recipe": recipe_digest(recipe)}), encoding="utf-8")
    watch = Stopwatch()
    with watch.step("phantoms and ingestion"):
        intake = make_and_ingest(workspace, recipe, workers=workers, progress=progress)
    with watch.step("concept bank"):
        progress("building the concept bank from the corpus")
        who = Reviewer("osler", f"{recipe.created}T00:00:00+00:00", "from the shipped corpus")
        bank = BankStore(workspace, DEFAULT_TASK).propose(build_bank(), who).in_use()
    with watch.step("encoding"):
        progress("reading and encoding the images")
        setting = read_setting(workspace, recipe, bank, workers=workers)
    with watch.step("fitting"):
        tracker = open_tracker(workspace)
        fitted = fit_methods(workspace, setting, recipe, tracker, progress)
    with watch.step("checking explanations"):
        check_models(workspace, setting, fitted, recipe, workers=workers, progress=progress)
    with watch.step("adaptation"):
        progress(f"adapting to {TARGET} with {recipe.shots} studies a class")
        adaptation = adapt(workspace, setting, fitted, recipe, tracker)
    summary = {
        "format": FORMAT,
        "data": "phantom",
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "recipe": recipe.name,
        "seed": recipe.seed,
        "encoder": recipe.encoder,
        "nuisance": demo_nuisance(recipe),
        "confounding": recipe.confounding,
        "classes": list(recipe.classes),
        "ingest": intake.to_dict(),
        "bank": _bank_counts(bank),
        "sizes": {name: len(group) for name, group in setting.trial.patients().items()},
        "results": [one.record.to_dict() for one in fitted.values()],
        "leads": {
            name: {key: {"value": one.value, "ci": list(one.ci)} for key, one in by_key.items()}
            for name, by_key in leads(fitted, PRIOR, seed=recipe.seed).items()
        },
        "adaptation": _adaptation_counts(adaptation.record),
        "steps": watch.steps,
        "seconds": watch.total,
    }
    scratch = workspace.summary.with_suffix(".part")
    scratch.write_text(json.dumps(summary, indent=1) + "\n", encoding="utf-8")
    scratch.replace(workspace.summary)
    return summary


def _bank_counts(bank: ConceptBank) -> dict[str, int]:
    return {
        "concepts": len(bank.concepts),
        "with_citation": sum(bool(concept.citation.passage) for concept in bank.concepts),
    }


def _adaptation_counts(record: AdaptationRecord) -> dict[str, Any]:
    return {"site": TARGET, "source": SOURCE, **record.to_dict()}
