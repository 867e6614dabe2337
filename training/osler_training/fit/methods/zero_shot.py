"""Baseline: each image goes to the class whose name the encoder reads as the most similar; no image is learned from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import softmax

from osler.bottleneck.records import Array
from osler.calibrate.temperature import fit_temperature
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError
from osler_training.fit.bottleneck import unit
from osler_training.fit.problem import Cohort, Problem
from osler_training.fit.text_space import read_texts

SCALE = 100.0  # of cosines, before the temperature


@dataclass(frozen=True)
class Options:
    """What is read.

    Attributes:
        templates: Sentences with `{}` for the name of a class; the mean of their embeddings stands for the class.
        names: What a class is called instead, by its name in the task.
    """

    templates: tuple[str, ...] = ("{}",)
    names: dict[str, str] | None = None

    def __post_init__(self) -> None:
        if not self.templates or not all("{}" in one for one in self.templates):
            raise OslerError(
                Code.USAGE, f"A template of {list(self.templates)} has no {{}}.", "Write {} for a class's name."
            )


@dataclass(frozen=True)
class ZeroShot:
    """Text vectors of classes (K, D) of unit length, and the temperature; a fitted method."""

    vectors: Array
    temperature: float
    texts: tuple[str, ...]

    def logits(self, cohort: Cohort) -> Array:
        """Return cosines times the scale (n, K)."""
        return np.asarray(SCALE * unit(cohort.features) @ self.vectors.T)

    def probabilities(self, cohort: Cohort) -> Array:
        """Return calibrated class probabilities (n, K)."""
        return np.asarray(softmax(self.logits(cohort) / self.temperature, axis=1))

    def record(self) -> dict[str, Any]:
        """Return what was read."""
        return {"temperature": self.temperature, "texts": "; ".join(self.texts)}


def fit(problem: Problem, options: Options, *, seed: int) -> ZeroShot:
    """Read the classes' names and fit the temperature; the seed is unused.

    Raises:
        OslerError: `part-missing` where the encoder has no text space; `usage` where `names` renames what is no class.
    """
    names = options.names or {}
    if strangers := sorted(set(names) - set(problem.classes)):
        raise OslerError(Code.USAGE, f"`names` has no class {strangers}.", f"Use {', '.join(problem.classes)}.")
    called = [names.get(one, one.replace("_", " ")) for one in problem.classes]
    texts = tuple(template.replace("{}", name) for name in called for template in options.templates)
    read = read_texts(problem, texts).reshape(len(called), len(options.templates), -1).mean(axis=1)
    fitted = ZeroShot(read / np.linalg.norm(read, axis=1, keepdims=True), 1.0, texts)
    temperature = fit_temperature(fitted.logits(problem.calibrate), problem.calibrate.y)
    return ZeroShot(fitted.vectors, temperature, texts)
