"""A linear-Gaussian world: concepts with known class means, a known head, and operators that shift a site."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
from scipy.special import expit
from scipy.special import logit as inverse

from osler.bottleneck.heads.linear import LinearHead
from osler.bottleneck.pipeline import Pipeline
from osler.bottleneck.records import Features, Support
from osler.bottleneck.scorers.logistic import LogisticScorer
from osler.bottleneck.source import SourceReference
from osler_knowledge.bank import ConceptBank

CONCEPTS, CLASSES = 12, 3
HEAVY = 4
PER_CLASS = 300


@dataclass(frozen=True)
class World:
    """Concept logits are Gaussian around class means; the features are those logits, the scorer only squashes them."""

    means: np.ndarray
    noise: float
    pipeline: Pipeline

    def draw(self, rng: np.random.Generator, per_class: int) -> tuple[np.ndarray, np.ndarray]:
        """Draw concept logits (n, C) and labels."""
        return draw(self.means, self.noise, rng, per_class)

    def confused(self, rng: np.random.Generator, per_class: int, concept: int = HEAVY) -> tuple[np.ndarray, np.ndarray]:
        """Draw studies of a site where a concept that speaks for class 1 fires in all, by three deviations and more."""
        logits, y = self.draw(rng, per_class)
        logits[:, concept] += 3.0
        return logits, y

    def weakened(self, rng: np.random.Generator, per_class: int, concept: int = 0) -> tuple[np.ndarray, np.ndarray]:
        """Draw studies of a site where a concept is halfway to its neutral value."""
        logits, y = self.draw(rng, per_class)
        neutral = self.pipeline.neutral[concept]
        logits[:, concept] = inverse(neutral + (expit(logits[:, concept]) - neutral) / 2)
        return logits, y

    def support(self, logits: np.ndarray, y: np.ndarray, site: str = "b") -> Support:
        """Wrap drawn studies as a labelled support."""
        return Support(Features(logits), y, site, study_uids=tuple(f"2.25.{number}" for number in range(len(y))))

    def values(self, logits: np.ndarray) -> np.ndarray:
        """Return concept values."""
        return expit(logits)

    def accuracy(self, pipeline: Pipeline, logits: np.ndarray, y: np.ndarray, site: str | None) -> float:
        """Return the accuracy of a pipeline on studies of a site."""
        return float((pipeline.predict_features(Features(logits), site=site).logits.argmax(axis=1) == y).mean())


def draw(means: np.ndarray, noise: float, rng: np.random.Generator, per_class: int) -> tuple[np.ndarray, np.ndarray]:
    y = np.repeat(np.arange(len(means)), per_class)
    return means[y] + noise * rng.normal(size=(len(y), means.shape[1])), y


def build(make_bank: Callable[[int], ConceptBank], seed: int, noise: float) -> World:
    rng = np.random.default_rng(seed)
    # Each class has four concepts of its own; the head leans too much on one of class 1, as a shortcut would have it.
    own = np.repeat(np.arange(CLASSES), CONCEPTS // CLASSES)
    level = np.where(own == np.arange(CLASSES)[:, None], 0.75, 0.3)
    means = inverse(level + rng.uniform(-0.03, 0.03, size=level.shape))
    weight = np.where(own == np.arange(CLASSES)[:, None], 2.0, -1.0) * rng.uniform(0.9, 1.1, size=CONCEPTS)
    weight[:, HEAVY] *= 3
    bank = make_bank(CONCEPTS)
    (train, y), (held, held_y) = draw(means, noise, rng, PER_CLASS), draw(means, noise, rng, PER_CLASS)
    source = SourceReference.measure(bank.ids, expit(train), y, expit(held), held_y, classes=CLASSES, site="a")
    pipeline = Pipeline(
        encoder=None,
        encoder_digest="0" * 64,
        bank=bank,
        scorer=LogisticScorer(bank.ids, np.eye(CONCEPTS), np.zeros(CONCEPTS), normalised=False),
        head=LinearHead(bank.ids, weight, -weight @ source.neutral),
        classes=("heart_failure", "pneumonia", "normal"),
        source=source,
    )
    return World(means, noise, pipeline)


@pytest.fixture(scope="session")
def make_world(make_bank: Callable[[int], ConceptBank]) -> Callable[..., World]:
    """Return a maker of worlds by seed and noise."""

    def make(seed: int = 0, noise: float = 0.5) -> World:
        return build(make_bank, seed, noise)

    return make


@pytest.fixture(scope="session")
def world(make_world: Callable[..., World]) -> World:
    """Return the world that most tests share."""
    return make_world()
