"""Saliency of concept scores on planted shapes (M20.2), against closed forms, and the audit that predicts its failure."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from osler.bottleneck.encoders.catalogue import open_encoder
from osler_training.evaluate.localisation import mass_ratio
from osler_training.evaluate.saliency import (
    class_activation,
    co_occurrence,
    concept_scores,
    gradients,
    integrated_gradients,
    smooth_gradients,
)

SIDE, SHAPES, BOX = 64, 6, 11
TAG = np.zeros((SIDE, SIDE), bool)
TAG[2:8, 2:8] = True


def shape(kind: int) -> np.ndarray:
    y, x = np.mgrid[:BOX, :BOX] - BOX // 2
    r = np.hypot(x, y)
    return [
        r < 4,
        (np.abs(x) < 5) & (np.abs(y) < 2),
        (np.abs(y) < 5) & (np.abs(x) < 2),
        (r > 3.5) & (r < 5.5),
        np.abs(x - y) < 2,
        np.abs(x + y) < 2,
    ][kind]


@dataclass(frozen=True)
class Films:
    """Images (n, 64, 64), what each shows (n, 6), where (n, 6, 64, 64), and the class: whether the disc is there."""

    images: np.ndarray
    truth: np.ndarray
    regions: np.ndarray
    y: np.ndarray


def films(n: int, scheme: str, seed: int, tag: bool = False) -> Films:
    """Shapes at random places: each by itself (`independent`), or in pairs that always come together (`together`)."""
    draw = np.random.default_rng(seed)
    truth = draw.random((n, SHAPES)) < 0.5
    if scheme == "together":
        truth[:, 1::2] = truth[:, ::2]
    images = 0.35 + 0.03 * draw.standard_normal((n, SIDE, SIDE))
    regions = np.zeros((n, SHAPES, SIDE, SIDE), bool)
    cells = [(12 + 17 * row, 2 + 20 * column) for row in range(3) for column in range(3)]
    for i in range(n):
        for kind, cell in zip(range(SHAPES), draw.permutation(len(cells)), strict=False):
            if truth[i, kind]:
                row, column = np.array(cells[cell]) + draw.integers(0, 6, 2)
                images[i, row : row + BOX, column : column + BOX] += 0.4 * shape(kind)
                regions[i, kind, row : row + BOX, column : column + BOX] = True
        if tag and truth[i, 0]:
            images[i][TAG] = 0.0
    return Films(images.clip(0, 1).astype(np.float32), truth.astype(float), regions, truth[:, 0].astype(int))


class Small(nn.Module):
    """Three convolutions and a mean over places: no place is looked at more than another before anything is learned."""

    def __init__(self, scores: int) -> None:
        super().__init__()
        widths = ((1, 12, 5, 2), (12, 24, 5, 2), (24, 32, 3, 1))
        self.layers = nn.Sequential(
            *(nn.Sequential(nn.Conv2d(a, b, k, s, k // 2), nn.BatchNorm2d(b), nn.ReLU()) for a, b, k, s in widths)
        )
        self.out = nn.Linear(32, scores)

    def forward(self, pixels: Tensor) -> Tensor:
        found: Tensor = self.out(self.layers(pixels - 0.35).mean((2, 3)))
        return found


def trained(data: Films, labels: np.ndarray, epochs: int = 14) -> Small:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = Small(labels.shape[1])
        x, t = torch.from_numpy(data.images)[:, None], torch.from_numpy(labels).float()
        optimiser = torch.optim.Adam(network.parameters(), lr=1e-2)
        for _ in range(epochs):
            for index in torch.randperm(len(x)).split(32):
                optimiser.zero_grad()
                functional.binary_cross_entropy_with_logits(network(x[index]), t[index]).backward()
                optimiser.step()
    return network.eval()


@cache
def concept_network(scheme: str) -> Small:
    data = films(600, scheme, 1)
    return trained(data, data.truth)


def ratios(network: nn.Module, data: Films, kind: int, other: int) -> tuple[float, float]:
    """Mean ratio of the saliency of one concept's score in its own region, and in another's, where both are there."""
    both = (data.truth[:, kind] > 0) & (data.truth[:, other] > 0)
    maps = gradients(network, data.images[both], np.full(both.sum(), kind))
    own, wrong = (
        np.mean([mass_ratio(one, mask) for one, mask in zip(maps, data.regions[both, c], strict=True)])
        for c in (kind, other)
    )
    return float(own), float(wrong)


def test_apart_concepts_look_at_their_own_region_and_not_at_the_next() -> None:
    test = films(120, "independent", 2)
    network = concept_network("independent")
    with torch.inference_mode():
        right = ((network(torch.from_numpy(test.images)[:, None]).numpy() > 0) == test.truth).mean()
    assert right > 0.9
    found = np.array([ratios(network, test, kind, (kind + 1) % SHAPES) for kind in range(SHAPES)])
    assert (found[:, 0] > found[:, 1]).all()
    assert found[:, 0].mean() > 3
    assert found[:, 0].mean() > 1.5 * found[:, 1].mean()


@pytest.mark.slow
def test_concepts_that_always_come_together_share_their_regions() -> None:
    """What is learned of the one is as much of the other: the saliency of the score does not tell them apart."""
    apart, together = (
        np.array([ratios(concept_network(scheme), films(120, "independent", 2), k, k + 1) for k in (0, 2, 4)])
        for scheme in ("independent", "together")
    )
    lead = {name: one[:, 0].mean() / one[:, 1].mean() for name, one in (("apart", apart), ("together", together))}
    assert lead["together"] < 0.8 * lead["apart"]


@pytest.mark.slow
def test_random_weights_bring_the_ratio_to_chance() -> None:
    test = films(60, "independent", 3)
    found = []
    for seed in range(5):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network = Small(SHAPES).eval()
        found.append([ratios(network, test, kind, (kind + 1) % SHAPES)[0] for kind in range(SHAPES)])
    assert np.mean(found) == pytest.approx(1, abs=0.45)


@pytest.mark.slow
def test_a_black_box_looks_at_a_tag_that_tells_the_class_and_concepts_learned_elsewhere_do_not() -> None:
    tagged = films(400, "independent", 4, tag=True)
    networks = {"black box": trained(tagged, tagged.truth[:, :1], epochs=8), "concept": concept_network("independent")}
    seen = films(60, "independent", 5, tag=True)
    shown = seen.images[seen.y == 1]
    plain = films(60, "independent", 5).images[seen.y == 1]
    mass, fall = {}, {}
    for name, network in networks.items():
        maps = integrated_gradients(network, shown, np.zeros(len(shown), int))
        mass[name] = np.abs(maps)[:, TAG].sum() / np.abs(maps).sum()
        with torch.inference_mode():
            right = [(network(torch.from_numpy(x)[:, None])[:, 0] > 0).float().mean().item() for x in (shown, plain)]
        fall[name] = right[0] - right[1]
    assert mass["black box"] > 2 * mass["concept"]
    assert fall["black box"] > fall["concept"] + 0.2


def test_gradients_are_those_of_a_function_that_is_known() -> None:
    weights = torch.tensor([[1.0, -2.0], [0.0, 3.0]])

    def score(pixels: Tensor) -> Tensor:
        linear = (pixels[:, 0] * weights).sum((1, 2))
        return torch.stack([linear, linear**2], dim=1)

    x = np.random.default_rng(0).random((3, 2, 2)).astype(np.float32)
    linear = (x * weights.numpy()).sum((1, 2))
    np.testing.assert_allclose(gradients(score, x, [0] * 3), np.broadcast_to(np.abs(weights), (3, 2, 2)))
    squared = 2 * np.abs(linear)[:, None, None] * np.abs(weights.numpy())
    np.testing.assert_allclose(gradients(score, x, [1] * 3), squared, rtol=1e-5)
    np.testing.assert_allclose(gradients(score, x, [0, 1, 0])[1], squared[1], rtol=1e-5)
    np.testing.assert_allclose(smooth_gradients(score, x, [0] * 3), np.broadcast_to(np.abs(weights), (3, 2, 2)))
    # Integrated gradients are complete: they sum to the rise of the score above the grey image.
    grey = x.mean((1, 2)) * weights.sum().item()
    found = integrated_gradients(score, x, [1] * 3)
    np.testing.assert_allclose(found.sum((1, 2)), linear**2 - grey**2, rtol=1e-4)


def test_smoothing_repeats_itself_and_leaves_the_generator_alone() -> None:
    network, x = concept_network("independent"), films(4, "independent", 6).images
    torch.manual_seed(3)
    before = torch.get_rng_state()
    first = smooth_gradients(network, x, [0] * 4, draws=4)
    assert torch.equal(torch.get_rng_state(), before)
    np.testing.assert_array_equal(smooth_gradients(network, x, [0] * 4, draws=4), first)


def test_activation_maps_lie_on_the_grid_of_the_layer() -> None:
    network = concept_network("independent")
    maps = class_activation(network, network.layers[2], films(3, "independent", 7).images, [0, 1, 2])
    assert maps.shape == (3, 16, 16)
    assert maps.min() >= 0


def test_the_score_of_an_encoder_is_the_one_that_its_bottleneck_gives() -> None:
    encoder = open_encoder()
    draw = np.random.default_rng(0)
    W, b = draw.normal(size=(3, encoder.width)), draw.normal(size=3)
    images = draw.random((2, 128, 128), dtype=np.float32)
    score = concept_scores(encoder, W, b)
    with torch.inference_mode():
        found = score(torch.from_numpy(images)[:, None]).numpy()
    np.testing.assert_allclose(found, encoder.encode(list(images)).pooled @ W.T + b, atol=1e-4)
    assert gradients(score, images, [0, 2]).max() > 0


def test_co_occurrence_of_independent_concepts_is_about_zero_and_pairs_are_flagged() -> None:
    ids = [f"shape_{c}" for c in range(SHAPES)]
    apart = films(800, "independent", 8)
    audit = co_occurrence(apart.truth, ids, apart.y)
    off = audit.phi[~np.eye(SHAPES, dtype=bool)]
    assert np.abs(off).max() < 0.15
    assert audit.flagged == ()
    together = films(200, "together", 9)
    pairs = co_occurrence(together.truth, ids, together.y).flagged
    assert [one[:2] for one in pairs] == [(ids[c], ids[c + 1]) for c in (0, 2, 4)]
    np.testing.assert_allclose([one[2] for one in pairs], 1)


def test_the_audit_masks_what_is_missing_and_sees_labels_that_only_repeat_the_class() -> None:
    y = np.array([0, 0, 0, 1, 1, 1])
    truth = np.array([[1, 1, np.nan], [1, 0, np.nan], [1, 1, np.nan], [0, 0, np.nan], [0, np.nan, 1], [0, 1, 0]], float)
    audit = co_occurrence(truth, ["class-level", "own", "rare"], y)
    np.testing.assert_allclose(audit.constant_in_class, [1, 0, 0])
    known = ~np.isnan(truth[:, 1])
    assert audit.phi[0, 1] == pytest.approx(np.corrcoef(truth[known, 0], truth[known, 1])[0, 1])
    assert np.isnan(audit.phi[0, 2])  # where the third is labelled, the first never varies
