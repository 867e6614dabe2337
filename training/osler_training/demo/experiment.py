"""From the archive of the demonstration to fitted methods, and to a patch for the new hospital."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from osler.adapt.adapters.tti_reading import TtiReading
from osler.adapt.store import PatchStore
from osler.bottleneck.artefact import ENCODER, save_bottleneck
from osler.bottleneck.encoders.catalogue import SHIPPED, encoder_folder, open_encoder
from osler.tracking import Tracker
from osler.workspace import Workspace
from osler_knowledge.bank import ConceptBank
from osler_training.demo.hospitals import REFERENCE, SOURCE, TARGET, demo_nuisance
from osler_training.evaluate.splits import split_patients
from osler_training.experiments.adaptation import Adaptation, log_adaptation, run_adaptation
from osler_training.experiments.archived import Sites, archived_trial
from osler_training.experiments.confounded import Fitted, Trial, model_card, run_confounded
from osler_training.fit.bottleneck import BottleneckClassifier
from osler_training.fit.problem import Cohort
from osler_training.phantom.digest import phantom_digest
from osler_training.recipes.recipe import DemoRecipe

Progress = Callable[[str], None]
PRIOR = "bottleneck_prior"


@dataclass(frozen=True)
class Setting:
    """The trial, and the studies of the new hospital that may be labelled to adapt to it."""

    trial: Trial
    support_pool: Cohort


def read_setting(workspace: Workspace, recipe: DemoRecipe, bank: ConceptBank, *, workers: int) -> Setting:
    """Read the trial from the archive, and set studies of hospital B apart for adaptation."""
    trial = archived_trial(
        workspace,
        recipe,
        Sites(SOURCE, TARGET, REFERENCE),
        label=recipe.label,
        splits=recipe.splits,
        bank=bank,
        encoder=open_encoder(recipe.encoder, sha256=recipe.encoder_sha256),
        provenance={
            "data": "phantoms",
            "phantom_digest": phantom_digest(),
            "nuisance": demo_nuisance(recipe),
            "confounding": recipe.confounding,
            "recipe": recipe.name,
            "encoder": recipe.encoder,
        },
        workers=workers,
    )
    target = trial.target_test
    shares = {"support": recipe.support_share, "test": 1 - recipe.support_share}
    parts = split_patients(target.patients, target.y, shares, seed=recipe.seed)
    return Setting(replace(trial, target_test=target.rows(parts["test"])), target.rows(parts["support"]))


def fit_methods(
    workspace: Workspace, setting: Setting, recipe: DemoRecipe, tracker: Tracker, progress: Progress
) -> dict[str, Fitted]:
    """Fit every method of the recipe, log it, and keep the bottlenecks as models of the workspace."""
    fitted = run_confounded(setting.trial, recipe.methods, seed=recipe.seed, tracker=tracker, progress=progress)
    for name, one in fitted.items():
        if isinstance(one.classifier, BottleneckClassifier):
            model = save_bottleneck(
                one.classifier.pipeline, workspace.models / name, card=model_card(setting.trial, one)
            )
            if recipe.encoder not in SHIPPED:  # whoever opens the model finds its encoder beside it
                shutil.copytree(encoder_folder(recipe.encoder).path, model / ENCODER, dirs_exist_ok=True)
    return fitted


def adapt(
    workspace: Workspace, setting: Setting, fitted: dict[str, Fitted], recipe: DemoRecipe, tracker: Tracker
) -> Adaptation:
    """Adapt the bottleneck with prior to hospital B; the patch of the first draw goes into force in the workspace."""
    classifier = fitted[PRIOR].classifier
    if not isinstance(classifier, BottleneckClassifier):
        raise TypeError(f"{PRIOR} is not a bottleneck")
    adaptation = run_adaptation(
        classifier.pipeline,
        TtiReading(),
        setting.support_pool,
        setting.trial.target_test,
        setting.trial.source_test,
        site=TARGET,
        created=recipe.created,
        shots=recipe.shots,
        draws=recipe.draws,
        seed=recipe.seed,
    )
    log_adaptation(adaptation, tracker, _adaptation_params(setting, recipe))
    store, first = PatchStore(workspace.patches), adaptation.patches[0]
    store.save(first)
    if not first.changes_nothing:
        store.activate(first, recipe.created, "put in force by the demonstration")
    return adaptation


def _adaptation_params(setting: Setting, recipe: DemoRecipe) -> dict[str, Any]:
    return {
        "adapter": "tti_reading",
        "site": TARGET,
        "shots": recipe.shots,
        "draws": recipe.draws,
        "seed": recipe.seed,
        **setting.trial.provenance,
    }
