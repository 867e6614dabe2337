"""A linear-Gaussian world with a planted shortcut: classes follow concepts, and at hospital A a mark follows the class."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pytest

from osler.bottleneck.records import Array, Features
from osler.tracking import Tracker, open_tracker
from osler.workspace import Workspace
from osler_knowledge.bank import Citation, Concept, ConceptBank, PriorEvidence
from osler_training.experiments.confounded import Trial
from osler_training.fit.problem import Cohort, Problem, Reference

C, D = 12, 24
IDS = tuple(f"concept_{i}" for i in range(C))
BASIS = np.linalg.qr(np.random.default_rng(7).normal(size=(D, D)))[0]


@dataclass(frozen=True)
class FlatEncoder:
    """Features are the pixels of a 1 x D image, at unit length."""

    digest: str = hashlib.sha256(b"flat").hexdigest()

    def encode(self, images: Sequence[Array]) -> Features:
        pooled = np.stack([image.reshape(-1) for image in images])
        return Features(pooled / np.linalg.norm(pooled, axis=1, keepdims=True))


def bank_of(signs: np.ndarray, classes: Sequence[str]) -> ConceptBank:
    def concept(c: int) -> Concept:
        cited = Citation("entry", "An entry", "a passage", 0, 9)
        prior = {name: PriorEvidence(int(signs[k, c]), 1.0, cited) for k, name in enumerate(classes)}
        return Concept(IDS[c], IDS[c], f"Is concept {c} there?", "lung", cited, prior)

    return ConceptBank("world", 1, "test", tuple(classes), tuple(concept(c) for c in range(C)))


@dataclass(frozen=True)
class World:
    """A world of K classes: concept c speaks for class c mod K, two in three of them; the rest say nothing."""

    K: int = 2
    shortcut: float = 3.0
    noise: float = 0.7
    signal: float = 0.6

    @property
    def classes(self) -> tuple[str, ...]:
        return tuple(f"class_{k}" for k in range(self.K))

    @property
    def signs(self) -> np.ndarray:
        speaks = np.arange(C) < 2 * C // 3
        return np.where(speaks, np.where(np.arange(C) % self.K == np.arange(self.K)[:, None], 1, -1), 0)

    def features(self, latent: np.ndarray, mark: np.ndarray, rng: np.random.Generator) -> Features:
        x = latent @ BASIS[:C] + self.shortcut * mark[:, None] * BASIS[C]
        return Features(x + self.noise * rng.normal(size=x.shape) @ BASIS[C + 1 :].T @ BASIS[C + 1 :])

    def cohort(self, name: str, n: int, mark: int, seed: int) -> Cohort:
        """Return n studies; `mark` 1 puts the shortcut with the class, -1 against it, 0 leaves it to chance."""
        rng = np.random.default_rng(seed)
        y = np.arange(n) % self.K
        latent = rng.normal(size=(n, C)) + self.signal * self.signs[y]
        side = np.where(y == self.K - 1, 1, -1)
        marks = side * mark if mark else rng.choice([-1, 1], size=n)
        uids = tuple(f"2.25.{seed}{i}" for i in range(n))
        return Cohort(self.features(latent, marks, rng), y, tuple(f"{name}{i}" for i in range(n)), study_uids=uids)

    def reference(self, n: int = 1200, seed: int = 99) -> Reference:
        """Return studies with concept labels of which a fifth is missing."""
        rng = np.random.default_rng(seed)
        y = np.arange(n) % self.K
        latent = rng.normal(size=(n, C)) + self.signal * self.signs[y]
        concepts = np.where(rng.random((n, C)) < 0.2, np.nan, (latent > 0).astype(float))
        features = self.features(latent, rng.choice([-1, 1], size=n), rng)
        return Reference(features, tuple(f"r{i}" for i in range(n)), concepts, np.eye(self.K)[y])

    def trial(self, seed: int = 0) -> Trial:
        train, select, calibrate, test = (
            self.cohort(f"a{i}-", n, 1, seed * 10 + i) for i, n in enumerate((300, 80, 80, 400))
        )
        bank = bank_of(self.signs, self.classes)
        problem = Problem(self.classes, train, select, calibrate, self.reference(), bank, FlatEncoder())
        return Trial(problem, test, self.cohort("b", 400, -1, seed * 10 + 5), {"phantom_digest": "linear-gaussian"})


@pytest.fixture(scope="session")
def world() -> World:
    return World()


@pytest.fixture(scope="session")
def trial(world: World) -> Trial:
    return world.trial()


@pytest.fixture(scope="session")
def tracker(tmp_path_factory: pytest.TempPathFactory) -> Tracker:
    """A tracker for all tests here: making its database takes seconds."""
    return open_tracker(Workspace.open(tmp_path_factory.mktemp("tracked") / "workspace", create=True))


@pytest.fixture(scope="session")
def world_of() -> type[World]:
    return World
