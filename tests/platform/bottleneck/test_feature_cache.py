"""The cache of features: derived, so damage costs time and nothing else."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from osler.bottleneck.encoders.open_clip import OpenClipEncoder
from osler.bottleneck.feature_cache import FeatureCache, image_key

Images = list[np.ndarray]


class Reader:
    """Counts how often an image is read."""

    def __init__(self, images: Images) -> None:
        self.images = images
        self.read: list[int] = []

    def __call__(self, number: int) -> np.ndarray:
        self.read.append(number)
        return self.images[number]


def keys_of(images: Images) -> list[str]:
    return [image_key(f"{number:064x}", {"window": 0}) for number in range(len(images))]


def test_what_was_encoded_is_not_encoded_again(encoder: OpenClipEncoder, images: Images, tmp_path: Path):
    cache, reader, keys = FeatureCache(tmp_path, encoder), Reader(images), keys_of(images)
    first = cache.features(keys[:2], reader)
    second = cache.features(keys, reader)
    assert reader.read == [0, 1, 2, 3]
    np.testing.assert_array_equal(second.pooled[:2], first.pooled)
    np.testing.assert_allclose(second.pooled, encoder.encode(images).pooled, atol=1e-5)
    with_tokens = cache.features(keys, reader, tokens=True)
    assert reader.read[4:] == [0, 1, 2, 3]
    assert with_tokens.tokens.shape == (4, 4, encoder.width)
    cache.features(keys, reader)
    cache.features(keys, reader, tokens=True)
    assert len(reader.read) == 8
    assert len(cache.features([], reader)) == 0


def test_a_damaged_file_is_made_again(encoder: OpenClipEncoder, images: Images, tmp_path: Path):
    cache, reader, keys = FeatureCache(tmp_path, encoder), Reader(images), keys_of(images)
    first = cache.features(keys, reader, tokens=True)
    paths = sorted(tmp_path.rglob("*.safetensors"))
    assert len(paths) == 4
    paths[0].write_bytes(b"")
    paths[1].write_bytes(paths[1].read_bytes()[:40])
    content = bytearray(paths[2].read_bytes())
    content[-1] ^= 255
    paths[2].write_bytes(bytes(content))
    paths[3].unlink()
    again = cache.features(keys, reader, tokens=True)
    assert sorted(reader.read[4:]) == [0, 1, 2, 3]
    np.testing.assert_allclose(again.pooled, first.pooled, atol=1e-6)
    np.testing.assert_allclose(again.tokens, first.tokens, atol=1e-5)


def test_a_cache_that_cannot_be_written_changes_nothing(encoder: OpenClipEncoder, images: Images, tmp_path: Path):
    (tmp_path / "features").write_text("a file where a folder should be")
    found = FeatureCache(tmp_path, encoder).features(keys_of(images), Reader(images))
    np.testing.assert_allclose(found.pooled, encoder.encode(images).pooled, atol=1e-5)


def test_keys_tell_content_and_reading_apart():
    keys = {image_key("a" * 64), image_key("b" * 64), image_key("a" * 64, {"window": 1})}
    assert len(keys) == 3
    assert image_key("a" * 64, {"x": 1, "y": 2}) == image_key("a" * 64, {"y": 2, "x": 1})
