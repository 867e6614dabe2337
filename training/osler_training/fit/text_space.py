"""What an encoder's text tower says of concepts: their directions in the space of its images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol, runtime_checkable

import numpy as np
from sklearn.metrics import roc_auc_score

from osler.bottleneck.clamping import source_percentiles
from osler.bottleneck.encoders.lazy import opened
from osler.bottleneck.records import Array
from osler.bottleneck.scorers.projection import ProjectionScorer
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError
from osler_training.fit.grounding import ConceptFit, Grounding
from osler_training.fit.problem import Problem

Part = Literal["name", "question"]


@runtime_checkable
class TextEncoder(Protocol):
    """An encoder with a text space."""

    def encode_text(self, texts: Sequence[str]) -> Array:
        """Return L2-normalised embeddings (n, D) of texts."""
        ...


def text_vectors(problem: Problem, part: Part) -> Array:
    """Return the text embedding of each concept's name or question (C, D), in the bank's order.

    Raises:
        OslerError: `part-missing` where the encoder has no text space.
    """
    return read_texts(problem, [getattr(concept, part) for concept in problem.bank.concepts])


def has_text_space(problem: Problem) -> bool:
    """Return whether the encoder reads, and features lie where it puts what it reads."""
    return problem.train.features.text_space and isinstance(opened(problem.encoder), TextEncoder)


def read_texts(problem: Problem, texts: Sequence[str]) -> Array:
    """Return what the encoder makes of texts (n, D), each of unit length.

    Raises:
        OslerError: `part-missing` where the encoder has no text space.
    """
    reader = opened(problem.encoder) if problem.train.features.text_space else None
    if not isinstance(reader, TextEncoder):
        raise OslerError(
            Code.PART_MISSING, "The encoder has no text space.", "Use an encoder with a text tower, or another method."
        )
    return reader.encode_text(texts)


def text_grounding(problem: Problem, part: Part, x: Array) -> Grounding:
    """Return the text vectors as groundings, the best first by AUROC on the reference, where that has both answers.

    Args:
        problem: The problem.
        part: What is read of a concept.
        x: Features of the reference at unit length (n, D).

    Raises:
        OslerError: `part-missing` where the encoder has no text space.
    """
    ids, vectors = problem.bank.ids, text_vectors(problem, part)
    fits = [_measured(one, x @ vectors[c], problem.reference.concepts[:, c]) for c, one in enumerate(ids)]
    fits.sort(key=lambda fit: -fit.auroc if fit.auroc == fit.auroc else 1.0)
    return Grounding(ids, vectors, np.zeros(len(ids)), tuple(fits))


def _measured(concept: str, likeness: Array, label: Array) -> ConceptFit:
    answered = ~np.isnan(label)
    positives, negatives = int((label == 1).sum()), int((label == 0).sum())
    auroc = float(roc_auc_score(label[answered], likeness[answered])) if positives and negatives else float("nan")
    return ConceptFit(concept, positives, negatives, auroc=auroc)


def standardised(grounding: Grounding, x: Array) -> ProjectionScorer:
    """Return the scorer whose values have mean 0 and deviation 1 over features of unit length (n, D)."""
    q = x @ grounding.vectors.T
    mean, std = q.mean(0), q.std(0)
    std = np.where(std < 1e-6, 1.0, std)
    return ProjectionScorer(grounding.ids, grounding.vectors, mean, std, source_percentiles((q - mean) / std))
