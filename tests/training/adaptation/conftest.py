"""A Gaussian source and a site that shifts its features: what standardisation mends is known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from osler.bottleneck.correction import FittedCorrection
from osler.bottleneck.heads.linear import LinearHead
from osler.bottleneck.pipeline import Pipeline
from osler.bottleneck.records import Features
from osler.bottleneck.scorers.logistic import LogisticScorer
from osler.bottleneck.source import SourceReference
from osler_knowledge.propose import build_bank
from osler_training.adaptation.arena import Arena, Cases
from osler_training.adaptation.aurocs import ConceptTruth
from osler_training.adaptation.cell import Bout
from osler_training.adaptation.model import remember, remembering
from osler_training.adaptation.recipe import AdaptRecipe
from osler_training.shift.lines import parse_recipe

CLASSES = ("neutrophil", "lymphocyte", "monocyte")
CONCEPTS = 6
SHIFT = np.array([1.5, 1.5, 0.0, 0.0, -1.5, -1.5])
RECIPE = """\
name: tiny
seed: 3
task: blood-cell
classes: [neutrophil, lymphocyte, eosinophil]
data:
  home: {dataset: any_csv, root: "${CELLS}/home", options: {concepts_file: concepts.csv}}
  away: {dataset: any_csv, root: "${CELLS}/away"}
source: home
encoders: [phantom_clip]
preprocessing:
  none: []
  moments: [feature_moments]
methods:
  bottleneck: {options: {grounding: {held_out_least: 1}}}
adapters:
  site_correction:
  concept_lda:
  logistic_shots:
rival: logistic_shots
least_test: 3
shots: [1, 2, 4, 8]
draws: 6
replicates: 50
"""


@dataclass(frozen=True)
class World:
    """Features are concept logits: Gaussian around the means of the classes (K, C)."""

    pipeline: Pipeline
    means: np.ndarray

    def draw(self, rng: np.random.Generator, each: int) -> tuple[np.ndarray, np.ndarray]:
        """Draw features (n, C) and classes, class after class."""
        y = np.repeat(np.arange(len(self.means)), each)
        return self.means[y] + rng.normal(0, 0.6, (len(y), self.means.shape[1])), y


@pytest.fixture(scope="session")
def world() -> World:
    """A source whose head is right, and a model that remembers its moments."""
    rng = np.random.default_rng(0)
    means = np.kron(np.eye(len(CLASSES)), np.ones(CONCEPTS // len(CLASSES))) * 2 - 1.0
    bank = build_bank(task="blood-cell").in_use()
    bank = bank.subset(bank.ids[:CONCEPTS])
    y = np.repeat(np.arange(len(CLASSES)), 60)
    train, held = (means[y] + rng.normal(0, 0.6, (len(y), CONCEPTS)) for _ in range(2))
    scorer = LogisticScorer(bank.ids, np.eye(CONCEPTS), np.zeros(CONCEPTS), normalised=False)
    values = [scorer.score(Features(x), bank).static for x in (train, held)]
    source = SourceReference.measure(bank.ids, values[0], y, values[1], y, classes=len(CLASSES), site="home")
    pipeline = Pipeline(
        encoder=None,
        encoder_digest="0" * 64,
        bank=bank,
        scorer=scorer,
        head=LinearHead(bank.ids, 4 * means, -4 * means @ source.neutral),
        classes=CLASSES,
        source=source,
        references=(FittedCorrection.at_source("feature_moments", Features(train)),),
    )
    return World(remembering(pipeline), means)


@pytest.fixture(scope="session")
def recipe_of() -> Callable[..., AdaptRecipe]:
    """Returns the tiny recipe with some entries changed."""

    def make(**changes: Any) -> AdaptRecipe:
        recipe = parse_recipe(RECIPE, "recipe.yaml", AdaptRecipe).recipe
        assert isinstance(recipe, AdaptRecipe)
        return AdaptRecipe.model_validate({**recipe.model_dump(), **changes})

    return make


@pytest.fixture
def bout_of(world: World) -> Callable[..., Bout]:
    """Returns a site that adds 1.5 to some features and takes it from others, with supports drawn from its pool."""

    def make(*, draws: int = 6, shots: tuple[int, ...] = (1, 4), moved: bool = True, site: str = "away") -> Bout:
        rng = np.random.default_rng(5)
        (test, y), (pool, pool_y), (home, home_y) = (world.draw(rng, each) for each in (30, 25, 30))
        if moved:
            test, pool = test + SHIFT, pool + SHIFT
        for one in (test, pool, home):
            remember(world.pipeline, Features(one))
        truth = (world.means[y] > 0).astype(float)
        arena = Arena(
            world.pipeline, site, Cases(Features(test), y), Cases(Features(home), home_y), ConceptTruth.of(truth)
        )
        order = [[rng.permutation(np.flatnonzero(pool_y == k)) for k in range(len(CLASSES))] for _ in range(draws)]
        supports = {n: np.array([np.concatenate([one[:n] for one in rows]) for rows in order]) for n in shots}
        uids = tuple(f"2.25.{row}" for row in range(len(pool_y)))
        return Bout("natural", arena, Features(pool), pool_y, uids, Features(pool), uids, supports, arena.before.right)

    return make
