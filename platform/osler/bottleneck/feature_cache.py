"""Features of images already seen, on disk; derived, so any file of it may be deleted or damaged at any time."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from osler.bottleneck.protocols import Encoder
from osler.bottleneck.records import Array, Features

_BATCH = 64


def image_key(content_sha256: str, record: Mapping[str, Any] | None = None) -> str:
    """Name an image by the SHA-256 of its file and the record of how it was read (window, decoder); no identifier."""
    text = json.dumps({"content": content_sha256, "record": dict(record or {})}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True)
class FeatureCache:
    """Features by image and encoder.

    Attributes:
        folder: Folder of the cache, such as `workspace.cache`.
        encoder: The encoder that fills it.
    """

    folder: Path
    encoder: Encoder

    def features(self, keys: Sequence[str], read: Callable[[int], Array], *, tokens: bool = False) -> Features:
        """Return the features of images, encoding those that the cache does not hold.

        Args:
            keys: Key of each image, by `image_key`.
            read: Reads the image at an index of `keys`; called only where it must be encoded.
            tokens: Also return spatial features.
        """
        rows = [self._load(key, tokens) for key in keys]
        missing = [number for number, row in enumerate(rows) if row is None]
        batches = [missing[start : start + _BATCH] for start in range(0, len(missing), _BATCH)]
        for batch, images in zip(batches, _read_ahead(batches, read), strict=True):
            encoded = self.encoder.encode(images, tokens=tokens)
            for place, number in enumerate(batch):
                row = rows[number] = encoded.rows(slice(place, place + 1))
                self._save(keys[number], row, tokens)
        return stacked([row for row in rows if row is not None]) if rows else self.encoder.encode([])

    def holds(self, keys: Sequence[str], *, tokens: bool = False) -> bool:
        """Return whether all of these are in the cache, and whole."""
        return all(self._load(key, tokens) is not None for key in keys)

    def fill(self, keys: Sequence[str], read: Callable[[int], Array], *, tokens: bool = False) -> None:
        """Encode images together, and keep their features, whatever the cache holds of them; see `features`."""
        encoded = self.encoder.encode([read(number) for number in range(len(keys))], tokens=tokens)
        for number, key in enumerate(keys):
            self._save(key, encoded.rows(slice(number, number + 1)), tokens)

    def _path(self, key: str) -> Path:
        return self.folder / "features" / self.encoder.digest[:16] / key[:2] / f"{key}.safetensors"

    def _load(self, key: str, tokens: bool) -> Features | None:
        try:
            with safe_open(self._path(key), framework="numpy") as stored:
                held = json.loads(stored.metadata()["record"])
                arrays = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
        except (OSError, SafetensorError, KeyError, TypeError, ValueError):
            return None
        if held["sha256"] != _checksum(arrays) or (tokens and not held["asked_for_tokens"]):
            return None
        grid = None if held["grid"] is None else tuple(held["grid"])
        spatial = arrays.get("tokens") if tokens else None
        return Features(arrays["pooled"], spatial, grid if spatial is not None else None, text_space=held["text_space"])

    def _save(self, key: str, row: Features, asked_for_tokens: bool) -> None:
        arrays = {"pooled": row.pooled} | ({} if row.tokens is None else {"tokens": row.tokens})
        held = {
            "sha256": _checksum(arrays),
            "grid": row.grid,
            "text_space": row.text_space,
            "asked_for_tokens": asked_for_tokens,
        }
        content = save(arrays, metadata={"record": json.dumps(held)})
        path = self._path(key)
        scratch = path.with_suffix(
            f".{uuid4().hex}"
        )  # other machines write here too, where processes have the same number
        # A cache that cannot be written, on a full disk say, costs time and nothing else.
        with suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            scratch.write_bytes(content)
            os.replace(scratch, path)
        with suppress(OSError):
            scratch.unlink(missing_ok=True)


def _read_ahead(batches: Sequence[Sequence[int]], read: Callable[[int], Array]) -> Iterator[list[Array]]:
    """Read each batch while the one before it is encoded: a network leaves the interpreter idle."""

    def images(batch: Sequence[int]) -> list[Array]:
        return [read(number) for number in batch]

    with ThreadPoolExecutor(1) as reader:
        ahead = [reader.submit(images, batch) for batch in batches[:1]]
        for number in range(len(batches)):
            ahead += [reader.submit(images, batch) for batch in batches[number + 1 : number + 2]]
            yield ahead.pop(0).result()


def _checksum(arrays: Mapping[str, Array]) -> str:
    return hashlib.sha256(b"".join(arrays[name].tobytes() for name in sorted(arrays))).hexdigest()


def stacked(rows: Sequence[Features]) -> Features:
    """Return batches of features of one encoder as one batch."""
    tokens = [row.tokens for row in rows if row.tokens is not None]
    return Features(
        pooled=np.concatenate([row.pooled for row in rows]),
        tokens=np.concatenate(tokens) if tokens else None,
        grid=rows[0].grid,
        text_space=rows[0].text_space,
    )
