"""The data of a sweep: phantom patients of hospital A with and without a nuisance, and a reference from other hospitals."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from osler.bottleneck.encoders.catalogue import ImageEncoder, open_encoder
from osler.bottleneck.feature_cache import FeatureCache, image_key
from osler.bottleneck.records import Features
from osler_knowledge.bank import ConceptBank
from osler_knowledge.propose import build_bank
from osler_training.evaluate.splits import split_patients
from osler_training.experiments.confounding import Renderings
from osler_training.experiments.renders import Renderer, Renders
from osler_training.experiments.sweep_cell import Setting
from osler_training.fit.problem import Cohort, Reference
from osler_training.fit.report_labels import read_reference
from osler_training.phantom.digest import phantom_digest
from osler_training.phantom.nuisance import MIMIC, held_out
from osler_training.phantom.plan import StudyPlan, confounded_plan, mixed_plan
from osler_training.phantom.sites import HOSPITAL_A, HOSPITAL_B, REFERENCE_SITES, SiteProfile
from osler_training.recipes.recipe import Arm, SweepRecipe

OTHER_POPULATION = 1_000_000


def nuisance_of(arm: Arm, seed: int) -> str:
    """Return the name of the nuisance of an arm and a seed."""
    return MIMIC.name if arm.nuisance == "mimic" else held_out(seed).name


def prepare(recipe: SweepRecipe, arm: Arm, seed: int, *, cache: Path) -> Setting:
    """Make the data of one arm and seed; renders and features come from the cache where it holds them."""
    encoder = open_encoder(recipe.encoder, sha256=recipe.encoder_sha256)
    renderer = Renderer(recipe.render_size, encoder.preprocess, cache)
    bank = build_bank()
    plans = mixed_plan(recipe.patients, recipe.classes, seed)
    patients = tuple(f"{HOSPITAL_A.name}-{seed}-{plan.patient}" for plan in plans)
    y = np.array([recipe.classes.index(plan.diagnosis) for plan in plans])
    nuisance = nuisance_of(arm, seed)
    sides, keys = [], []
    for name in (None, nuisance):
        renders = renderer([replace(plan, nuisance=name) for plan in plans], HOSPITAL_A)
        keys.append(renders.key)
        sides.append(Cohort(_features(renders, encoder, cache), y, patients, renders.images))
    return Setting(
        classes=recipe.classes,
        renderings=Renderings(*sides),
        splits=(splits := split_patients(patients, y, recipe.splits.model_dump(), seed=seed)),
        reference=reference(recipe, renderer, encoder, bank, cache),
        bank=bank,
        encoder=encoder,
        provenance={
            "nuisance": nuisance,
            "encoder": recipe.encoder,
            "phantom_digest": phantom_digest(),
            "renders": keys,
            "split_digest": splits.digest,
            "bank_digest": bank.digest,
            "encoder_digest": encoder.digest,
        },
        other_site=_other_site(recipe, nuisance, seed, renderer, encoder),
    )


def _other_site(
    recipe: SweepRecipe, nuisance: str, seed: int, renderer: Renderer, encoder: ImageEncoder
) -> Cohort | None:
    """Return the studies of hospital B with the nuisance reversed, where the recipe adapts to it."""
    if recipe.adaptation is None:
        return None
    plans = _other_plans(recipe, nuisance, seed)
    renders = renderer(plans, HOSPITAL_B)
    return Cohort(
        _features(renders, encoder, renderer.cache),
        np.array([recipe.classes.index(plan.diagnosis) for plan in plans]),
        tuple(f"{HOSPITAL_B.name}-{seed}-{plan.patient}" for plan in plans),
    )


def _other_plans(recipe: SweepRecipe, nuisance: str, seed: int) -> list[StudyPlan]:
    studies = recipe.adaptation.patients if recipe.adaptation else 0
    # Another population than hospital A's of any seed.
    return confounded_plan(studies, recipe.classes, nuisance, 1.0, reversed=True, seed=seed + OTHER_POPULATION)


def reference(
    recipe: SweepRecipe, renderer: Renderer, encoder: ImageEncoder, bank: ConceptBank, cache: Path
) -> Reference:
    """Return the studies with reports that groundings learn from: the same for every seed, at none of the test's sites."""
    parts: list[Features] = []
    reports: list[str] = []
    patients: list[str] = []
    for site, plans in _reference_plans(recipe):
        renders = renderer(plans, site)
        parts.append(_features(renders, encoder, cache))
        reports += renders.reports
        patients += [f"{site.name}-{plan.patient}" for plan in plans]
    features = Features(np.concatenate([part.pooled for part in parts]), text_space=parts[0].text_space)
    return read_reference(features, reports, patients, bank, recipe.classes, not_mentioned=recipe.not_mentioned)


def render_everything(
    recipe: SweepRecipe,
    *,
    cache: Path,
    workers: int,
    progress: Callable[[str], None],
) -> None:
    """Fill the cache of renders with all processes at once, before cells compete for them."""
    preprocess = open_encoder(recipe.encoder, sha256=recipe.encoder_sha256).preprocess
    render = Renderer(recipe.render_size, preprocess, cache, workers)
    for site, plans in _reference_plans(recipe):
        render(plans, site)
    progress(f"rendered {recipe.reference_studies} reference studies")
    for seed in range(recipe.seed, recipe.seed + recipe.seeds):
        plans = mixed_plan(recipe.patients, recipe.classes, seed)
        for name in dict.fromkeys([None, *(nuisance_of(arm, seed) for arm in recipe.arms)]):
            render([replace(plan, nuisance=name) for plan in plans], HOSPITAL_A)
            if name and recipe.adaptation:
                render(_other_plans(recipe, name, seed), HOSPITAL_B)
        progress(f"rendered the {recipe.patients} studies of seed {seed} with every nuisance")


def _reference_plans(recipe: SweepRecipe) -> list[tuple[SiteProfile, list[StudyPlan]]]:
    share = recipe.reference_studies // len(REFERENCE_SITES)
    return [(site, mixed_plan(share, recipe.reference_diagnoses, recipe.seed)) for site in REFERENCE_SITES]


def _features(renders: Renders, encoder: ImageEncoder, cache: Path) -> Features:
    keys = [image_key(renders.key, {"row": row}) for row in range(len(renders.images))]
    return FeatureCache(cache, encoder).features(keys, lambda row: renders.images[row])
