"""The encoder's folder, its hashes, its tokens and its preprocessing."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from open_clip.model import CLIP
from PIL import Image
from safetensors.torch import load_file, save_file

from osler.bottleneck.encoders.checkpoint import sha256_of
from osler.bottleneck.encoders.open_clip import OpenClipEncoder, build_model, save_encoder
from osler.bottleneck.encoders.preprocess import Preprocess
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

Images = list[np.ndarray]


def copy_of(folder: Path, target: Path) -> Path:
    return Path(shutil.copytree(folder, target / "copy"))


def test_the_loaded_encoder_is_open_clips_own_model(encoder: OpenClipEncoder, resnet_folder: Path, images: Images):
    config = json.loads((resnet_folder / "open_clip_config.json").read_text())["model_cfg"]
    model = CLIP(**config)
    model.load_state_dict(
        {
            k: v.float() if v.is_floating_point() else v
            for k, v in load_file(resnet_folder / "model.safetensors").items()
        }
    )
    model.eval()
    batch = torch.stack([encoder.preprocess(image) for image in images])
    with torch.no_grad():
        expected = model.encode_image(batch, normalize=True).numpy()
    features = encoder.encode(images)
    np.testing.assert_allclose(features.pooled, expected, atol=1e-5)
    assert features.pooled.dtype == np.float32
    assert features.tokens is None
    assert encoder.golden_checked


def test_saving_is_deterministic_and_small(
    make_encoder: Callable[..., OpenClipEncoder], resnet_folder: Path, tmp_path: Path
):
    make_encoder(tmp_path / "again", {"layers": [1, 1, 1, 1], "width": 8, "head_width": 32, "image_size": 64})
    for path in resnet_folder.iterdir():
        assert path.read_bytes() == (tmp_path / "again" / path.name).read_bytes(), path.name
    dtypes = {value.dtype for value in load_file(resnet_folder / "model.safetensors").values() if value.ndim > 1}
    assert dtypes == {torch.float16}


def test_a_row_does_not_depend_on_its_batch(encoder: OpenClipEncoder, images: Images):
    together = encoder.encode(images, tokens=True)
    for number, image in enumerate(images):
        alone = encoder.encode([image], tokens=True)
        np.testing.assert_allclose(alone.pooled[0], together.pooled[number], atol=1e-5)
        np.testing.assert_allclose(alone.tokens[0], together.tokens[number], atol=1e-5)
    assert encoder.encode([]).pooled.shape == (0, encoder.width)


def test_tokens_live_in_the_space_of_the_pooled_feature(encoder: OpenClipEncoder, images: Images):
    """With attention made uniform, the pooled feature is the mean of the tokens and of the projected mean."""
    pool = encoder.model.visual.attnpool
    kept = pool.q_proj.weight.clone(), pool.q_proj.bias.clone()
    pool.q_proj.weight.zero_(), pool.q_proj.bias.zero_()
    try:
        features = encoder.encode(images, tokens=True)
    finally:
        pool.q_proj.weight.copy_(kept[0]), pool.q_proj.bias.copy_(kept[1])
    assert features.grid == encoder.grid == (2, 2)
    shift = pool.positional_embedding[0] - pool.positional_embedding[1:].mean(0)
    with torch.no_grad():
        own = pool.c_proj.weight @ (pool.v_proj.weight @ shift)
    # The mean token enters the attention beside the N tokens; its value differs from their mean by its position only.
    gap = features.pooled - features.tokens.mean(axis=1)
    direction = own.numpy() / np.linalg.norm(own.numpy())
    np.testing.assert_allclose(gap - np.outer(gap @ direction, direction), 0, atol=1e-5)


def test_a_vision_transformer_shows_its_patches(
    make_encoder: Callable[..., OpenClipEncoder], tmp_path: Path, images: Images
):
    vision = {"layers": 1, "width": 32, "head_width": 16, "patch_size": 16, "image_size": 48, "pool_type": "avg"}
    encoder = make_encoder(tmp_path / "vit", vision)
    features = encoder.encode(images, tokens=True)
    assert features.tokens.shape == (4, 9, 24)
    assert features.grid == (3, 3)
    np.testing.assert_allclose(features.tokens.mean(axis=1), features.pooled, atol=1e-5)
    np.testing.assert_allclose(features.pooled, encoder.encode(images).pooled, atol=1e-5)


def test_texts_have_unit_length_and_unknown_words_are_alike(encoder: OpenClipEncoder):
    texts = encoder.encode_text(["the heart is enlarged", "The  HEART is enlarged", "zebra zebra", "quark lepton"])
    np.testing.assert_allclose(np.linalg.norm(texts, axis=1), 1, atol=1e-5)
    np.testing.assert_array_equal(texts[0], texts[1])
    np.testing.assert_array_equal(texts[2], texts[3])
    assert np.abs(texts[0] - texts[2]).max() > 1e-3


@pytest.mark.parametrize("name", ["model.safetensors", "open_clip_config.json", "vocabulary.txt", "card.md"])
def test_any_changed_file_is_refused(resnet_folder: Path, tmp_path: Path, name: str):
    folder = copy_of(resnet_folder, tmp_path)
    content = bytearray((folder / name).read_bytes())
    content[-2] ^= 1
    (folder / name).write_bytes(bytes(content))
    with pytest.raises(OslerError, match=name) as caught:
        OpenClipEncoder.from_folder(folder)
    assert caught.value.code is Code.MODEL_HASH_MISMATCH


@pytest.mark.parametrize(
    "change",
    [
        {"mean": [0.45, 0.45, 0.45]},
        {"std": [0.26, 0.26, 0.26]},
        {"interpolation": "bicubic"},
        {"resize_mode": "shortest"},
    ],
)
def test_another_preprocessing_is_caught_by_the_golden_embedding(
    resnet_folder: Path, tmp_path: Path, change: dict[str, object]
):
    folder = copy_of(resnet_folder, tmp_path)
    config = json.loads((folder / "open_clip_config.json").read_text())
    config["preprocess_cfg"] |= change
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    hashes = json.loads((folder / "hashes.json").read_text())
    hashes["files"]["open_clip_config.json"] = sha256_of(folder / "open_clip_config.json")
    (folder / "hashes.json").write_text(json.dumps(hashes))
    with pytest.raises(OslerError, match="test image") as caught:
        OpenClipEncoder.from_folder(folder)
    assert caught.value.code is Code.MODEL_HASH_MISMATCH


@pytest.mark.usefixtures("socket_disabled")
@pytest.mark.parametrize(
    ("vision", "tokens"),
    [
        ({"layers": 1, "width": 32, "head_width": 16, "patch_size": 16, "image_size": 32}, (4, 4, 24)),
        ({"timm_model_name": "resnet10t", "timm_pool": "avg", "timm_proj": "linear", "image_size": 64}, None),
    ],
)
def test_stock_tokenizer_and_other_towers_need_no_network(
    tmp_path: Path, images: Images, vision: dict[str, object], tokens: tuple[int, ...] | None
):
    text = {"context_length": 20, "vocab_size": 49408, "width": 8, "heads": 2, "layers": 1}
    config = {"embed_dim": 24, "vision_cfg": vision, "text_cfg": text}
    torch.manual_seed(0)
    size = int(str(vision["image_size"]))
    encoder = save_encoder(
        build_model(config), tmp_path, model_cfg=config, preprocess=Preprocess(size), vocabulary=None, card="# Other\n"
    )
    expected = open_clip.tokenizer.SimpleTokenizer(context_length=20)(["pleural effusion"])
    with torch.no_grad():
        text_features = encoder.model.encode_text(expected, normalize=True).numpy()
    np.testing.assert_allclose(encoder.encode_text(["pleural effusion"]), text_features, atol=1e-6)
    features = encoder.encode(images, tokens=True)
    assert (None if features.tokens is None else features.tokens.shape) == tokens
    assert (features.grid is None) == (tokens is None)
    assert encoder.encode([]).pooled.shape == (0, 24)
    np.testing.assert_allclose(np.linalg.norm(features.pooled, axis=1), 1, atol=1e-5)


@pytest.mark.usefixtures("socket_disabled")
@pytest.mark.parametrize("text", [{"hf_model_name": "some/bert"}, {"hf_tokenizer_name": "some/bert"}])
def test_where_a_hub_would_be_needed_images_are_read_and_texts_refused(
    encoder: OpenClipEncoder, resnet_folder: Path, tmp_path: Path, images: Images, text: dict[str, str]
):
    folder = copy_of(resnet_folder, tmp_path)
    config = json.loads((folder / "open_clip_config.json").read_text())
    config["model_cfg"]["text_cfg"] |= text
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    (folder / "hashes.json").unlink()
    (folder / "vocabulary.txt").unlink()
    alone = OpenClipEncoder.from_folder(folder, sha256=sha256_of(folder / "model.safetensors"))
    np.testing.assert_allclose(alone.encode(images).pooled, encoder.encode(images).pooled, atol=1e-6)
    with pytest.raises(OslerError, match="images only") as caught:
        alone.encode_text(["pleural effusion"])
    assert caught.value.code is Code.PART_MISSING


def test_a_checkpoint_from_elsewhere_needs_its_hash(resnet_folder: Path, tmp_path: Path):
    folder = copy_of(resnet_folder, tmp_path)
    (folder / "hashes.json").unlink()
    with pytest.raises(OslerError, match="no hash") as caught:
        OpenClipEncoder.from_folder(folder)
    assert caught.value.code is Code.MODEL_INVALID
    encoder = OpenClipEncoder.from_folder(folder, sha256=sha256_of(folder / "model.safetensors"))
    assert not encoder.golden_checked
    with pytest.raises(OslerError) as caught:
        OpenClipEncoder.from_folder(folder, sha256="0" * 64)
    assert caught.value.code is Code.MODEL_HASH_MISMATCH


def test_weights_that_do_not_fit_are_refused(resnet_folder: Path, tmp_path: Path):
    folder = copy_of(resnet_folder, tmp_path)
    weights = load_file(folder / "model.safetensors")
    weights.pop("logit_scale")
    save_file(weights, folder / "model.safetensors")
    with pytest.raises(OslerError) as caught:
        OpenClipEncoder.from_folder(folder, sha256=None)
    assert caught.value.code is Code.MODEL_HASH_MISMATCH
    (folder / "hashes.json").unlink()
    with pytest.raises(OslerError, match="do not fit") as caught:
        OpenClipEncoder.from_folder(folder, sha256=sha256_of(folder / "model.safetensors"))
    assert caught.value.code is Code.MODEL_INVALID


@pytest.mark.parametrize("bad", [np.full((8, 8), 200.0), np.full((8, 8), -0.5), np.full((8, 8), np.nan), np.zeros(8)])
def test_a_wrong_range_is_refused_in_every_batch(encoder: OpenClipEncoder, bad: np.ndarray):
    with pytest.raises(OslerError) as caught:
        encoder.encode([np.zeros((8, 8)), bad])
    assert caught.value.code is Code.INPUT_RANGE


@pytest.mark.parametrize(
    ("mode", "resample"), [("bilinear", Image.Resampling.BILINEAR), ("bicubic", Image.Resampling.BICUBIC)]
)
def test_resizing_agrees_with_pillow(mode: str, resample: Image.Resampling, images: Images):
    preprocess = Preprocess(size=32, mean=(0, 0, 0), std=(1, 1, 1), interpolation=mode)
    expected = np.asarray(Image.fromarray(images[2]).resize((32, 32), resample)).clip(0, 1)
    tolerance = 1e-4 if mode == "bilinear" else 0.1  # pillow's bicubic kernel has another coefficient
    for channel in preprocess(images[2]).numpy():
        np.testing.assert_allclose(channel, expected, atol=tolerance)


def test_cropping_keeps_the_centre(images: Images):
    wide = np.zeros((20, 60), np.float32)
    wide[:, 20:40] = 1
    cropped = Preprocess(size=20, mean=(0, 0, 0), std=(1, 1, 1), resize_mode="shortest")(wide)
    assert float(cropped.min()) == 1.0
    with pytest.raises(OslerError):
        Preprocess(size=20, resize_mode="longest")
