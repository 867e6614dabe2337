"""Networks that are trained end to end: weights from a file, colour and grey, learning, refusals."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torchvision.models import densenet121
from torchvision.models.vision_transformer import VisionTransformer

from osler_contracts.codes import Code
from osler_contracts.errors import OslerError
from osler_training.fit.backbones import build_densenet, build_vit
from osler_training.fit.methods import fit_method
from osler_training.fit.network import resize

World = Callable[..., Any]


def in_colour(problem: Any) -> Any:
    parts = {name: getattr(problem, name) for name in ("train", "select", "calibrate")}
    coloured = {
        name: replace(part, images=np.repeat(part.images[..., None], 3, axis=3)) for name, part in parts.items()
    }
    return replace(problem, **coloured)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["fine_tuned_densenet", "fine_tuned_vit"])
def test_a_network_from_scratch_learns_repeats_itself_and_takes_grey_for_colour(planted: World, name: str) -> None:
    world = planted(2)
    options = {"side": 32, "epochs": 3, "lr": 3e-4} | ({"patch": 8} if name == "fine_tuned_vit" else {})
    grey, again, colour = (
        fit_method(name, one, options, seed=0) for one in (world.problem, world.problem, in_colour(world.problem))
    )
    prob = grey.probabilities(world.test)
    assert (prob.argmax(1) == world.test.y).mean() > 0.9
    np.testing.assert_array_equal(prob, again.probabilities(world.test))
    np.testing.assert_allclose(prob, colour.probabilities(world.test), atol=1e-5)
    assert not np.array_equal(prob, fit_method(name, world.problem, options, seed=1).probabilities(world.test))


def test_colours_are_told_apart() -> None:
    images = np.zeros((2, 40, 40, 3), np.float32)
    images[0, ..., 0], images[1, ..., 2] = 1.0, 1.0
    pixels = resize(images, 20)
    assert pixels.shape == (2, 3, 20, 20)
    assert pixels.mean(dim=(2, 3)).tolist() == [[1, 0, 0], [0, 0, 1]]
    with pytest.raises(OslerError) as caught:
        resize(np.zeros((2, 40, 40, 4), np.float32), 20)
    assert caught.value.code is Code.INPUT_RANGE


def test_a_densenet_has_the_weights_of_the_file_in_either_spelling(tmp_path: Path) -> None:
    torch.manual_seed(0)
    source = densenet121(weights=None).eval()
    state = source.state_dict()
    old = {
        name.replace("norm1", "norm.1").replace("conv2", "conv.2") if "denselayer" in name else name: value
        for name, value in state.items()
    }
    save_file(state, tmp_path / "new.safetensors")
    torch.save(old, tmp_path / "old.pth")
    digest = hashlib.sha256((tmp_path / "new.safetensors").read_bytes()).hexdigest()
    pixels = torch.rand(2, 3, 32, 32)
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    with torch.inference_mode():
        want = source.features((pixels - mean.view(1, 3, 1, 1)) / std.view(1, 3, 1, 1))
        for network in (
            build_densenet(3, tmp_path / "new.safetensors", digest).eval(),
            build_densenet(3, tmp_path / "old.pth").eval(),
        ):
            seen: list[torch.Tensor] = []
            network.network.features.register_forward_hook(lambda *args, seen=seen: seen.append(args[2]))
            assert torch.equal(network(pixels), torch.zeros(2, 3))  # no opinion at the start
            assert torch.allclose(seen[0], want.relu(), atol=1e-5)  # the network rectifies in place
    for build, code in (
        (lambda: build_densenet(3, tmp_path / "new.safetensors", "0" * 64), Code.MODEL_HASH_MISMATCH),
        (lambda: build_densenet(3, tmp_path / "none.pth"), Code.MODEL_INVALID),
        (lambda: build_vit(3, 32, "tiny", 16, tmp_path / "new.safetensors"), Code.MODEL_INVALID),
    ):
        with pytest.raises(OslerError) as caught:
            build()
        assert caught.value.code is code


def test_a_transformer_takes_weights_of_another_image_size(tmp_path: Path) -> None:
    torch.manual_seed(0)
    source = VisionTransformer(64, 16, 12, 3, 192, 768)
    save_file(source.state_dict(), tmp_path / "vit.safetensors")
    network: Any = build_vit(2, 32, "tiny", 16, tmp_path / "vit.safetensors")
    body = network.network
    assert body.encoder.pos_embedding.shape == (1, 5, 192)
    assert torch.equal(body.conv_proj.weight, source.conv_proj.weight)
    assert torch.equal(network.eval()(torch.rand(2, 3, 32, 32)), torch.zeros(2, 2))
    for wrong in (
        lambda: build_vit(2, 32, "small", 16, tmp_path / "vit.safetensors"),
        lambda: build_vit(2, 30, "tiny", 16),
        lambda: build_vit(2, 32, "huge", 16),
        lambda: build_densenet(2, tmp_path / "vit.safetensors"),
    ):
        with pytest.raises(OslerError) as caught:
            wrong()
        assert caught.value.code is Code.MODEL_INVALID


def test_a_file_that_would_run_code_is_refused(tmp_path: Path) -> None:
    marker = tmp_path / "ran"

    class Harmful:
        def __reduce__(self) -> tuple[Any, ...]:
            return (marker.touch, ())

    torch.save({"weight": Harmful()}, tmp_path / "bad.pth")
    with pytest.raises(OslerError) as caught:
        build_densenet(2, tmp_path / "bad.pth")
    assert caught.value.code is Code.MODEL_INVALID
    assert not marker.exists()


def test_pixels_that_were_not_kept_are_asked_for(planted: World) -> None:
    problem = planted(2).problem
    with pytest.raises(OslerError) as caught:
        fit_method("fine_tuned_vit", replace(problem, train=replace(problem.train, images=None)), {"side": 32}, seed=0)
    assert caught.value.code is Code.PART_MISSING
