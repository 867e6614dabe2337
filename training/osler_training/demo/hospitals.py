"""The phantom hospitals of the demonstration, made as DICOM files and taken in through the same gate as any others."""

from __future__ import annotations

import csv
import hashlib
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from osler.archive import Outcome
from osler.ingest import ingest
from osler.ingest.summary import IngestSummary
from osler.workspace import Workspace
from osler_training.phantom.generate import generate_site
from osler_training.phantom.nuisance import held_out
from osler_training.phantom.plan import StudyPlan, confounded_plan, mixed_plan
from osler_training.recipes.recipe import DemoRecipe

SOURCE, TARGET, REFERENCE, LATER = "hospital_a", "hospital_b", "reference", "hospital_c"
CONTRACT = "chest-radiograph"

Progress = Callable[[str], None]


@dataclass
class Intake:
    """What became of all files of the demonstration.

    Attributes:
        summaries: The summary of each site.
        unexpected: Files whose outcome or code is not the one that was planted, by `expected -> found`.
    """

    summaries: dict[str, IngestSummary] = field(default_factory=dict)
    unexpected: Counter[str] = field(default_factory=Counter)

    def to_dict(self) -> dict[str, object]:
        """Return the totals over the sites as JSON."""
        every = self.summaries.values()
        reasons = sum((one.by_reason for one in every), Counter[str]())
        return {
            "received": sum(one.received for one in every),
            "accepted": sum(one.accepted for one in every),
            "quarantined": sum(one.quarantined for one in every),
            "duplicates": sum(one.duplicates for one in every),
            "by_reason": dict(sorted(reasons.items())),
            "unexpected": dict(sorted(self.unexpected.items())),
        }


def demo_nuisance(recipe: DemoRecipe) -> str:
    """Return the nuisance of a recipe; `held_out` draws it by the recipe's seed from those the encoder never saw."""
    return held_out(recipe.seed).name if recipe.nuisance == "held_out" else recipe.nuisance


def demo_plans(recipe: DemoRecipe) -> dict[str, list[StudyPlan]]:
    """Return which studies each site holds: the nuisance goes with the first class at A, with the others at B.

    Hospital C comes later: nothing is fitted or measured on it, and whoever reads the results may adapt to it.
    """
    nuisance, classes = demo_nuisance(recipe), recipe.classes
    later = {LATER: mixed_plan(recipe.later_studies, classes, recipe.seed + 3)} if recipe.later_studies else {}
    sites = {
        REFERENCE: mixed_plan(recipe.reference_studies, recipe.reference_diagnoses, recipe.seed),
        SOURCE: confounded_plan(recipe.source_studies, classes, nuisance, recipe.confounding, seed=recipe.seed + 1),
        TARGET: confounded_plan(
            recipe.target_studies, classes, nuisance, recipe.confounding, reversed=True, seed=recipe.seed + 2
        ),
    }
    return sites | later


def make_and_ingest(workspace: Workspace, recipe: DemoRecipe, *, workers: int, progress: Progress) -> Intake:
    """Make the files of every site and ingest them.

    Phantoms have no secrets, so that the key of their pseudonyms follows from the recipe's seed: the same seed gives the
    same pseudonyms, splits and figures.
    """
    key = hashlib.sha256(f"phantom key {recipe.seed}".encode()).digest()
    intake = Intake()
    for site, plans in demo_plans(recipe).items():
        folder = workspace.cache / "phantoms" / site
        progress(f"making {len(plans)} studies of {site}")
        made = generate_site(
            site,
            plans,
            folder,
            size=recipe.render_size,
            workers=workers,
            spoil=recipe.spoiled,
            seed=recipe.seed,
        )
        progress(f"taking in {site}")
        found: dict[str, tuple[str, str]] = {}
        intake.summaries[site] = ingest(
            folder,
            site=site,
            workspace=workspace,
            contract=CONTRACT,
            key=key,
            workers=workers,
            labels=made.labels,
            on_file=_recorder(folder, found),
        )
        intake.unexpected += _unexpected(made.truth, found)
    return intake


def _recorder(folder: Path, found: dict[str, tuple[str, str]]) -> Callable[[Path, Outcome, str], None]:
    def record(path: Path, outcome: Outcome, code: str) -> None:
        found[path.relative_to(folder).as_posix()] = (str(outcome), "" if outcome is Outcome.ACCEPTED else str(code))

    return record


def _unexpected(truth: Path, found: Mapping[str, tuple[str, str]]) -> Counter[str]:
    """Compare what became of each file with what was planted."""
    wrong: Counter[str] = Counter()
    with truth.open(encoding="utf-8", newline="") as stream:
        expected = {row["file"]: (row["expected_outcome"], row["expected_code"]) for row in csv.DictReader(stream)}
    for name in expected.keys() | found.keys():
        planted, got = expected.get(name, ("absent", "")), found.get(name, ("absent", ""))
        if planted != got:
            wrong[f"{' '.join(planted).strip()} -> {' '.join(got).strip()}"] += 1
    return wrong
