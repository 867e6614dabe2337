"""A small linear-Gaussian hospital with planted concepts, a prior, images, and an encoder that can read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import pytest

from osler.bottleneck.records import Array, Features
from osler_knowledge.bank import Citation, Concept, ConceptBank, PriorEvidence
from osler_training.fit.problem import Cohort, Problem, Reference

D, C, SIDE, GRID = 12, 6, 32, (2, 2)
DIRECTIONS = np.linalg.qr(np.random.default_rng(42).normal(size=(D, D)))[0]
CITED = Citation("entry", "An entry", "a passage", 0, 9)
SIZES = {"train": 120, "select": 60, "calibrate": 60, "reference": 320, "test": 200}


@dataclass(frozen=True)
class PlantedEncoder:
    """Its text space holds the planted direction of the concept, or the mean one of the class, that a text ends in."""

    weights: tuple[tuple[float, ...], ...]
    digest: str = "1" * 64

    def encode(self, images: Sequence[Array], *, tokens: bool = False) -> Features:
        """Refuse: the world has features already."""
        raise AssertionError("No image is encoded here")

    def encode_text(self, texts: Sequence[str]) -> Array:
        """Return unit vectors."""
        found = []
        for text in texts:
            kind, number = text.lower().rsplit(maxsplit=2)[-2:]
            found.append(DIRECTIONS[:, int(number)] if kind == "concept" else self.class_vector(int(number)))
        return np.stack(found)

    def class_vector(self, k: int) -> Array:
        """Return where a class lies."""
        vector = DIRECTIONS[:, :C] @ np.array(self.weights[k])
        return vector / np.linalg.norm(vector)


@dataclass(frozen=True)
class Planted:
    """A problem, studies to test on, and what was planted: weights of concepts on classes (K, C)."""

    problem: Problem
    test: Cohort
    W: Array


def _cohort(part: str, W: Array, shortcut: float) -> Cohort:
    """Studies whose class follows from concepts, on images whose quadrant tells the class.

    The direction after the concepts goes with the class by `shortcut`, and against it in the test part; nothing names it.
    """
    n, K = SIZES[part], len(W)
    rng = np.random.default_rng([*part.encode(), K])
    s = rng.normal(size=(n, D))
    y = (4 * s[:, :C] @ W.T + rng.gumbel(size=(n, K))).argmax(1)
    s[:, C] += {"test": -shortcut, "reference": 0.0}.get(part, shortcut) * (2 * y / (K - 1) - 1)
    pooled = s @ DIRECTIONS.T
    tokens = np.repeat(pooled[:, None], GRID[0] * GRID[1], axis=1) + rng.normal(size=(n, 4, D)) * 0.1
    images = rng.random((n, SIDE, SIDE), dtype=np.float32) * 0.3
    for i, k in enumerate(y):
        images[i, :16, 10 * k : 10 * k + 10] += 0.7
    return Cohort(
        Features(pooled, tokens, GRID, text_space=True),
        y,
        tuple(f"{part}{i}" for i in range(n)),
        images,
        concepts=(s[:, :C] > 0).astype(float),
        groups=(s[:, D - 1] > 0).astype(np.intp),
    )


@cache
def planted_world(K: int = 2, shortcut: float = 0.0) -> Planted:
    """Return a hospital of K classes; the same object each time, so that what is fitted on it is fitted once."""
    W = np.zeros((K, C))
    W[:, :4] = np.random.default_rng(5).choice([-1.0, 1.0], size=(K, 4))
    W[0, :2], W[1, :2] = 1.0, -1.0
    classes = tuple(f"class {k}" for k in range(K))
    concepts = tuple(
        Concept(
            f"concept_{c}",
            f"concept {c}",
            f"Is there concept {c}",
            "lung",
            CITED,
            {classes[k]: PriorEvidence(int(W[k, c]), 1.0, CITED) for k in range(K) if c < 4},
        )
        for c in range(C)
    )
    parts = {part: _cohort(part, W, shortcut) for part in SIZES}
    seen = parts["reference"]
    assert seen.concepts is not None
    reference = Reference(seen.features, seen.patients, seen.concepts, np.eye(K)[seen.y])
    bank = ConceptBank("planted", 1, "test", classes, concepts)
    encoder = PlantedEncoder(tuple(map(tuple, W.tolist())))
    cohorts = (parts[one] for one in ("train", "select", "calibrate"))
    return Planted(Problem(classes, *cohorts, reference, bank, encoder), parts["test"], W)


@pytest.fixture(scope="session")
def planted() -> Callable[..., Planted]:
    """The hospital, by number of classes and strength of a shortcut."""
    return planted_world


@pytest.fixture(scope="session")
def with_concepts() -> Callable[[Problem, Sequence[int]], Problem]:
    """A problem with some of its concepts only, in an order of one's own."""

    def chosen(problem: Problem, order: Sequence[int]) -> Problem:
        reference = replace(problem.reference, concepts=problem.reference.concepts[:, list(order)])
        cohorts = {
            part: replace(one, concepts=None if one.concepts is None else one.concepts[:, list(order)])
            for part in ("train", "select", "calibrate")
            for one in [getattr(problem, part)]
        }
        bank = problem.bank.subset([problem.bank.ids[c] for c in order])
        return replace(problem, bank=bank, reference=reference, **cohorts)

    return chosen
