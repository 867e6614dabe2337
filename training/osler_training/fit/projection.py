"""A projection of features onto what an encoder's text space says of each concept, without labels (M5)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from osler.bottleneck.records import Array


@dataclass(frozen=True)
class ProjectionRule:
    """How a projection is learned; the defaults are those of M5.

    Attributes:
        lr: Step of Adam.
        steps: Most steps.
        check: Steps between looks at the select split; the first that sees no improvement ends the fit.
        least_activation: A concept whose five most similar training images are less similar on average is dropped.
        least_similarity: A concept whose projection is less similar to the text's answer on the select split is dropped.
    """

    lr: float = 1e-3
    steps: int = 1000
    check: int = 50
    least_activation: float = 0.25
    least_similarity: float = 0.45


def cubed_cosine(q: Tensor, p: Tensor) -> Tensor:
    """Return the cosine (C,) between the centred and cubed columns of `q` and `p` (n, C); 0 where one is constant.

    Cubes leave the range of half precision: give single or double.
    """
    cubes = []
    for one in (q, p):
        centred = one - one.mean(0)
        # Scaled before it is cubed, so that no small column ends below the precision; a cosine does not notice.
        cubes.append((centred / centred.abs().amax(0).clamp_min(1e-12)) ** 3)
    return torch.cosine_similarity(cubes[0], cubes[1], dim=0, eps=1e-12)


def fit_projection(
    train: tuple[Array, Array], select: tuple[Array, Array], ids: Sequence[str], rule: ProjectionRule, *, seed: int
) -> Array:
    """Return vectors (C, D) that minimise `-mean_c cubed_cosine(W x, P)`, over all studies at once.

    Args:
        train: Features (n, D) and similarities P (n, C) to fit on.
        select: The same to stop on.
        ids: The concepts; each starts from a draw of its own, so that their order is nothing.
        rule: How.
        seed: Seed of the start.
    """
    x, p, held_x, held_p = (torch.from_numpy(np.asarray(one, float)) for one in (*train, *select))
    bound = x.shape[1] ** -0.5
    draws = [np.random.default_rng([seed, *one.encode()]).uniform(-bound, bound, x.shape[1]) for one in ids]
    W = torch.from_numpy(np.array(draws)).requires_grad_()
    adam = torch.optim.Adam([W], lr=rule.lr)
    best, kept = -float("inf"), W.detach().clone()
    for step in range(1, rule.steps + 1):
        adam.zero_grad()
        (-cubed_cosine(x @ W.T, p).mean()).backward()  # type: ignore[no-untyped-call]
        adam.step()
        if step % rule.check == 0:
            with torch.no_grad():
                reached = float(cubed_cosine(held_x @ W.T, held_p).mean())
            if reached <= best:
                break
            best, kept = reached, W.detach().clone()
    return kept.numpy()


def similarity(q: Array, p: Array) -> Array:
    """Return `cubed_cosine` (C,) of arrays (n, C)."""
    return cubed_cosine(*(torch.from_numpy(np.asarray(one, float)) for one in (q, p))).numpy()
