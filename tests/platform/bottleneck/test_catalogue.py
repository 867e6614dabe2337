"""Encoders by name, by folder, and by the digest that a stored model names."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from osler.bottleneck.artefact import find_encoder, load_bottleneck, save_bottleneck
from osler.bottleneck.encoders.catalogue import MEASURING, SHIPPED, encoder_folder, open_encoder, shipped_folders
from osler.bottleneck.encoders.checkpoint import sha256_of
from osler.bottleneck.encoders.lazy import LazyEncoder
from osler.bottleneck.pipeline import Pipeline
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

Images = list[np.ndarray]


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_encoder_opens_by_its_name_and_by_its_folder(name: str, images: Images):
    by_name, by_folder = open_encoder(name), open_encoder(encoder_folder(name).path)
    assert by_name.name == name
    assert by_name.digest == by_folder.digest == encoder_folder(name).digest
    features = by_name.encode(images)
    assert features.pooled.shape == (len(images), by_name.width)
    np.testing.assert_array_equal(features.pooled, by_folder.encode(images).pooled)


def test_the_shipped_encoders_see_the_same_pixels_and_say_different_things():
    """Experiments that compare the two hold everything else alike."""
    first, second = (open_encoder(name) for name in SHIPPED)
    assert first.preprocess.resizing() == second.preprocess.resizing()
    assert first.digest != second.digest
    assert first.width != second.width
    assert [folder.name for folder in shipped_folders()] == [*SHIPPED, *MEASURING]


def test_a_folder_without_hashes_opens_with_the_hash_that_is_given(resnet_folder: Path, tmp_path: Path):
    folder = Path(shutil.copytree(resnet_folder, tmp_path / "own"))
    (folder / "hashes.json").unlink()
    with pytest.raises(OslerError) as caught:
        open_encoder(folder)
    assert caught.value.code is Code.MODEL_INVALID
    assert open_encoder(folder, sha256=sha256_of(folder / "model.safetensors")).name == "own"


@pytest.mark.parametrize("kind", ["crystal_ball", "checkpoint", "os.path", "../imagenet"])
def test_a_kind_that_is_no_encoder_is_refused(kind: str, tmp_path: Path):
    config = {"kind": kind, "model_cfg": {}, "preprocess_cfg": {}}
    (tmp_path / "encoder.json").write_text(json.dumps(config))
    with pytest.raises(OslerError) as caught:
        open_encoder(tmp_path)
    assert caught.value.code is Code.MODEL_INVALID


@pytest.mark.parametrize("content", ["", "[]", '{"kind": "imagenet"}'])
def test_a_folder_without_a_readable_configuration_is_refused(content: str, tmp_path: Path):
    if content:
        (tmp_path / "encoder.json").write_text(content)
    with pytest.raises(OslerError) as caught:
        open_encoder(tmp_path)
    assert caught.value.code is Code.MODEL_INVALID


@pytest.mark.parametrize("name", SHIPPED)
def test_a_stored_model_finds_its_encoder_whatever_the_kind(
    name: str, make_pipeline: Callable[..., Pipeline], images: Images, tmp_path: Path
):
    encoder = open_encoder(name)
    pipeline = replace(make_pipeline(encoder.width), encoder=encoder, encoder_digest=encoder.digest)
    folder = save_bottleneck(pipeline, tmp_path / "model", card="# A model\n")
    digest = load_bottleneck(folder).encoder_digest
    found = find_encoder(digest, folder)
    assert found.name == name
    again = load_bottleneck(folder, LazyEncoder(found, digest))
    np.testing.assert_allclose(again.predict(images).logits, pipeline.predict(images).logits, atol=1e-6)
