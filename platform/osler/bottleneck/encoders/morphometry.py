"""Measurements as an encoder: features with names and units, from rules that anyone can read."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from osler.bottleneck.encoders.checkpoint import (
    CARD,
    FORMAT,
    HASHES,
    OTHER_CONFIG,
    EncoderFolder,
    invalid,
    mismatch,
    sha256_of,
    write_json,
)
from osler.bottleneck.encoders.preprocess import Preprocess
from osler.bottleneck.records import Array, Features
from osler.morphometry.rules import Parameters, Reading, RuleSet, rule_set
from osler.morphometry.smear import SmearParameters

KIND, NAME = "morphometry", "white_cell_morphometry"
WHITE_CELL = "white cell of a stained smear"
# Relative: another version of the libraries may round an edge pixel elsewhere, and then it is another encoder.
GOLDEN_TOLERANCE = 1e-3


@dataclass(frozen=True)
class MorphometryEncoder:
    """Measurements of what a set of rules finds in an image; of a white cell where none is named.

    Attributes:
        parameters: What the segmentation goes by.
        name: Name of its folder.
        golden_checked: Whether the folder recorded measurements that were reproduced at loading.
        rules: What is measured, and how.
    """

    parameters: Parameters = field(default_factory=SmearParameters)
    name: str = NAME
    golden_checked: bool = False
    rules: RuleSet = field(default_factory=lambda: rule_set(WHITE_CELL))

    @classmethod
    def from_folder(cls, path: Path, sha256: str | None = None, device: str = "cpu") -> MorphometryEncoder:
        """Load the parameters of a folder, and check that a test image gives the recorded measurements.

        Args:
            path: Folder with `encoder.json` and `hashes.json`.
            sha256: There are no weights that could have it: any is refused.
            device: Measuring runs on the processor, whatever the device.

        Raises:
            OslerError: `model-hash-mismatch` where the code measures otherwise than the folder says; `model-invalid`.
        """
        folder = EncoderFolder(Path(path))
        folder.verify(sha256)
        try:
            model = folder.config["model_cfg"]
            rules = rule_set(model["rules"])
            encoder = cls(rules.parameters.from_record(model["parameters"]), folder.path.name, rules=rules)
        except (KeyError, TypeError) as error:
            raise invalid(f"The encoder's folder {folder.path} holds other parameters than its rules go by.") from error
        if encoder.digest != folder.digest:
            raise mismatch(f"The code that measures for encoder {encoder.name!r}")
        golden = folder.hashes.get("golden")
        if golden is not None and not encoder._reproduces(golden["embedding"], golden["tolerance"]):
            raise mismatch(f"What encoder {encoder.name!r} measures on the test image")
        return replace(encoder, golden_checked=golden is not None)

    @property
    def digest(self) -> str:
        """SHA-256 over the version of the code, the measurements and the parameters; that of its folder."""
        return hashlib.sha256(json.dumps(self.configuration, sort_keys=True).encode()).hexdigest()

    @property
    def configuration(self) -> dict[str, Any]:
        """What the digest covers."""
        return {"kind": KIND, **self.rules.configuration(self.parameters)}

    @property
    def width(self) -> int:
        """Number of measurements."""
        return len(self.rules.measurements)

    @property
    def feature_names(self) -> tuple[str, ...]:
        """Names of the columns."""
        return self.rules.names

    @property
    def preprocess(self) -> Preprocess:
        """How a caller that must shrink images may do so; the encoder itself takes them as they are."""
        return Preprocess(self.parameters.longest)

    def read(self, image: Array) -> Reading:
        """Measure one image in [0, 1], (H, W, 3) or (H, W) as the rules take it, with the reason where nothing could be.

        Raises:
            OslerError: `input-range`.
        """
        return self.rules.measure(np.asarray(image), self.parameters)

    def encode(self, images: Sequence[Array], *, tokens: bool = False) -> Features:
        """Measure images in [0, 1], each (H, W, 3) or (H, W) as the rules take it.

        Args:
            images: The images, of any sizes.
            tokens: Without effect: an image is measured as a whole.

        Returns:
            Measurements (B, M) float32 in the order of `feature_names`; NaN where one could not be taken.

        Raises:
            OslerError: `input-range` where an image is outside [0, 1], or grey where the rules measure colours.
        """
        rows: list[NDArray[np.float32]] = [np.asarray(self.read(image).values, np.float32) for image in images]
        return Features(pooled=np.stack(rows) if rows else np.zeros((0, self.width), np.float32))

    def _reproduces(self, recorded: Sequence[float], tolerance: float) -> bool:
        return bool(np.allclose(self.read(self.rules.golden()).values, recorded, rtol=tolerance, atol=tolerance))


ENCODER = MorphometryEncoder


def write_folder(folder: Path, rules: RuleSet, parameters: Parameters, *, card: str) -> MorphometryEncoder:
    """Write a folder with the parameters and with the measurements that loading will check.

    Args:
        folder: Where to.
        rules: What is measured, and how.
        parameters: What the segmentation goes by.
        card: What the encoder is, in Markdown.

    Raises:
        OslerError: as `MorphometryEncoder.from_folder`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    encoder = MorphometryEncoder(parameters, folder.name, rules=rules)
    write_json(folder / OTHER_CONFIG, encoder.configuration)
    (folder / CARD).write_text(card, encoding="utf-8")
    measured = [round(float(value), 6) for value in encoder.read(rules.golden()).values]
    record: dict[str, Any] = {
        "format": FORMAT,
        "files": {name: sha256_of(folder / name) for name in (OTHER_CONFIG, CARD)},
        "golden": {"embedding": measured, "tolerance": GOLDEN_TOLERANCE},
    }
    write_json(folder / HASHES, record)
    return MorphometryEncoder.from_folder(folder)
