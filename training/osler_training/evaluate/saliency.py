"""Which pixels a score depends on, and what in the labels of a data set predicts that they are the wrong ones (M20.2)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from captum.attr import IntegratedGradients, LayerGradCam, NoiseTunnel, Saliency
from torch import Tensor, nn

from osler.bottleneck.encoders.open_clip import OpenClipEncoder
from osler.bottleneck.records import Array

Score = Callable[[Tensor], Tensor]
_BATCH = 32


def gradients(score: Score, pixels: Array, target: Sequence[int]) -> Array:
    """Return the size of the gradient of a score at each pixel (n, H, W).

    Args:
        score: From pixels (n, 1, H, W) to scores (n, S).
        pixels: Images (n, H, W) in [0, 1].
        target: Which of the S scores is looked at, of each image (n,).
    """
    return _attributed(lambda x, t: Saliency(score).attribute(x, target=t), pixels, target)


def smooth_gradients(
    score: Score, pixels: Array, target: Sequence[int], *, draws: int = 16, noise: float = 0.1, seed: int = 0
) -> Array:
    """Return the mean size of the gradient over images with noise added (SmoothGrad) (n, H, W); as `gradients`."""

    def one(x: Tensor, t: Tensor) -> Tensor:
        tunnel = NoiseTunnel(Saliency(score))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            found: Tensor = tunnel.attribute(x, nt_samples=draws, nt_samples_batch_size=4, stdevs=noise, target=t)
        return found

    return _attributed(one, pixels, target)


def integrated_gradients(score: Score, pixels: Array, target: Sequence[int], *, steps: int = 32) -> Array:
    """Return signed integrated gradients from each image's own mean grey (n, H, W); as `gradients`.

    They sum to the score of the image less that of the grey one.
    """

    def one(x: Tensor, t: Tensor) -> Tensor:
        grey = x.mean((2, 3), keepdim=True).expand_as(x)
        found: Tensor = IntegratedGradients(score).attribute(x, grey, target=t, n_steps=steps, internal_batch_size=64)
        return found

    return _attributed(one, pixels, target)


def class_activation(score: nn.Module, layer: nn.Module, pixels: Array, target: Sequence[int]) -> Array:
    """Return Grad-CAM maps (n, h, w), clipped at zero, on the grid of a layer; as `gradients`."""

    def one(x: Tensor, t: Tensor) -> Tensor:
        found: Tensor = LayerGradCam(score, layer).attribute(x, target=t, relu_attributions=True)
        return found

    return _attributed(one, pixels, target)


def _attributed(method: Callable[[Tensor, Tensor], Tensor], pixels: Array, target: Sequence[int]) -> Array:
    images = torch.from_numpy(np.ascontiguousarray(pixels, np.float32))[:, None]
    wanted = torch.as_tensor(np.asarray(target, np.int64))
    parts = [
        method(images[start : start + _BATCH].clone().requires_grad_(True), wanted[start : start + _BATCH]).detach()
        for start in range(0, len(images), _BATCH)
    ]
    return np.asarray(torch.cat(parts)[:, 0].double().numpy())


@dataclass(frozen=True)
class Audit:
    """What the labels of a data set say about whether concepts can be learned apart.

    Attributes:
        phi: Correlation of each two concepts (C, C) over the images where both are labelled; NaN where one never varies.
        flagged: Pairs whose |phi| exceeds the limit: no image tells which of the two a model looks at.
        constant_in_class: For each concept the share of classes, of those with two labelled images, in which all say the same.
    """

    phi: Array
    flagged: tuple[tuple[str, str, float], ...]
    constant_in_class: Array


def co_occurrence(truth: Array, ids: Sequence[str], y: Array, *, limit: float = 0.9) -> Audit:
    """Audit concept labels (n, C) in {0, 1, NaN} of images of classes y (n,)."""
    C = truth.shape[1]
    phi = np.full((C, C), np.nan)
    for a in range(C):
        for b in range(a, C):
            both = ~np.isnan(truth[:, [a, b]]).any(axis=1)
            pair = truth[both][:, [a, b]]
            if len(pair) and np.ptp(pair, axis=0).min() > 0:
                phi[a, b] = phi[b, a] = np.asarray(np.corrcoef(pair.T))[0, 1]
    flagged = [(ids[a], ids[b], float(phi[a, b])) for a in range(C) for b in range(a + 1, C) if abs(phi[a, b]) > limit]
    same: list[float] = []
    for c in range(C):
        groups = [truth[(y == k) & ~np.isnan(truth[:, c]), c] for k in np.unique(y)]
        alike = [float(len(np.unique(one)) == 1) for one in groups if len(one) > 1]
        same.append(float(np.mean(alike)) if alike else float("nan"))
    return Audit(phi, tuple(flagged), np.array(same))


def concept_scores(encoder: OpenClipEncoder, weights: Array, intercept: Array) -> Score:
    """Return concept logits (n, C) as a function of pixels, of a linear scorer on pooled features at unit length."""
    W, b = (torch.from_numpy(np.asarray(one, np.float32)) for one in (weights, intercept))
    mean, std = (torch.tensor(one).view(1, 3, 1, 1) for one in (encoder.preprocess.mean, encoder.preprocess.std))

    def score(pixels: Tensor) -> Tensor:
        pooled = encoder.model.encode_image((pixels.expand(-1, 3, -1, -1) - mean) / std)
        return nn.functional.normalize(pooled, dim=-1) @ W.T + b

    return score
