"""An encoder's folder: configuration, weights, vocabulary, card, and the hashes that say they are the right ones."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from osler.bottleneck.records import Array
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

FORMAT = "osler-encoder/1"
CONFIG, HASHES, VOCABULARY, CARD = "open_clip_config.json", "hashes.json", "vocabulary.txt", "card.md"
WEIGHTS = ("model.safetensors", "open_clip_model.safetensors")
# Another processor or BLAS differs by less in single precision, and a GPU by less in half precision.
GOLDEN_TOLERANCE, GOLDEN_TOLERANCE_HALF = 1e-4, 5e-3


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def mismatch(what: str) -> OslerError:
    """Return the error for files that are not those that were recorded."""
    return OslerError(
        Code.MODEL_HASH_MISMATCH,
        f"{what} is not what its record says.",
        "Restore the folder from its source; do not use it as it is.",
    )


def invalid(message: str) -> OslerError:
    """Return the error for a folder that holds no usable model."""
    return OslerError(Code.MODEL_INVALID, message, "Name a folder as `osler doctor` lists them, or restore this one.")


def golden_image() -> Array:
    """Return the fixed test image (231, 190): a ramp with edges and grain, which no two preprocessings treat alike."""
    y, x = np.mgrid[0:231, 0:190]
    grain = (x * 7919 + y * 104729 + x * y * 31) % 101 / 100
    bars = ((x // 9 + y // 14) % 2) * (y > x)
    return np.asarray(0.3 * y / 230 + 0.3 * bars + 0.4 * grain * (x > 60), np.float32)


@dataclass(frozen=True)
class EncoderFolder:
    """The files of one encoder, before any weight is read."""

    path: Path

    @cached_property
    def config(self) -> dict[str, Any]:
        """`model_cfg` and `preprocess_cfg`, as open_clip writes them."""
        try:
            config: dict[str, Any] = json.loads((self.path / CONFIG).read_text(encoding="utf-8"))
            return {"model_cfg": config["model_cfg"], "preprocess_cfg": config["preprocess_cfg"]}
        except (OSError, ValueError, KeyError) as error:
            raise invalid(f"There is no readable {CONFIG} in the encoder's folder {self.path}.") from error

    @cached_property
    def weights(self) -> Path:
        """The file of weights; safetensors only, never a pickle."""
        for name in WEIGHTS:
            if (self.path / name).is_file():
                return self.path / name
        raise invalid(f"The encoder's folder {self.path} has no {' or '.join(WEIGHTS)}.")

    @cached_property
    def hashes(self) -> dict[str, Any]:
        """What was recorded when the folder was made; empty for a checkpoint from elsewhere."""
        path = self.path / HASHES
        try:
            return dict(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else {}
        except ValueError as error:
            raise invalid(f"{HASHES} in {self.path} is not JSON.") from error

    def verify(self, sha256: str | None = None) -> None:
        """Check every recorded file, and the weights against `sha256` where it is given.

        Raises:
            OslerError: `model-hash-mismatch`; `model-invalid` where there is neither a record nor `sha256`.
        """
        recorded: dict[str, str] = self.hashes.get("files", {})
        if sha256 is None and self.weights.name not in recorded:
            raise invalid(f"The encoder's folder {self.path} records no hash of its weights, and none was given.")
        if sha256 is not None and sha256_of(self.weights) != sha256.lower():
            raise mismatch(f"The weights {self.weights.name} of encoder {self.path.name!r}")
        for name, digest in recorded.items():
            if not (self.path / name).is_file() or sha256_of(self.path / name) != digest:
                raise mismatch(f"{name} of encoder {self.path.name!r}")

    @cached_property
    def digest(self) -> str:
        """SHA-256 over weights, configuration and preprocessing."""
        parts = {"weights": sha256_of(self.weights), **self.config}
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def shipped_encoder_folder() -> Path:
    """Return the folder of the encoder that comes with the package."""
    return Path(str(files("osler.bottleneck.encoders") / "phantom_clip"))
