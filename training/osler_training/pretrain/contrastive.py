"""Contrastive training of an open_clip model on images and reports (CLIP, Radford et al. 2021).

Reports of different studies can say the same thing, so a pair of a batch counts as positive in the measure in which its
findings agree: targets are a softmax over the agreement of the studies' statements, not the identity.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional
from torch.optim.lr_scheduler import LambdaLR

from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

Progress = Callable[[str], None]
# Draws the token ids (B, L) of the reports of some studies; a study may have several wordings.
TokenSource = Callable[[NDArray[np.intp], np.random.Generator], Tensor]


class Towers(Protocol):
    """What an open_clip model offers beside `nn.Module`."""

    logit_scale: Tensor

    def encode_image(self, image: Tensor) -> Tensor:
        """Return embeddings (B, D) of images (B, 3, H, W)."""
        ...

    def encode_text(self, text: Tensor) -> Tensor:
        """Return embeddings (B, D) of token ids (B, L)."""
        ...


@dataclass(frozen=True)
class ContrastiveSettings:
    """How long and how hard to train; every field is recorded with the weights."""

    epochs: int = 20
    batch: int = 128
    learning_rate: float = 1.5e-3
    weight_decay: float = 0.05
    warmup: float = 0.1
    brightness: float = 0.15
    contrast: float = 0.25
    gamma: float = 0.3
    rotation_degrees: float = 5.0
    shift: float = 0.05
    zoom: float = 0.1
    bfloat16: bool = True


def augment(images: Tensor, settings: ContrastiveSettings, generator: torch.Generator) -> Tensor:
    """Jitter pose and tone, each image by its own draw. Never flips: left and right mean something in a chest.

    Args:
        images: (B, 1, H, W) in [0, 1].
        settings: Ranges of the jitter.
        generator: Source of randomness.

    Returns:
        Images of the same shape and range.
    """
    count = len(images)

    def draw(limit: float) -> Tensor:
        return (torch.rand(count, generator=generator) * 2 - 1) * limit

    angle, scale = draw(math.radians(settings.rotation_degrees)), 1 + draw(settings.zoom)
    theta = torch.zeros(count, 2, 3)
    theta[:, 0, 0] = theta[:, 1, 1] = torch.cos(angle) * scale
    theta[:, 0, 1], theta[:, 1, 0] = -torch.sin(angle) * scale, torch.sin(angle) * scale
    theta[:, 0, 2], theta[:, 1, 2] = draw(settings.shift), draw(settings.shift)
    grid = functional.affine_grid(theta, list(images.shape), align_corners=False)
    moved = functional.grid_sample(images, grid, padding_mode="border", align_corners=False)
    tone = moved.clamp(1e-4, 1) ** torch.exp(draw(settings.gamma)).view(-1, 1, 1, 1)
    tone = (tone - 0.5) * (1 + draw(settings.contrast)).view(-1, 1, 1, 1) + 0.5
    return (tone + draw(settings.brightness).view(-1, 1, 1, 1)).clamp(0, 1)


@dataclass(frozen=True)
class Material:
    """What a model is trained on.

    Attributes:
        images: (N, H, W) as 8-bit grey values.
        tokens: Draws a wording for each study of a batch.
        statements: What each study's reports state (N, S), see `agreement_targets`.
        normalise: From grey (B, 1, H, W) in [0, 1] to the input of the model.
    """

    images: NDArray[np.uint8]
    tokens: TokenSource
    statements: NDArray[np.int8]
    normalise: Callable[[Tensor], Tensor]

    def augmented(self, rows: NDArray[np.intp], settings: ContrastiveSettings, generator: torch.Generator) -> Tensor:
        """Return jittered images of some studies as the model takes them."""
        grey = torch.from_numpy(self.images[rows]).float().div_(255).unsqueeze(1)
        return self.normalise(augment(grey, settings, generator)).contiguous(memory_format=torch.channels_last)


def agreement_targets(statements: Tensor, sharpness: float = 4.0) -> Tensor:
    """Return soft targets (B, B), rows adding up to 1, from what the studies' reports state.

    Studies whose statements all agree share the probability; each statement that differs divides a study's part by
    exp(sharpness / 2).

    Args:
        statements: (B, S), 1 where the report of a study states a sign and 0 where it does not.
        sharpness: How much a differing statement counts.
    """
    difference = torch.cdist(statements, statements, p=1)
    return functional.softmax(-sharpness * difference / 2, dim=1)


def contrastive_loss(image: Tensor, text: Tensor, scale: Tensor, targets: Tensor) -> Tensor:
    """Return the symmetric cross-entropy of (B, D) normalised embeddings against soft targets (B, B)."""
    logits = scale * image @ text.T
    return (functional.cross_entropy(logits, targets) + functional.cross_entropy(logits.T, targets.T)) / 2


def _schedule(step: int, total: int, warmup: float) -> float:
    """Return the factor on the learning rate: a linear rise, then half a cosine to 0."""
    warm = max(1, int(warmup * total))
    if step < warm:
        return (step + 1) / warm
    return 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, total - warm)))


def _optimiser(model: nn.Module, total: int, settings: ContrastiveSettings) -> tuple[torch.optim.AdamW, LambdaLR]:
    """Return AdamW, which spares biases and norms the decay, with its schedule over `total` steps."""
    decayed = [p for p in model.parameters() if p.ndim >= 2]
    others = [p for p in model.parameters() if p.ndim < 2]
    groups = [{"params": decayed, "weight_decay": settings.weight_decay}, {"params": others, "weight_decay": 0.0}]
    optimiser = torch.optim.AdamW(groups, lr=settings.learning_rate, betas=(0.9, 0.98))
    return optimiser, LambdaLR(optimiser, lambda step: _schedule(step, total, settings.warmup))


def _loss(towers: Towers, batch: Tensor, tokens: Tensor, stated: Tensor, bfloat16: bool) -> Tensor:
    with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
        embeddings = towers.encode_image(batch), towers.encode_text(tokens)
    image, text = (functional.normalize(side.float(), dim=-1) for side in embeddings)
    return contrastive_loss(image, text, towers.logit_scale.exp(), agreement_targets(stated))


def _descend(model: nn.Module, loss: Tensor, optimiser: torch.optim.AdamW, scheduler: LambdaLR) -> None:
    """Take one step, gradients clipped to norm 1 and the temperature kept where CLIP keeps it."""
    optimiser.zero_grad(set_to_none=True)
    torch.autograd.backward(loss)
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimiser.step()
    scheduler.step()
    with torch.no_grad():
        cast(Towers, model).logit_scale.clamp_(0, math.log(100))


def train(
    model: nn.Module, material: Material, settings: ContrastiveSettings, seed: int, progress: Progress
) -> list[float]:
    """Train `model` in place and return the mean loss of each epoch.

    Args:
        model: An open_clip model, see `Towers`.
        material: Images and reports.
        settings: Length, rates and augmentation.
        seed: Seed of order, augmentation and wording.
        progress: Receives a line an epoch.

    Raises:
        OslerError: `usage` where the pairs do not fill one batch.
    """
    count, steps = len(material.images), len(material.images) // settings.batch
    if not steps:
        message = f"{count} pairs do not fill a batch of {settings.batch}."
        raise OslerError(Code.USAGE, message, "Render more pairs or name a smaller batch in the recipe.")
    order, generator = np.random.default_rng(seed), torch.Generator().manual_seed(seed)
    optimiser, scheduler = _optimiser(model, steps * settings.epochs, settings)
    losses = []
    model.train().to(memory_format=torch.channels_last)
    for epoch in range(settings.epochs):
        shuffled, running = order.permutation(count), 0.0
        for rows in shuffled[: steps * settings.batch].reshape(steps, settings.batch):
            batch = material.augmented(rows, settings, generator)
            stated = torch.from_numpy(material.statements[rows]).float()
            loss = _loss(cast(Towers, model), batch, material.tokens(rows, order), stated, settings.bfloat16)
            _descend(model, loss, optimiser, scheduler)
            running += loss.item()
        losses.append(running / steps)
        progress(f"epoch {epoch + 1}/{settings.epochs}: loss {losses[-1]:.4f}")
    model.eval()
    return losses
