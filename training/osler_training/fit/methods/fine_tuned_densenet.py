"""Baseline: DenseNet-121 trained end to end, from weights at hand or from scratch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from osler_training.fit.backbones import build_densenet
from osler_training.fit.network import NetworkClassifier, TrainRule, train_network
from osler_training.fit.problem import Problem

MISSING_FEATURES = ON_PIXELS = True  # pixels are what it sees


@dataclass(frozen=True)
class Options(TrainRule):
    """How it is trained; at most 128 px.

    Attributes:
        weights: File with torchvision's weights; None starts from scratch.
        sha256: What that file must hash to, where given.
    """

    weights: Path | None = None
    sha256: str | None = None


def fit(problem: Problem, options: Options, *, seed: int) -> NetworkClassifier:
    """Train it.

    Raises:
        OslerError: `part-missing` where only features were kept; `model-invalid` or `model-hash-mismatch` of the weights.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = build_densenet(len(problem.classes), options.weights, options.sha256)
    return train_network(network, problem.train, problem.select, problem.calibrate, options, seed=seed)
