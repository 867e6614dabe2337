"""Baseline: a vision transformer trained end to end, from weights at hand or from scratch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch

from osler_training.fit.backbones import build_vit
from osler_training.fit.network import NetworkClassifier, TrainRule, train_network
from osler_training.fit.problem import Problem

MISSING_FEATURES = ON_PIXELS = True  # pixels are what it sees


@dataclass(frozen=True)
class Options(TrainRule):
    """How it is trained; at most 128 px.

    Attributes:
        size: `tiny` (6 million weights), `small` (22) or `base` (86).
        patch: Side of a patch, of which `side` is a multiple.
        weights: File with torchvision's weights of that size and patch, for images of any side; None starts from scratch.
        sha256: What that file must hash to, where given.
    """

    size: Literal["tiny", "small", "base"] = "tiny"
    patch: int = 16
    weights: Path | None = None
    sha256: str | None = None


def fit(problem: Problem, options: Options, *, seed: int) -> NetworkClassifier:
    """Train it.

    Raises:
        OslerError: `part-missing` where only features were kept; `model-invalid` or `model-hash-mismatch` of the weights.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = build_vit(
            len(problem.classes), options.side, options.size, options.patch, options.weights, options.sha256
        )
    return train_network(network, problem.train, problem.select, problem.calibrate, options, seed=seed)
