"""Baseline: a network that starts as the bottleneck's own encoder and is trained end to end."""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from osler.bottleneck.encoders.lazy import opened
from osler.bottleneck.encoders.open_clip import OpenClipEncoder
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError
from osler_training.fit.network import NetworkClassifier, TrainRule, train_network
from osler_training.fit.problem import Problem

MISSING_FEATURES = ON_PIXELS = True  # pixels are what it sees


@dataclass(frozen=True)
class Options(TrainRule):
    """How it is trained; `side` 0 stands for the encoder's own image size."""

    side: int = 0


class TunedEncoder(nn.Module):
    """The vision tower of an encoder, unfrozen, with a linear classifier that starts at zero."""

    def __init__(self, encoder: OpenClipEncoder, classes: int) -> None:
        super().__init__()
        self.tower = copy.deepcopy(encoder.model.visual).requires_grad_(True)
        self.classifier = nn.Linear(encoder.width, classes)
        nn.init.zeros_(self.classifier.weight)
        nn.init.zeros_(self.classifier.bias)
        for name in ("mean", "std"):
            self.register_buffer(name, torch.tensor(getattr(encoder.preprocess, name)).view(1, 3, 1, 1))

    def forward(self, pixels: Tensor) -> Tensor:
        """Return logits (n, K) of pixels (n, 3, side, side) in [0, 1]."""
        logits: Tensor = self.classifier(self.tower((pixels - self.get_buffer("mean")) / self.get_buffer("std")))
        return logits


def fit(problem: Problem, options: Options, *, seed: int) -> NetworkClassifier:
    """Fine-tune the encoder.

    Raises:
        OslerError: `model-invalid` where the encoder is no open_clip model.
    """
    encoder = opened(problem.encoder)
    if not isinstance(encoder, OpenClipEncoder):
        raise OslerError(
            Code.MODEL_INVALID, "Only an open_clip encoder can be trained further.", "Name another method."
        )
    side = options.side or encoder.preprocess.size
    network = TunedEncoder(encoder, len(problem.classes))
    rule = replace(options, side=side)
    return train_network(network, problem.train, problem.select, problem.calibrate, rule, seed=seed)
