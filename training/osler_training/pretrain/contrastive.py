"""Contrastive training of an open_clip model on images and reports (CLIP, Radford et al. 2021).

Reports of different studies can say the same thing, so a pair of a batch counts as positive in the measure in which its
findings agree: targets are a softmax over the agreement of the studies' statements, not the identity.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

Progress = Callable[[str], None]


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


def agreement_targets(statements: Tensor, sharpness: float = 12.0) -> Tensor:
    """Return soft targets (B, B) from what the studies' reports state, (B, S) in {-1, 0, 1}.

    Two studies whose statements all agree share the probability; one that differs in a statement gets next to none.
    """
    difference = torch.cdist(statements, statements, p=1)
    return functional.softmax(-sharpness * difference / 2, dim=1)


def contrastive_loss(image: Tensor, text: Tensor, scale: Tensor, targets: Tensor) -> Tensor:
    """Return the symmetric cross-entropy of (B, D) normalised embeddings against soft targets (B, B)."""
    logits = scale * image @ text.T
    return (functional.cross_entropy(logits, targets) + functional.cross_entropy(logits.T, targets.T)) / 2


def _schedule(step: int, total: int, settings: ContrastiveSettings) -> float:
    warm = max(1, int(settings.warmup * total))
    if step < warm:
        return (step + 1) / warm
    return 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, total - warm)))


def train(
    model: nn.Module,
    images: NDArray[np.uint8],
    tokens: Callable[[NDArray[np.intp], np.random.Generator], Tensor],
    statements: NDArray[np.int8],
    normalise: Callable[[Tensor], Tensor],
    settings: ContrastiveSettings,
    seed: int,
    progress: Progress,
) -> list[float]:
    """Train `model` in place and return the mean loss of each epoch.

    Args:
        model: An open_clip model with `encode_image`, `encode_text` and `logit_scale`.
        images: (N, H, W) as 8-bit grey values.
        tokens: Draws the token ids (B, L) of the reports of some studies; a study may have several wordings.
        statements: What each report states (N, S) in {-1 negated, 0 silent, 1 asserted}.
        normalise: From grey (B, 1, H, W) in [0, 1] to the input of the model.
        settings: Length, rates and augmentation.
        seed: Seed of order, augmentation and wording.
        progress: Receives a line an epoch.
    """
    order = np.random.default_rng(seed)
    generator = torch.Generator().manual_seed(seed)
    steps = len(images) // settings.batch
    total = steps * settings.epochs
    decayed = [p for p in model.parameters() if p.ndim >= 2]
    others = [p for p in model.parameters() if p.ndim < 2]
    groups = [{"params": decayed, "weight_decay": settings.weight_decay}, {"params": others, "weight_decay": 0.0}]
    optimiser = torch.optim.AdamW(groups, lr=settings.learning_rate, betas=(0.9, 0.98))
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: _schedule(step, total, settings))
    stated = torch.from_numpy(statements).float()
    losses = []
    model.train().to(memory_format=torch.channels_last)
    for epoch in range(settings.epochs):
        shuffled = order.permutation(len(images))
        running = 0.0
        for step in range(steps):
            rows = shuffled[step * settings.batch : (step + 1) * settings.batch]
            grey = torch.from_numpy(images[rows]).float().div_(255).unsqueeze(1)
            batch = normalise(augment(grey, settings, generator)).contiguous(memory_format=torch.channels_last)
            with torch.autocast("cpu", torch.bfloat16, enabled=settings.bfloat16):
                image, text = model.encode_image(batch), model.encode_text(tokens(rows, order))
            image, text = (functional.normalize(side.float(), dim=-1) for side in (image, text))
            loss = contrastive_loss(image, text, model.logit_scale.exp(), agreement_targets(stated[rows]))
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimiser.step()
            scheduler.step()
            with torch.no_grad():
                model.logit_scale.clamp_(0, math.log(100))
            running += float(loss)
        losses.append(running / steps)
        progress(f"epoch {epoch + 1}/{settings.epochs}: loss {losses[-1]:.4f}")
    model.eval()
    return losses
