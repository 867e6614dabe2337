"""Training end to end: learns, repeats itself, stops on the select split, leaves the global generator alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from skimage.transform import resize as skimage_resize
from torch import nn

from osler.bottleneck.records import Features
from osler_training.fit.imagenet import ImageNetLite
from osler_training.fit.network import TrainRule, predict_logits, resize, train_network
from osler_training.fit.problem import Cohort


def blobs(seed: int, n: int, side: int = 48) -> Cohort:
    """Noise with a bright square, on the left for class 0 and on the right for class 1."""
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 2
    images = rng.random((n, side, side), dtype=np.float32) * 0.5
    for i in range(n):
        left = rng.integers(4, 10) + (side // 2) * y[i]
        images[i, 16:28, left : left + 12] += 0.5
    return Cohort(Features(np.zeros((n, 1))), y, tuple(f"{seed}-{i}" for i in range(n)), images)


def small_network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 8, 5, 2), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(800, 2))


@pytest.fixture(scope="module")
def cohorts() -> tuple[Cohort, Cohort, Cohort]:
    return blobs(0, 80), blobs(1, 40), blobs(2, 40)


def test_it_learns_and_repeats_itself(cohorts: tuple[Cohort, Cohort, Cohort]) -> None:
    rule = TrainRule(side=24, epochs=4, lr=1e-2)
    torch.manual_seed(7)
    before = torch.get_rng_state()
    runs = []
    for _ in range(2):
        network = small_network()
        torch.set_rng_state(before)
        runs.append(train_network(network, *cohorts, rule, seed=3))
        assert torch.equal(torch.get_rng_state(), before)
    test = blobs(3, 60)
    assert np.array_equal(runs[0].probabilities(test), runs[1].probabilities(test))
    assert (runs[0].probabilities(test).argmax(1) == test.y).mean() > 0.95


def test_it_stops_when_the_select_split_gets_no_better_and_keeps_the_best(
    cohorts: tuple[Cohort, Cohort, Cohort],
) -> None:
    train, select, calibrate = cohorts
    contrary = Cohort(select.features, 1 - select.y, select.patients, select.images)  # learning makes this split worse
    fitted = train_network(
        small_network(), train, contrary, calibrate, TrainRule(side=24, epochs=9, patience=2, lr=1e-2), seed=0
    )
    losses = [epoch["select_cross_entropy"] for epoch in fitted.history]
    assert len(losses) == int(np.argmin(losses)) + 3 < 9
    logits = torch.from_numpy(predict_logits(fitted.network, resize(contrary.images, 24)))
    assert nn.functional.cross_entropy(logits, torch.from_numpy(contrary.y)).item() == pytest.approx(
        min(losses), rel=1e-6
    )


def test_resizing_agrees_with_another_library() -> None:
    image = blobs(0, 1).images
    assert image is not None
    want = skimage_resize(image[0], (24, 24), order=1, anti_aliasing=True)
    assert resize(image, 24)[0, 0].numpy() == pytest.approx(want, abs=0.08)


def test_the_imagenet_weights_are_real() -> None:
    """The stem of a trained network is no noise: its filters are smooth and its classifier starts without an opinion."""
    network = ImageNetLite(2, 64).eval()
    stem = network.body._conv_stem.weight.detach()
    neighbours = torch.corrcoef(torch.stack([stem[:, :, :, :-1].flatten(), stem[:, :, :, 1:].flatten()]))[0, 1]
    assert neighbours > 0.2
    with torch.inference_mode():
        features = network.body.extract_features(torch.randn(2, 3, 64, 64))
        assert features.shape[1] == 1280
        assert torch.equal(network(torch.rand(2, 3, 64, 64)), torch.zeros(2, 2))
