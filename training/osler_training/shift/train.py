"""One cell of a recipe as a model of a workspace."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from osler.bottleneck.correction import FittedCorrection
from osler.bottleneck.feature_cache import stacked
from osler.bottleneck.pipeline import Pipeline
from osler.bottleneck.records import Array
from osler.bottleneck.site_images import LazyImages
from osler.explain.validation import Validation
from osler.workspace import Workspace
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError
from osler_training.evaluate.explanations import Seen, validate
from osler_training.evaluate.records import Records
from osler_training.fit.bottleneck import BottleneckClassifier
from osler_training.fit.corrections import corrected, with_class_prior
from osler_training.fit.methods import fit_method
from osler_training.fit.probe import Probe
from osler_training.fit.problem import Classifier
from osler_training.shift.cell import predicted
from osler_training.shift.features import batches_of, chosen_corrections, needs_tokens
from osler_training.shift.lab import Lab, open_lab
from osler_training.shift.lines import RecipeFile
from osler_training.shift.markup import NOTICE
from osler_training.shift.models import Model, save_model
from osler_training.shift.plan import Cell
from osler_training.shift.problems import Encoded, Setting
from osler_training.shift.recipe import OWN, ShiftRecipe
from osler_training.shift.scores import site_scores


@dataclass(frozen=True)
class Trained:
    """A model that was stored.

    Attributes:
        folder: Its folder.
        digest: Its digest.
        scores: Figures on the test part of its source.
        card: Its card.
        notes: Where it comes from.
    """

    folder: Path
    digest: str
    scores: dict[str, Any]
    card: str
    notes: dict[str, Any]


def narrowed(file: RecipeFile, cell: Cell) -> RecipeFile:
    """Return the recipe of one cell: no target is opened, nor needed."""
    recipe = file.recipe
    for kind, name, known in (
        ("source", cell.source, recipe.source),
        ("encoder", cell.encoder, recipe.encoders),
        ("preprocessing", cell.preprocessing, recipe.preprocessing),
        ("method", cell.method, recipe.methods),
    ):
        if name not in known:
            raise OslerError(
                Code.USAGE,
                f"The recipe has no {kind} {name!r}.",
                f"Use one of {', '.join(known)}, or add it to {file.path}.",
            )
    sites = {cell.source} | ({recipe.reference} - {OWN})
    update = {
        "source": (cell.source,),
        "targets": (),
        "seed": cell.seed,
        "seeds": 1,
        "data": {name: recipe.data[name] for name in sites},
        "encoders": {cell.encoder: recipe.encoders[cell.encoder]},
        "preprocessing": {cell.preprocessing: recipe.preprocessing[cell.preprocessing]},
        "methods": {cell.method: recipe.methods[cell.method]},
    }
    return replace(file, recipe=recipe.model_copy(update=update))


def train(
    file: RecipeFile,
    cell: Cell,
    workspace: Workspace,
    name: str,
    *,
    cache: Path | None = None,
    progress: Callable[[str], None] = lambda line: None,
) -> Trained:
    """Fit one cell of a recipe and store it with its card.

    Args:
        file: The recipe.
        cell: Which cell.
        workspace: Where the model goes.
        name: Its name.
        cache: Folder of the feature cache; the workspace's by default.
        progress: Receives lines.

    Raises:
        OslerError: Whatever is wrong, before anything is fitted; `model-invalid` where the method makes nothing that can be
            stored.
    """
    file = narrowed(file, cell)
    progress("looking at recipe, data and split")
    lab, encoders = open_lab(file)
    encoder, parts = encoders[cell.encoder], lab.parts[cell.source, cell.seed]
    progress("encoding")
    fitted: list[FittedCorrection] | None = None
    encoded = {}
    for batch in batches_of(file.recipe, lab.sites, parts):
        images = lab.sites[batch.site].images.rows(batch.rows)
        chosen = chosen_corrections(file.recipe, cell.preprocessing)
        features, fitted = corrected(
            encoder, images, chosen, fitted, cache or workspace.cache, tokens=needs_tokens(file.recipe)
        )
        encoded[batch.name] = Encoded(batch.site, batch.rows, features)
    setting = Setting(file.recipe, lab.sites, parts, encoded, lab.bank, encoder)
    entry = file.recipe.methods[cell.method]
    progress(f"fitting {cell.method}")
    classifier = fit_method(entry.method or cell.method, setting.problem, entry.options, seed=cell.seed)
    y = setting.problem.train.y
    prior = np.bincount(y, minlength=len(file.recipe.classes)) / len(y)
    corrections = with_class_prior(fitted or [], prior)
    head = {"model": name, "split_digest": parts.digest, "bank_digest": lab.bank.digest, "seed": cell.seed}
    rows = parts.tests[next(iter(parts.tests))][1]
    test = predicted(classifier, setting, encoded["source"], rows, corrections, prior, head)
    scores = site_scores(test, seed=cell.seed, replicates=file.recipe.replicates)
    notes = notes_of(lab, cell, test, scores)
    progress("measuring what a site's own look can be corrected by")
    part = with_references(storable(classifier), setting)
    stored = Model(
        name,
        part,
        file.recipe.classes,
        encoder.digest,
        tuple(corrections),
        prior,
        notes,
        "",
    )
    folder = workspace.models / name
    card = card_of(lab, cell, notes, prior, scores)
    encoder_name = file.recipe.encoders[cell.encoder].path or cell.encoder
    digest = save_model(stored, folder, card=card, encoder=encoder_name)
    if isinstance(part, Pipeline):
        progress("checking which signs may be called present")
        checked(part, setting).save(folder)
    return Trained(folder, digest, scores, card, notes)


def storable(classifier: Classifier) -> Any:
    """Return the part of a fitted method that can be stored.

    Raises:
        OslerError: `model-invalid`.
    """
    if isinstance(classifier, BottleneckClassifier):
        return classifier.pipeline
    if isinstance(classifier, Probe):
        return classifier
    raise OslerError(
        Code.MODEL_INVALID,
        f"A {type(classifier).__name__} cannot be stored: only bottlenecks and linear probes can.",
        "Use another method, or `osler shift run`, which scores it without storing it.",
    )


def with_references(part: Any, setting: Setting) -> Any:
    """Return a bottleneck that also remembers the look of its training images and the mixture of their features.

    A patch can then bring a site to them; by themselves they change nothing. What has no concepts is returned as it is, and a
    reference that cannot be measured, as where some images are grey and some in colour, is left out.
    """
    if not isinstance(part, Pipeline):
        return part
    site, rows = setting.sites[setting.parts.source], setting.parts.fit["train"]
    images = LazyImages(lambda place: site.images.load(int(rows[place])), len(rows))
    made = list(part.references)
    for name, batch in (("image_moments", images), ("mixture_alignment", setting.problem.train.features)):
        with suppress(OslerError):
            made.append(FittedCorrection.at_source(name, batch))
    return replace(part, references=tuple(made))


def checked(pipeline: Pipeline, setting: Setting) -> Validation:
    """Check every concept on what annotators say of the select and calibrate parts, on which no concept was learned.

    Where nobody annotated them, nothing may be called present, and explanations say so; no mask is known, so no map is shown.
    """
    site, parts = setting.sites[setting.parts.source], ("select", "calibrate")
    rows = np.concatenate([setting.parts.fit[name] for name in parts])
    cohorts = (setting.problem.select, setting.problem.calibrate)
    patients = tuple(patient for one in cohorts for patient in one.patients)
    held = Seen(stacked([one.features for one in cohorts]), site.concepts(pipeline.bank.ids)[rows], patients)
    return validate(pipeline, held, f"held-out images of {setting.parts.source}")


def notes_of(lab: Lab, cell: Cell, test: Records, scores: dict[str, Any]) -> dict[str, Any]:
    """Return what a model remembers of where it comes from."""
    goal = scores[lab.recipe.goal_metric]
    site = lab.sites[cell.source]
    return {
        "recipe": lab.recipe.name,
        "method": cell.method,
        "encoder": cell.encoder,
        "preprocessing": cell.preprocessing,
        "seed": cell.seed,
        "source": cell.source,
        "split": lab.parts[cell.source, cell.seed].digest,
        "bank_version": lab.bank.version,
        "channels": "grey" if site.images.load(0).ndim == 2 else "colour",
        "phantom": lab.recipe.phantom,
        "patients_known": bool(site.images.table["patient_known"].all()),
        "id": {
            "metric": lab.recipe.goal_metric,
            "n": len(test),
            **{key: goal[key] for key in ("value", "ci_low", "ci_high")},
        },
    }


def card_of(lab: Lab, cell: Cell, notes: dict[str, Any], prior: Array, scores: dict[str, Any]) -> str:
    """Return the card: what it is, what it was fitted on, what it reached, and what nobody measured."""
    recipe: ShiftRecipe = lab.recipe
    goal = notes["id"]
    corrections = ", ".join(name for name, _ in chosen_corrections(recipe, cell.preprocessing)) or "none"
    mix = ", ".join(f"{name} {share:.2f}" for name, share in zip(recipe.classes, prior, strict=True))
    sizes = ", ".join(f"{len(rows)} {name}" for name, (_, rows) in lab.parts[cell.source, cell.seed].groups().items())
    people = (
        ""
        if notes["patients_known"]
        else " The source does not name its patients: intervals are over images, too narrow."
    )
    return (
        f"# {cell.method}: {' or '.join(recipe.classes)}\n\n{NOTICE}\n"
        + ("\nFitted on phantoms, which are drawings.\n" if recipe.phantom else "")
        + f"\n- Recipe {recipe.name}, source {cell.source}, seed {cell.seed}: {sizes}. Split {notes['split'][:12]}.\n"
        f"- Encoder {cell.encoder} ({lab.encoders[cell.encoder][:12]}), label-free corrections: {corrections}.\n"
        f"- Bank {lab.bank.name} version {lab.bank.version} ({lab.bank.digest[:12]}), {len(lab.bank.ids)} concepts offered.\n"
        f"- Mix of classes in training: {mix}. Probabilities assume it.\n"
        f"- {recipe.goal_metric.replace('_', ' ')} on the test part of {cell.source}: {goal['value']:.3f} "
        f"({goal['ci_low']:.3f} to {goal['ci_high']:.3f}, {goal['n']} images).{people}\n"
        "- At any other site: unmeasured. Sex, age and skin groups: unmeasured. Use by readers: unmeasured.\n"
    )
