"""Baseline: a CNN fine-tuned end to end from ImageNet weights."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from osler_training.fit.imagenet import ImageNetLite
from osler_training.fit.network import NetworkClassifier, TrainRule, train_network
from osler_training.fit.problem import Problem

MISSING_FEATURES = ON_PIXELS = True  # pixels are what it sees


@dataclass(frozen=True)
class Options(TrainRule):
    """How it is trained; at most 128 px. On phantoms 1e-3 beat 1e-4 and 3e-4 on the select split."""

    lr: float = 1e-3


def fit(problem: Problem, options: Options, *, seed: int) -> NetworkClassifier:
    """Fine-tune EfficientNet-Lite0."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = ImageNetLite(len(problem.classes), options.side)
    return train_network(network, problem.train, problem.select, problem.calibrate, options, seed=seed)
