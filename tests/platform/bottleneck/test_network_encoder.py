"""Networks of timm, torchvision and MONAI as encoders: what the library itself computes, from a file at hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from monai.networks.nets import DenseNet121
from torchvision.models import get_model

from osler.bottleneck.encoders.catalogue import open_encoder
from osler.bottleneck.encoders.checkpoint import sha256_of
from osler.bottleneck.encoders.network import Architecture, NetworkEncoder, write_folder
from osler.bottleneck.encoders.preprocess import Preprocess
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

SIZE = 64
PREPROCESS = Preprocess(SIZE)
RESNET = Architecture("timm", "resnet18", "layer4", {"num_classes": 0})
VIT = Architecture("timm", "vit_tiny_patch16_224", "norm", {"img_size": SIZE, "depth": 2}, prefix=1, pool="first")
DENSENET = Architecture("torchvision", "densenet121", "features", {}, rectified=True)
MONAI = Architecture(
    "monai",
    "DenseNet121",
    "features",
    {"spatial_dims": 2, "in_channels": 3, "out_channels": 2, "block_config": [1, 1]},
    rectified=True,
)


def timm_resnet(batch: torch.Tensor, state: dict[str, Any]) -> torch.Tensor:
    model = timm.create_model("resnet18", num_classes=0)
    model.load_state_dict(state)
    return model.eval()(batch)


def timm_vit(batch: torch.Tensor, state: dict[str, Any]) -> torch.Tensor:
    model = timm.create_model("vit_tiny_patch16_224", img_size=SIZE, depth=2)
    model.load_state_dict(state)
    return model.eval().forward_head(model.forward_features(batch), pre_logits=True)


def torchvision_densenet(batch: torch.Tensor, state: dict[str, Any]) -> torch.Tensor:
    model = get_model("densenet121", weights=None)
    model.load_state_dict(state)
    model.classifier = torch.nn.Identity()
    return model.eval()(batch)


def monai_densenet(batch: torch.Tensor, state: dict[str, Any]) -> torch.Tensor:
    model = DenseNet121(spatial_dims=2, in_channels=3, out_channels=2, block_config=(1, 1))
    model.load_state_dict(state)
    model.class_layers.out = torch.nn.Identity()
    return model.eval()(batch)


NETWORKS = {
    "timm-maps": (RESNET, timm_resnet),
    "timm-tokens": (VIT, timm_vit),
    "torchvision": (DENSENET, torchvision_densenet),
    "monai": (MONAI, monai_densenet),
}


def fresh(architecture: Architecture) -> dict[str, torch.Tensor]:
    torch.manual_seed(3)
    return architecture.build().state_dict()


@pytest.fixture(scope="module")
def resnet(tmp_path_factory: pytest.TempPathFactory) -> NetworkEncoder:
    return write_folder(
        tmp_path_factory.mktemp("encoders") / "resnet", RESNET, fresh(RESNET), preprocess=PREPROCESS, card="A net.\n"
    )


@pytest.mark.parametrize("name", NETWORKS)
def test_features_are_those_of_the_library(name: str, images: list[np.ndarray], tmp_path: Path):
    architecture, reference = NETWORKS[name]
    state = fresh(architecture)
    encoder = write_folder(tmp_path / name, architecture, state, preprocess=PREPROCESS, card="A network.\n")
    features = encoder.encode(images, tokens=True)
    with torch.no_grad():
        expected = reference(torch.stack([PREPROCESS(image) for image in images]), state).numpy()
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(features.pooled, expected, atol=2e-5)
    assert features.pooled.shape == (len(images), encoder.width)
    assert features.tokens is not None
    assert features.grid is not None
    assert features.tokens.shape == (len(images), features.grid[0] * features.grid[1], encoder.width)
    if architecture.pool == "mean":
        np.testing.assert_allclose(features.tokens.mean(axis=1), features.pooled, atol=1e-5)


def test_it_opens_by_its_folder_and_reproduces_the_recorded_embedding(resnet: NetworkEncoder, tmp_path: Path):
    again = write_folder(tmp_path / "again", RESNET, fresh(RESNET), preprocess=PREPROCESS, card="Another card.\n")
    opened = open_encoder(tmp_path / "again")
    assert isinstance(opened, NetworkEncoder)
    assert opened.golden_checked
    assert opened.digest == again.digest == resnet.digest  # the card is no part of it
    assert opened.encode([]).pooled.shape == (0, opened.width)


def test_a_row_does_not_depend_on_its_batch(resnet: NetworkEncoder, images: list[np.ndarray]):
    together = resnet.encode(images).pooled
    for number, image in enumerate(images):
        np.testing.assert_allclose(resnet.encode([image]).pooled[0], together[number], atol=1e-5)


def refused(action: Any) -> OslerError:
    with pytest.raises(OslerError) as caught:
        action()
    return caught.value


@pytest.mark.parametrize(
    "changed",
    [
        {"library": "keras"},
        {"name": "no_such_network"},
        {"layer": "no.such.layer"},
        {"arguments": {"no_such_argument": 1}},
        {"pool": "first"},
        {"prefix": -1},
        {"colour": "blue"},
    ],
)
def test_what_no_library_builds_is_refused(changed: dict[str, Any]):
    error = refused(lambda: Architecture.from_config({**RESNET.to_config(), **changed}).build())
    assert error.code == Code.MODEL_INVALID


def test_weights_of_another_network_are_refused(tmp_path: Path):
    state = fresh(RESNET)
    del state["conv1.weight"]
    error = refused(lambda: write_folder(tmp_path / "x", RESNET, state, preprocess=PREPROCESS, card="A network.\n"))
    assert error.code == Code.MODEL_INVALID
    assert "conv1.weight" in str(error)
    assert not (tmp_path / "x").exists()


def test_a_checkpoint_without_a_record_needs_its_hash(resnet: NetworkEncoder, tmp_path: Path):
    folder = tmp_path / "bare"
    state = fresh(RESNET)
    write_folder(folder, RESNET, state, preprocess=PREPROCESS, card="A network.\n")
    (folder / "hashes.json").unlink()
    assert refused(lambda: open_encoder(folder)).code == Code.MODEL_INVALID
    assert refused(lambda: open_encoder(folder, sha256="0" * 64)).code == Code.MODEL_HASH_MISMATCH
    assert open_encoder(folder, sha256=sha256_of(folder / "model.safetensors")).digest == resnet.digest


def test_another_embedding_than_recorded_is_refused(tmp_path: Path):
    folder = tmp_path / "changed"
    write_folder(folder, RESNET, fresh(RESNET), preprocess=PREPROCESS, card="A network.\n")
    record = json.loads((folder / "hashes.json").read_text())
    record["golden"]["embedding"][0] += 0.1
    (folder / "hashes.json").write_text(json.dumps(record))
    assert refused(lambda: open_encoder(folder)).code == Code.MODEL_HASH_MISMATCH
