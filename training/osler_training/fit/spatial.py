"""Fitting concept maps: a 1x1 map on frozen tokens and its pooling, from labels of whole images (M10, SL-CBM)."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor, nn
from torch.nn import functional

from osler.bottleneck.clamping import source_percentiles
from osler.bottleneck.records import BoolArray, Features
from osler.bottleneck.scorers.spatial import SpatialScorer, token_inputs
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError
from osler_knowledge.bank import ConceptBank
from osler_training.fit.grounding import ConceptFit
from osler_training.fit.problem import Cohort, Reference

Attention = Literal["query", "own", "uniform"]
_EPSILON = 1e-5


@dataclass(frozen=True)
class LossWeights:
    """Weights of the four losses; the source's are 1, 10,000, 5 (summed over tokens, not their mean) and 1.

    With 10,000 the concepts are all that is fitted, and an entropy summed over tokens grows with the grid. Here each term
    is a mean, of the order of one. Classes and contrast weigh nothing unless asked for: they pull maps towards whatever
    tells the classes of the training hospital apart, the shortcut of a confounded one included.

    Attributes:
        classes: Cross-entropy of a linear head on the training studies.
        concepts: Of concept labels against pooled maps.
        entropy: Mean over tokens of the entropy over concepts: each token is to speak for few.
        contrastive: Cosine loss that draws studies of a class together.
    """

    classes: float = 0.0
    concepts: float = 1.0
    entropy: float = 0.0
    contrastive: float = 0.0


@dataclass(frozen=True)
class SpatialRule:
    """How concept maps are fitted.

    Attributes:
        attention: `query` (M10), `own` or `uniform`, as `SpatialScorer` says.
        centred: Whether the mean map of the reference is taken off, place by place.
        layer_norm: Whether maps and values are normalised over the concepts (M10).
        weights: Of the losses.
        concept_loss: `cross_entropy`, both answers of a concept weighing alike; or `absolute`, the source's
            `mean |sigma(a) - c|`, whose best answer to a rare concept is that it is never there.
        epochs: Passes over the reference studies.
        batch: Studies a step.
        lr: Peak learning rate of Adam, falling to zero by a cosine; tokens are standardised.
        penalty: Half the squared norm of the 1x1 map counts so much, in the mean over concepts.
        held_out_share: Share of the reference's patients that is held out to measure each concept.
        least: Fewest training studies of each answer; a concept with fewer is skipped.
    """

    attention: Attention = "own"
    centred: bool = True
    layer_norm: bool = False
    weights: LossWeights = field(default_factory=LossWeights)
    concept_loss: Literal["cross_entropy", "absolute"] = "cross_entropy"
    epochs: int = 20
    batch: int = 64
    lr: float = 3e-3
    penalty: float = 1e-3
    held_out_share: float = 0.15
    least: int = 20


@dataclass(frozen=True)
class FittedMaps:
    """A scorer whose percentiles are still unknown, and how each concept went."""

    scorer: SpatialScorer
    fits: tuple[ConceptFit, ...]


class MapNetwork(nn.Module):
    """What `SpatialScorer` computes, with gradients."""

    def __init__(self, width: int, ids: tuple[str, ...], classes: int, rule: SpatialRule, *, seed: int) -> None:
        super().__init__()
        concepts = len(ids)

        def zeros(*shape: int) -> nn.Parameter:
            return nn.Parameter(torch.zeros(*shape))

        self.rule = rule
        # Each concept has its own labels: nothing is alike that a random start would have to tell apart.
        self.weights, self.intercept = zeros(concepts, width), zeros(concepts)
        self.query, self.key = (nn.Parameter(torch.eye(concepts)) for _ in range(2))
        self.sharpness, self.shift = zeros(concepts), zeros(concepts)
        self.gain = nn.Parameter(torch.ones(concepts))
        self.head = nn.Linear(concepts, classes)
        # Only the classes need a start: they reach the maps through the head. It is drawn by a concept's name, not its place.
        start = [np.random.default_rng([seed, *one.encode()]).normal(scale=0.1, size=classes) for one in ids]
        self.head.weight.data = torch.from_numpy(np.stack(start, axis=1)).float()
        nn.init.zeros_(self.head.bias)

    def forward(self, tokens: Tensor, pooled: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return maps (B, N, C), pooled maps (B, C) and what a head is given (B, C)."""
        maps = tokens @ self.weights.T + self.intercept
        if self.rule.layer_norm:
            maps = functional.layer_norm(maps, maps.shape[-1:], self.gain, self.shift, eps=_EPSILON)
        if self.rule.attention == "own":
            attention = torch.softmax(self.sharpness.exp() * maps, dim=1)
        elif self.rule.attention == "query":
            asked = (pooled @ self.weights.T + self.intercept) @ self.query.T
            fit = torch.einsum("bc,bnc->bn", asked, maps @ self.key.T) / len(self.intercept) ** 0.5
            attention = torch.softmax(fit, dim=1)[..., None]
        else:
            attention = torch.full_like(maps[..., :1], 1 / maps.shape[1])
        a = (attention * maps).sum(1)
        return maps, a, functional.layer_norm(a, a.shape[-1:], eps=_EPSILON) if self.rule.layer_norm else a


def fit_maps(
    reference: Reference, train: Cohort, bank: ConceptBank, classes: int, rule: SpatialRule, *, seed: int
) -> FittedMaps:
    """Fit the maps of every concept that has enough of both answers.

    Args:
        reference: Studies with concept labels (NaN is masked); the features need tokens.
        train: Labelled studies, for the losses of classes and contrast.
        bank: The concepts.
        classes: Number of classes K.
        rule: How.
        seed: Of the start, the order of the studies and who is held out. On one machine the same seed gives the same maps.

    Raises:
        OslerError: `part-missing` where features have no tokens, `nothing-eligible` where no concept is left.
    """
    held = _held_out(reference.patients, rule.held_out_share, seed)
    fits, kept = [], []
    for c, name in enumerate(bank.ids):
        negatives, positives = (int((reference.concepts[~held, c] == value).sum()) for value in (0, 1))
        few = min(negatives, positives) < rule.least
        fits.append(ConceptFit(name, positives, negatives, skipped=f"fewer than {rule.least} of an answer" * few))
        kept += [] if few else [c]
    if not kept:
        raise OslerError(
            Code.NOTHING_ELIGIBLE,
            f"None of {len(bank.ids)} concepts has {rule.least} studies of each answer among {int((~held).sum())}.",
            "Give more studies with concept labels, or lower `least`.",
        )
    taught, studies = (_inputs(one) for one in (reference.features.rows(~held), train.features))
    mean = taught.tokens.mean(0) if rule.centred else taught.tokens.mean((0, 1))[None]
    std = (taught.tokens - mean).square().mean((0, 1)).sqrt().clamp_min(1e-6)
    labels = torch.from_numpy(np.asarray(reference.concepts[~held][:, kept], np.float32))
    draw = torch.Generator().manual_seed(seed)
    ids = tuple(bank.ids[c] for c in kept)
    network = MapNetwork(len(std), ids, classes, rule, seed=seed)
    y = torch.from_numpy(np.asarray(train.y)).long()
    _train(network, taught.scaled(mean, std), labels, studies.scaled(mean, std), y, draw)
    scorer = _folded(network, ids, mean, std)
    return FittedMaps(scorer, _measured(scorer, reference, bank, held, fits))


@dataclass(frozen=True)
class _Inputs:
    tokens: Tensor
    query: Tensor

    def scaled(self, mean: Tensor, std: Tensor) -> _Inputs:
        return _Inputs((self.tokens - mean) / std, (self.query - mean.mean(0)) / std)


def _inputs(features: Features) -> _Inputs:
    tokens, query = token_inputs(features, normalised=True)
    return _Inputs(*(torch.from_numpy(np.asarray(one, np.float32)) for one in (tokens, query)))


def _held_out(patients: tuple[str, ...], share: float, seed: int) -> BoolArray:
    names, group = np.unique(np.asarray(patients), return_inverse=True)
    order = np.random.default_rng([seed, 10]).permutation(len(names))
    return np.isin(group, order[: round(share * len(names))])


def _train(
    network: MapNetwork, taught: _Inputs, labels: Tensor, studies: _Inputs, y: Tensor, draw: torch.Generator
) -> None:
    rule, n = network.rule, len(labels)
    balance = _balance(labels)
    optimiser = torch.optim.Adam(network.parameters(), lr=rule.lr)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, rule.epochs * -(-n // rule.batch))
    for _ in range(rule.epochs):
        for index in torch.split(torch.randperm(n, generator=draw), rule.batch):
            beside = torch.randint(len(y), (rule.batch,), generator=draw)
            loss = _reference_loss(network, taught, labels, balance, index)
            if rule.weights.classes or rule.weights.contrastive:
                loss = loss + _study_loss(network, studies, y, beside, draw)
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            schedule.step()


def _balance(labels: Tensor) -> Tensor:
    """Return the weight of each answer (2, C), absent and present, such that both count alike."""
    count = torch.stack([(labels == value).sum(0) for value in (0, 1)])
    return (count.sum(0) / (2 * count)).float()


def _reference_loss(network: MapNetwork, taught: _Inputs, labels: Tensor, balance: Tensor, index: Tensor) -> Tensor:
    """Return the losses of concepts and entropy, and the penalty."""
    rule, weights = network.rule, network.rule.weights
    maps, a, _ = network(taught.tokens[index], taught.query[index])
    penalty = rule.penalty * network.weights.square().sum() / (2 * labels.shape[1])
    loss = penalty + weights.concepts * concept_loss(a, labels[index], balance, rule.concept_loss)
    return loss + weights.entropy * map_entropy(maps) if weights.entropy else loss


def concept_loss(a: Tensor, labels: Tensor, balance: Tensor, kind: str) -> Tensor:
    """Return the loss of pooled maps (n, C) against labels (n, C) in {0, 1, NaN}, NaN left out."""
    known = ~labels.isnan()
    truth = torch.where(known, labels, torch.zeros_like(labels))
    if kind == "absolute":
        each = (torch.sigmoid(a) - truth).abs()
    else:
        each = functional.binary_cross_entropy_with_logits(a, truth, reduction="none")
        each = each * torch.where(truth > 0, balance[1], balance[0])
    return each[known].sum() / known.sum().clamp_min(1)


def map_entropy(maps: Tensor) -> Tensor:
    """Return the entropy over concepts of each token of maps (n, N, C), in nats: the mean over tokens, whatever the grid."""
    log = torch.log_softmax(maps, dim=-1)
    return -(log.exp() * log).sum(-1).mean()


def _study_loss(network: MapNetwork, studies: _Inputs, y: Tensor, index: Tensor, draw: torch.Generator) -> Tensor:
    """Return the losses of classes and of contrast; each study is paired with another at random."""
    weights = network.rule.weights
    _, _, value = network(studies.tokens[index], studies.query[index])
    other = torch.randperm(len(index), generator=draw)
    alike = torch.where(y[index] == y[index][other], 1.0, -1.0)
    contrast = functional.cosine_embedding_loss(value, value[other], alike)
    return weights.classes * functional.cross_entropy(network.head(value), y[index]) + weights.contrastive * contrast


def _folded(network: MapNetwork, ids: tuple[str, ...], mean: Tensor, std: Tensor) -> SpatialScorer:
    """Return the scorer on raw tokens; its percentiles are for `with_percentiles`."""
    arrays = {name: value.detach().double() for name, value in network.named_parameters()}
    weights = arrays["weights"] / std.double()
    intercept = arrays["intercept"] - weights @ mean.double().mean(0)
    places = (mean - mean.mean(0)).double() @ weights.T
    rule = network.rule
    wanted = {"query": ["query", "key"], "own": ["sharpness"], "uniform": []}[rule.attention]
    wanted += ["gain", "shift"] if rule.layer_norm else []
    scorer = SpatialScorer(
        ids,
        weights.numpy(),
        intercept.numpy(),
        np.tile([-1.0, 1.0], (len(ids), 1)),
        attention="uniform",
    )
    extra: dict[str, Any] = {name: arrays[name].numpy() for name in wanted}
    if rule.centred:
        extra["places"] = places.numpy()
    return replace(scorer, attention=rule.attention, layer_norm=rule.layer_norm, **extra)


def with_percentiles(scorer: SpatialScorer, train: Features, bank: ConceptBank) -> SpatialScorer:
    """Return the scorer with the 5th and 95th percentile of each concept over the training studies."""
    values = scorer.score(train, bank.subset(scorer.ids)).static
    return replace(scorer, percentiles=source_percentiles(values))


def _measured(
    scorer: SpatialScorer, reference: Reference, bank: ConceptBank, held: BoolArray, fits: list[ConceptFit]
) -> tuple[ConceptFit, ...]:
    """Return the records with accuracy at logit 0 and AUROC on the held-out studies, best first as in groundings."""
    state = scorer.score(reference.features.rows(held), bank.subset(scorer.ids))
    scored = dict(zip(scorer.ids, np.asarray(state.logit)[:, 0].T, strict=True))
    out = []
    for c, fit in enumerate(fits):
        truth = reference.concepts[held, c]
        known = ~np.isnan(truth)
        if not fit.skipped and len(np.unique(truth[known])) == 2:
            score, truth = scored[fit.concept][known], truth[known]
            accuracy = float(((score > 0) == truth).mean())
            fit = replace(fit, held_out=len(truth), accuracy=accuracy, auroc=float(roc_auc_score(truth, score)))
        out.append(fit)
    return tuple(sorted(out, key=lambda fit: (bool(fit.skipped), -np.nan_to_num(fit.accuracy), fit.concept)))
