"""What an encoder's text tower says of concepts: their directions in the space of its images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol, runtime_checkable

from osler.bottleneck.records import Array
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError
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
    if not problem.train.features.text_space or not isinstance(problem.encoder, TextEncoder):
        raise OslerError(
            Code.PART_MISSING, "The encoder has no text space.", "Use an encoder with a text tower, or another method."
        )
    return problem.encoder.encode_text([getattr(concept, part) for concept in problem.bank.concepts])
