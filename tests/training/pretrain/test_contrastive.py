"""Contrastive training against closed forms and open_clip's own loss, and on planted pairs it must learn."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from open_clip.loss import ClipLoss
from torch import Tensor, nn
from torch.nn import functional

from osler.bottleneck.encoders.open_clip import build_model
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError
from osler_training.pretrain.contrastive import (
    ContrastiveSettings,
    Material,
    agreement_targets,
    augment,
    contrastive_loss,
    train,
)

STILL = ContrastiveSettings(brightness=0, contrast=0, gamma=0, rotation_degrees=0, shift=0, zoom=0)
KINDS, SIDE = 4, 32
CONFIG = {
    "embed_dim": 16,
    "vision_cfg": {"layers": [1, 1, 1, 1], "width": 16, "head_width": 16, "image_size": SIDE},
    "text_cfg": {"context_length": 4, "vocab_size": 3 + KINDS, "width": 16, "heads": 2, "layers": 1},
}


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def random_images(count: int = 6, side: int = 24) -> Tensor:
    return torch.rand(count, 1, side, side, generator=generator(9))


@given(seed=st.integers(0, 2**31), side=st.integers(8, 40))
@settings(max_examples=25, deadline=None)
def test_jitter_keeps_shape_and_range(seed: int, side: int) -> None:
    images = random_images(side=side)
    jittered = augment(images, ContrastiveSettings(), generator(seed))
    assert jittered.shape == images.shape
    assert 0 <= float(jittered.min()) <= float(jittered.max()) <= 1
    assert not torch.allclose(jittered, images, atol=1e-2)


def test_jitter_without_ranges_changes_nothing() -> None:
    images = random_images()
    assert augment(images, STILL, generator()) == pytest.approx(images, abs=2e-4)


def test_each_image_gets_its_own_jitter_and_the_same_seed_the_same() -> None:
    images = random_images(1).expand(4, -1, -1, -1)
    once, again = (augment(images, ContrastiveSettings(), generator(5)) for _ in range(2))
    assert torch.equal(once, again)
    assert not torch.allclose(once[0], once[1], atol=1e-2)


def test_jitter_never_flips() -> None:
    """The heart lies on one side of the chest; a flipped film is another film."""
    image = torch.full((200, 1, 32, 32), 0.2)
    image[..., :12] = 0.7
    jittered = augment(image, ContrastiveSettings(), generator())
    assert bool((jittered[..., :12].mean((1, 2, 3)) > jittered[..., -12:].mean((1, 2, 3))).all())


def test_brightness_is_drawn_within_its_range() -> None:
    grey = torch.full((400, 1, 4, 4), 0.5)
    only = ContrastiveSettings(brightness=0.2, contrast=0, gamma=0, rotation_degrees=0, shift=0, zoom=0)
    added = augment(grey, only, generator())[:, 0, 0, 0] - 0.5
    assert float(added.abs().max()) <= 0.2 + 1e-6
    assert added.std() == pytest.approx(0.2 / np.sqrt(3), rel=0.1)


def test_targets_share_what_agrees_and_fall_with_each_difference() -> None:
    stated = torch.tensor([[1.0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 1]])
    targets = agreement_targets(stated, sharpness=4)
    assert targets.sum(dim=1) == pytest.approx(torch.ones(4))
    assert targets[0, 0] == targets[0, 1] == targets[1, 0]
    assert targets[0, 2] / targets[0, 0] == pytest.approx(np.exp(-2), rel=1e-5)
    assert targets[0, 3] / targets[0, 0] == pytest.approx(np.exp(-6), rel=1e-5)


def test_targets_of_equal_statements_are_even_and_symmetric() -> None:
    assert agreement_targets(torch.ones(5, 7)) == pytest.approx(torch.full((5, 5), 0.2))


def test_hardly_any_agreement_is_the_identity_of_clip() -> None:
    assert agreement_targets(torch.eye(6), sharpness=60) == pytest.approx(torch.eye(6), abs=1e-6)


@pytest.mark.parametrize("scale", [1.0, 14.3, 100.0])
def test_with_identity_targets_the_loss_is_that_of_open_clip(scale: float) -> None:
    image, text = (functional.normalize(torch.randn(9, 5, generator=generator(one)), dim=1) for one in (1, 2))
    ours = contrastive_loss(image, text, torch.tensor(scale), torch.eye(9))
    assert float(ours) == pytest.approx(float(ClipLoss()(image, text, torch.tensor(scale))), rel=1e-5)


def planted(count: int, seed: int) -> tuple[NDArray[np.uint8], NDArray[np.intp]]:
    """Noise with a bright square in one of four corners, and the corner."""
    rng = np.random.default_rng(seed)
    kinds = np.arange(count) % KINDS
    images = rng.integers(0, 90, (count, SIDE, SIDE)).astype(np.uint8)
    for image, kind in zip(images, kinds, strict=True):
        row, column = (int(kind) // 2) * 16 + 3, (int(kind) % 2) * 16 + 3
        image[row : row + 10, column : column + 10] += 150
    return images, kinds


def wording(kinds: NDArray[np.intp]) -> Tensor:
    """Token ids of a report that names the corner: start, the name, end, padding."""
    ids = torch.zeros(len(kinds), 4, dtype=torch.long)
    ids[:, 0], ids[:, 1], ids[:, 2] = 1, torch.from_numpy(kinds) + 2, 2 + KINDS
    return ids


def normalise(grey: Tensor) -> Tensor:
    return (grey.expand(-1, 3, -1, -1) - 0.5) / 0.25


def trained(seed: int, epochs: int) -> tuple[nn.Module, list[float], list[str]]:
    images, kinds = planted(64, seed=1)
    torch.manual_seed(0)
    model = build_model(CONFIG)
    stated = np.eye(KINDS, dtype=np.int8)[kinds]
    rule = ContrastiveSettings(
        epochs=epochs, batch=8, learning_rate=3e-3, rotation_degrees=2, shift=0.02, zoom=0.02, bfloat16=False
    )
    material = Material(images, lambda rows, _: wording(kinds[rows]), stated, normalise)
    lines: list[str] = []
    return model, train(model, material, rule, seed, lines.append), lines


@torch.no_grad()
def retrieved(model: nn.Module) -> float:
    """Share of new images whose most similar report is the right one."""
    images, kinds = planted(80, seed=2)
    image = model.encode_image(normalise(torch.from_numpy(images).float().div(255).unsqueeze(1)), normalize=True)
    text = model.encode_text(wording(np.arange(KINDS)), normalize=True)
    return float(((image @ text.T).argmax(1).numpy() == kinds).mean())


def test_on_planted_pairs_it_learns_to_find_the_report() -> None:
    model, losses, lines = trained(seed=2, epochs=10)
    assert losses[1] < losses[0], losses
    assert losses[-1] < np.log(8) - 0.4, (
        f"{losses}: whoever knows nothing pays the logarithm of the batch, {np.log(8):.2f}"
    )
    assert retrieved(model) > 0.7, f"{retrieved(model):.2f} of new images find their report; chance is 0.25"
    assert not model.training
    assert len(lines) == len(losses) == 10
    assert lines[-1].startswith("epoch 10/10: loss ")
    assert 2 < model.logit_scale.exp().item() <= 100


def test_same_seed_same_weights() -> None:
    one, again, other = (trained(seed, epochs=1) for seed in (3, 3, 4))
    assert one[1] == again[1] != other[1]
    states = [model.state_dict() for model, _, _ in (one, again, other)]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    assert any(not torch.equal(states[0][name], states[2][name]) for name in states[0])


def test_too_few_pairs_for_a_batch_are_refused() -> None:
    images, kinds = planted(4, seed=1)
    material = Material(images, lambda rows, _: wording(kinds[rows]), np.eye(KINDS, dtype=np.int8)[kinds], normalise)
    with pytest.raises(OslerError, match="4 pairs do not fill a batch of 8") as error:
        train(build_model(CONFIG), material, ContrastiveSettings(batch=8), 0, print)
    assert error.value.code == Code.USAGE
