"""The losses of CONDA (M15) and the steps on them; the only part that needs torch, which is loaded when it is first used."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from osler.bottleneck.records import Array

if TYPE_CHECKING:
    from torch import Tensor

TINY = 1e-12


@dataclass(frozen=True)
class CondaRates:
    """How the steps are taken.

    Attributes:
        steps: Steps of each correction on each batch.
        rate: Rate of Adam, in units of the spread of scores (CSA) and of standardised values (LPA).
        residual_rate: Rate of the gradient steps of RCB.
        keep: Weight of the distance from the source's concept vectors (CSA).
        intra: Factor on the distance to the own class (CSA); the authors' code has 3, the paper 1.
        sparsity: Weight of the elastic net on the head (LPA).
        l1_share: Share of the L1 norm in it.
        similarity: Weight of what new concepts share with old ones and with each other (RCB).
        coherency: Weight of how well the batch supports them (RCB).
        nearest: Studies of the batch that count as support.
    """

    steps: int = 20
    rate: float = 1e-2
    residual_rate: float = 0.1
    keep: float = 0.1
    intra: float = 1.0
    sparsity: float = 2e-3
    l1_share: float = 0.99
    similarity: float = 0.1
    coherency: float = 0.1
    nearest: int = 10


@dataclass(frozen=True, eq=False)
class CondaModel:
    """What CONDA changes, in units in which one rate suits all: D features of unit length, C concepts, K classes, r new.

    Attributes:
        C: Concept vectors (C, D).
        beta: Intercepts (C,).
        W: Weights of standardised concept values (K, C).
        b: Bias (K,).
        new: New concepts (r, D).
        new_weights: Their weights (K, r).
        new_bias: Their bias (K,).
    """

    C: Array
    beta: Array
    W: Array
    b: Array
    new: Array
    new_weights: Array
    new_bias: Array


@dataclass(frozen=True, eq=False)
class CondaSource:
    """What stays: the way from scores to standardised values, and the classes as the source has them.

    Attributes:
        squashed: Whether values are probabilities of the scores.
        centre: Subtracted from values (C,).
        spread: They are divided by it (C,).
        means: Means of standardised values by class (K, C).
        precisions: Inverse covariances by class (K, C, C).
    """

    squashed: bool
    centre: Array
    spread: Array
    means: Array
    precisions: Array

    def values(self, scores: Any) -> Any:
        """Return standardised values (n, C) of scores, arrays or tensors."""
        import torch

        held = torch.as_tensor(scores)
        values = torch.sigmoid(held) if self.squashed else held
        return (values - torch.as_tensor(self.centre)) / torch.as_tensor(self.spread)


def squared_distances(values: Tensor, means: Tensor, precisions: Tensor) -> Tensor:
    """Return squared Mahalanobis distances (n, K) of values (n, C) to the classes."""
    apart = values[None] - means[:, None]
    return ((apart @ precisions) * apart).sum(2).T


def alignment_loss(distances: Tensor, labels: Tensor, moved: Tensor, rates: CondaRates) -> Tensor:
    """Return the loss of CSA: `log(intra D_intra) - log D_inter + keep |C - C_src|`.

    Args:
        distances: Squared distances (n, K).
        labels: Pseudo-labels (n,).
        moved: Frobenius norm of the way from the source's vectors, those taken to be of unit length.
        rates: The weights.
    """
    intra, inter = intra_and_inter(distances, labels)
    return rates.intra * (intra + TINY).log() - (inter + TINY).log() + rates.keep * moved


def intra_and_inter(distances: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean squared distance to the own class, and that to the others."""
    own = distances.gather(1, labels[:, None])[:, 0]
    others = (distances.sum(1) - own) / max(distances.shape[1] - 1, 1)
    return own.mean(), others.mean()


def head_loss(logits: Tensor, labels: Tensor, W: Tensor, rates: CondaRates) -> Tensor:
    """Return the loss of LPA: cross-entropy and the mean elastic net of the weights."""
    from torch.nn.functional import cross_entropy

    net = rates.l1_share * W.abs() + (1 - rates.l1_share) * W**2
    return cross_entropy(logits, labels) + rates.sparsity * net.mean()


def similarity(new: Tensor, old: Tensor) -> Tensor:
    """Return how much new concepts (r, D) share with old ones (C, D) and with each other: mean squared cosines.

    Squared, since a direction and its opposite say the same: it is least, 0, where all are orthogonal. The authors' code has
    the sign the other way round, which rewards what is there already.
    """
    from torch.nn.functional import normalize

    new, old = normalize(new, dim=1), normalize(old, dim=1)
    r = len(new)
    among = ((new @ new.T) ** 2).sum() - ((new**2).sum(1) ** 2).sum()
    return ((new @ old.T) ** 2).mean() + (among / (r * (r - 1)) if r > 1 else 0.0)


def coherency(new: Tensor, x: Tensor, nearest: int) -> Tensor:
    """Return the mean cosine of each new concept (r, D) to the studies (n, D) that lie nearest to it."""
    from torch.nn.functional import normalize

    cosines = normalize(new, dim=1) @ normalize(x, dim=1).T
    return cosines.topk(min(nearest, x.shape[0]), dim=1).values.mean()


def adapted(
    model: CondaModel,
    source: CondaSource,
    batches: Sequence[tuple[Array, NDArray[np.intp]]],
    rates: CondaRates,
    *,
    csa: bool,
    lpa: bool,
    rcb: bool,
) -> CondaModel:
    """Return the model after the steps on each batch, one after the other; the model given stays as it is.

    Args:
        model: The source model.
        source: What stays.
        batches: Features (n, D) and pseudo-labels (n,) of each batch.
        rates: How the steps are taken.
        csa: Whether concept vectors are aligned.
        lpa: Whether the head is adapted.
        rcb: Whether new concepts are added.
    """
    import torch

    start = model
    for x, y in batches:
        batch = torch.as_tensor(np.asarray(x, float)), torch.as_tensor(np.asarray(y, np.int64))
        if csa:
            model = _aligned(model, start, source, batch, rates)
        if lpa:
            model = _refitted(model, source, batch, rates)
        if rcb and len(model.new):
            model = _extended(model, source, batch, rates)
    return model


def _aligned(
    model: CondaModel, start: CondaModel, source: CondaSource, batch: tuple[Tensor, Tensor], rates: CondaRates
) -> CondaModel:
    import torch

    x, y = batch
    means, precisions = torch.as_tensor(source.means), torch.as_tensor(source.precisions)
    length = np.sqrt((start.C**2).sum(axis=1).mean())  # Root mean square length of the source's vectors.
    # Scores move by about the rate, in units of their spread, at each step, however many features there are.
    size = np.sqrt(float((x**2).sum(1).mean()))
    unit, level = float(length / start.C.shape[1]), float(length * size / np.sqrt(start.C.shape[1]))
    origin = torch.as_tensor(start.C)
    turn = torch.zeros_like(origin, requires_grad=True)
    shift = torch.zeros(len(origin), dtype=origin.dtype, requires_grad=True)

    def loss() -> Tensor:
        C, beta = torch.as_tensor(model.C) + unit * turn, torch.as_tensor(model.beta) + level * shift
        distances = squared_distances(source.values(x @ C.T + beta), means, precisions)
        moved = ((((C - origin) / length) ** 2).sum() + TINY).sqrt()
        return alignment_loss(distances, y, moved, rates)

    _descend(torch.optim.Adam([turn, shift], lr=rates.rate), loss, rates.steps)
    return replace(model, C=model.C + unit * turn.detach().numpy(), beta=model.beta + level * shift.detach().numpy())


def _refitted(model: CondaModel, source: CondaSource, batch: tuple[Tensor, Tensor], rates: CondaRates) -> CondaModel:
    import torch

    x, y = batch
    values = source.values(x @ torch.as_tensor(model.C).T + torch.as_tensor(model.beta))
    W, b = (torch.tensor(part, requires_grad=True) for part in (model.W, model.b))
    beside = _beside(model, x)
    _descend(
        torch.optim.Adam([W, b], lr=rates.rate),
        lambda: head_loss(values @ W.T + b + beside, y, W, rates),
        rates.steps,
    )
    return replace(model, W=W.detach().numpy().copy(), b=b.detach().numpy().copy())


def _extended(model: CondaModel, source: CondaSource, batch: tuple[Tensor, Tensor], rates: CondaRates) -> CondaModel:
    import torch
    from torch.nn.functional import cross_entropy, normalize

    x, y = batch
    u = normalize(x, dim=1)
    C = torch.as_tensor(model.C)
    logits = source.values(x @ C.T + torch.as_tensor(model.beta)) @ torch.as_tensor(model.W).T + torch.as_tensor(
        model.b
    )
    new, W, b = (torch.tensor(part, requires_grad=True) for part in (model.new, model.new_weights, model.new_bias))

    def loss() -> Tensor:
        fit = cross_entropy(logits + u @ new.T @ W.T + b, y)
        return fit + rates.similarity * similarity(new, C) - rates.coherency * coherency(new, x, rates.nearest)

    _descend(torch.optim.SGD([new, W, b], lr=rates.residual_rate), loss, rates.steps)
    found = [part.detach().numpy().copy() for part in (new, W, b)]
    return replace(model, new=found[0], new_weights=found[1], new_bias=found[2])


def _beside(model: CondaModel, x: Tensor) -> Tensor:
    import torch
    from torch.nn.functional import normalize

    return normalize(x, dim=1) @ torch.as_tensor(model.new).T @ torch.as_tensor(model.new_weights).T + torch.as_tensor(
        model.new_bias
    )


def _descend(optimiser: Any, loss: Callable[[], Tensor], steps: int) -> None:
    for _ in range(steps):
        optimiser.zero_grad()
        loss().backward()  # type: ignore[no-untyped-call]
        optimiser.step()
