"""Measurements of white cells as an encoder: features with names and units, from rules that anyone can read."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
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
from osler.morphometry.smear import SmearParameters
from osler.morphometry.white_cell import MEASUREMENTS, NAMES, VERSION, Reading, measure

KIND, NAME = "morphometry", "white_cell_morphometry"
RULES = "white cell of a stained smear"
# Relative: another version of the libraries may round an edge pixel elsewhere, and then it is another encoder.
GOLDEN_TOLERANCE = 1e-3


def configuration(parameters: SmearParameters) -> dict[str, Any]:
    """Return what the digest covers: the version of the code, the measurements with their units, the parameters."""
    named = {one.name: one.unit for one in MEASUREMENTS}
    model_cfg = {"rules": RULES, "version": VERSION, "measurements": named, "parameters": parameters.to_record()}
    preprocess_cfg = {"size": parameters.longest, "channels": "colour", "input_range": [0.0, 1.0]}
    return {"kind": KIND, "model_cfg": model_cfg, "preprocess_cfg": preprocess_cfg}


def golden_cell() -> Array:
    """Return the fixed test image (120, 130, 3): glass, a red cell, and a white cell with a nucleus of two lobes."""
    y, x = np.mgrid[0:120, 0:130].astype(float)
    image = np.broadcast_to([0.99, 0.90, 0.79], (120, 130, 3)).copy()
    grain = 0.03 * (((x * 7919 + y * 104729) % 101) / 100 - 0.5)
    for row, column, radius, colour in (
        (20, 108, 15, (0.75, 0.62, 0.60)),
        (60, 60, 34, (0.80, 0.62, 0.66)),
        (52, 50, 13, (0.32, 0.18, 0.50)),
        (68, 70, 14, (0.32, 0.18, 0.50)),
    ):
        image[(y - row) ** 2 + (x - column) ** 2 <= radius**2] = colour
    return np.asarray(np.clip(image + grain[..., None], 0, 1), np.float32)


@dataclass(frozen=True)
class MorphometryEncoder:
    """Measurements of the white cell in the middle of a smear image.

    Attributes:
        parameters: What the segmentation goes by.
        name: Name of its folder.
        golden_checked: Whether the folder recorded measurements that were reproduced at loading.
    """

    parameters: SmearParameters = field(default_factory=SmearParameters)
    name: str = NAME
    golden_checked: bool = False

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
            encoder = cls(SmearParameters.from_record(folder.config["model_cfg"]["parameters"]), folder.path.name)
        except (KeyError, TypeError) as error:
            raise invalid(
                f"The encoder's folder {folder.path} holds other parameters than smears are cut by."
            ) from error
        if encoder.digest != folder.digest:
            raise mismatch(f"The code that measures for encoder {encoder.name!r}")
        golden = folder.hashes.get("golden")
        if golden is not None and not encoder._reproduces(golden["embedding"], golden["tolerance"]):
            raise mismatch(f"What encoder {encoder.name!r} measures on the test image")
        return cls(encoder.parameters, encoder.name, golden is not None)

    @property
    def digest(self) -> str:
        """SHA-256 over the version of the code, the measurements and the parameters; that of its folder."""
        return hashlib.sha256(json.dumps(configuration(self.parameters), sort_keys=True).encode()).hexdigest()

    @property
    def width(self) -> int:
        """Number of measurements."""
        return len(MEASUREMENTS)

    @property
    def feature_names(self) -> tuple[str, ...]:
        """Names of the columns."""
        return NAMES

    @property
    def preprocess(self) -> Preprocess:
        """How a caller that must shrink images may do so; the encoder itself takes them as they are."""
        return Preprocess(self.parameters.longest)

    def read(self, image: Array) -> Reading:
        """Measure one image (H, W, 3) in [0, 1], with the reason where nothing could be measured.

        Raises:
            OslerError: `input-range`.
        """
        return measure(np.asarray(image), self.parameters)

    def encode(self, images: Sequence[Array], *, tokens: bool = False) -> Features:
        """Measure colour images, each (H, W, 3) in [0, 1].

        Args:
            images: The images, of any sizes.
            tokens: Without effect: a cell is measured as a whole.

        Returns:
            Measurements (B, M) float32 in the order of `feature_names`; NaN where one could not be taken.

        Raises:
            OslerError: `input-range` where an image is grey or outside [0, 1].
        """
        rows: list[NDArray[np.float32]] = [np.asarray(self.read(image).values, np.float32) for image in images]
        return Features(pooled=np.stack(rows) if rows else np.zeros((0, self.width), np.float32))

    def _reproduces(self, recorded: Sequence[float], tolerance: float) -> bool:
        return bool(np.allclose(self.read(golden_cell()).values, recorded, rtol=tolerance, atol=tolerance))


ENCODER = MorphometryEncoder


def write_folder(folder: Path, parameters: SmearParameters, *, card: str) -> MorphometryEncoder:
    """Write a folder with the parameters and with the measurements that loading will check.

    Args:
        folder: Where to.
        parameters: What the segmentation goes by.
        card: What the encoder is, in Markdown.

    Raises:
        OslerError: as `MorphometryEncoder.from_folder`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / OTHER_CONFIG, configuration(parameters))
    (folder / CARD).write_text(card, encoding="utf-8")
    measured = [round(float(value), 6) for value in measure(golden_cell(), parameters).values]
    record: dict[str, Any] = {
        "format": FORMAT,
        "files": {name: sha256_of(folder / name) for name in (OTHER_CONFIG, CARD)},
        "golden": {"embedding": measured, "tolerance": GOLDEN_TOLERANCE},
    }
    write_json(folder / HASHES, record)
    return MorphometryEncoder.from_folder(folder)
