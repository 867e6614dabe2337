"""Controls (M19.2): the same problem with its concepts robbed of their meaning, for whatever method is fitted on it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from osler.bottleneck.protocols import Encoder
from osler.bottleneck.records import Array, Features
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError
from osler_training.fit.problem import Problem
from osler_training.fit.text_space import has_text_space


@dataclass(frozen=True)
class RandomTexts:
    """An encoder whose texts are random unit vectors, the same text the same vector; images are as ever."""

    encoder: Encoder
    width: int
    seed: int

    @property
    def digest(self) -> str:
        """That of the encoder: features are its own."""
        return self.encoder.digest

    def encode(self, images: Sequence[Array], *, tokens: bool = False) -> Features:
        """Encode images."""
        return self.encoder.encode(images, tokens=tokens)

    def encode_text(self, texts: Sequence[str]) -> Array:
        """Return a random direction for each text (n, D)."""
        drawn = np.stack([_draw(self.seed, text).normal(size=self.width) for text in texts])
        return np.asarray(drawn / np.linalg.norm(drawn, axis=1, keepdims=True))


def random_concepts(problem: Problem, *, seed: int) -> Problem:
    """Return the problem with as many concepts that mean nothing: each is a random direction of the features.

    A concept's answers become the side of a random direction on which a study lies, cut where the share of answers stays
    what it was; what was not answered stays so. Texts become random unit vectors. Questions, prior and numbers of examples
    stay, so that only the meaning is gone.
    """
    x, ids = problem.reference.features.pooled, problem.bank.ids
    std = np.nanstd(x, axis=0)
    z = np.nan_to_num((x - np.nanmean(x, axis=0)) / np.where(std < 1e-6, 1.0, std))
    labels = problem.reference.concepts.copy()
    for c, concept in enumerate(ids):
        answered = np.flatnonzero(~np.isnan(labels[:, c]))
        side = z[answered] @ _draw(seed, concept).normal(size=z.shape[1])
        positives = int(labels[answered, c].sum())
        labels[answered, c] = 0.0
        labels[answered[np.argsort(-side, kind="stable")[:positives]], c] = 1.0
    encoder = problem.encoder
    if has_text_space(problem):
        encoder = RandomTexts(encoder, x.shape[1], seed)
    return replace(problem, reference=replace(problem.reference, concepts=labels), encoder=encoder)


def permuted_concepts(problem: Problem, *, seed: int) -> Problem:
    """Return the problem in which each concept is answered, and put in words, as another one is; the prior stays.

    Raises:
        OslerError: `usage` where there is one concept alone.
    """
    order = _derangement(problem.bank.ids, seed)
    concepts = problem.bank.concepts
    renamed = tuple(
        replace(one, name=concepts[other].name, question=concepts[other].question)
        for one, other in zip(concepts, order, strict=True)
    )
    reference = replace(problem.reference, concepts=problem.reference.concepts[:, order])
    return replace(problem, reference=reference, bank=replace(problem.bank, concepts=renamed))


def permuted_prior(problem: Problem, *, seed: int) -> Problem:
    """Return the problem in which each concept has the prior of another one.

    Raises:
        OslerError: `usage` where there is one concept alone.
    """
    concepts = problem.bank.concepts
    order = _derangement(problem.bank.ids, seed)
    linked = tuple(replace(one, prior=concepts[other].prior) for one, other in zip(concepts, order, strict=True))
    return replace(problem, bank=replace(problem.bank, concepts=linked))


def permuted_studies(problem: Problem, *, seed: int) -> Problem:
    """Return the problem whose reference studies carry each other's answers: a grounding can learn the base rate alone."""
    reference = problem.reference
    order = _draw(seed, "studies").permutation(len(reference.patients))
    return replace(problem, reference=replace(reference, concepts=reference.concepts[order]))


def _derangement(ids: tuple[str, ...], seed: int) -> NDArray[np.intp]:
    """Return an order in which nothing stays where it was; whom a concept is exchanged for goes by names, not by places."""
    if len(ids) < 2:
        raise OslerError(Code.USAGE, "One concept alone cannot be permuted.", "Use a bank of more, or another control.")
    # One cycle through all: no concept is its own neighbour.
    cycle = np.argsort([_draw(seed, one).random() for one in ids])
    order = np.empty(len(ids), np.intp)
    order[cycle] = np.roll(cycle, -1)
    return order


def _draw(seed: int, what: str) -> np.random.Generator:
    return np.random.default_rng([seed, *b"control", *what.encode()])
