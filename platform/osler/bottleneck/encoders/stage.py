"""The tokens of an earlier stage of a frozen ResNet: more of them, and each sees less of the image.

The last tokens of a ResNet lie 32 pixels apart and each sees most of a small image, so that a map of them says little about
where. The third stage's lie 16 pixels apart and see about half as far.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from osler.bottleneck.encoders.catalogue import encoder_folder, open_encoder
from osler.bottleneck.encoders.checkpoint import (
    GOLDEN_TOLERANCE,
    GOLDEN_TOLERANCE_HALF,
    EncoderFolder,
    golden_image,
    invalid,
    mismatch,
)
from osler.bottleneck.encoders.open_clip import OpenClipEncoder
from osler.bottleneck.encoders.parts import digest_of, named, open_part, write_parts
from osler.bottleneck.encoders.preprocess import Preprocess
from osler.bottleneck.records import Array, Features
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

KIND = "stage"
RULES = "tokens of an earlier stage of an encoder"  # A folder that names rules has no weights of its own.
PART = "part"
STAGES = (1, 2, 3, 4)
_BATCH = 64


@dataclass(frozen=True, eq=False)
class StageEncoder:
    """An open_clip ResNet whose tokens are what a stage gives; the pooled feature stays as it is, of another width.

    Attributes:
        encoder: The encoder.
        stage: 1 to 4; tokens of stage 3 lie 16 pixels apart, those of stage 2 lie 8 apart.
        folder: Name of its folder, empty where it has none.
        golden_checked: Whether the folder recorded an embedding and a token that were reproduced at loading.
    """

    encoder: OpenClipEncoder
    stage: int = 3
    folder: str = ""
    golden_checked: bool = False

    def __post_init__(self) -> None:
        if not hasattr(self.encoder.model.visual, "attnpool") or self.stage not in STAGES:
            raise OslerError(
                Code.MODEL_INVALID,
                f"The encoder {self.encoder.name!r} has no stage {self.stage}.",
                f"Use a ResNet of open_clip, and one of the stages {', '.join(map(str, STAGES))}.",
            )

    @classmethod
    def from_folder(cls, path: Path, sha256: str | None = None, device: str = "cpu") -> StageEncoder:
        """Open the encoder that a folder names, a shipped one by name or the one in its own folder `part`, at its stage.

        Args:
            path: Folder with `encoder.json` and `hashes.json`.
            sha256: There are no weights of its own that could have it: any is refused.
            device: Device of torch.

        Raises:
            OslerError: `model-hash-mismatch` where the encoder is another, or a test image gives another embedding or other
                tokens than were recorded; `model-invalid`.
        """
        folder = EncoderFolder(Path(path))
        folder.verify(sha256)
        try:
            model = folder.config["model_cfg"]
            name, digest, stage = str(model[PART]["name"]), str(model[PART]["digest"]), int(model["stage"])
        except (KeyError, TypeError, ValueError) as error:
            raise invalid(f"The encoder's folder {folder.path} does not name an encoder and its stage.") from error
        part = open_part(folder, PART, name, digest, device)
        if not isinstance(part, OpenClipEncoder):
            raise invalid(f"The encoder {part.name!r} is no network of open_clip, and has no stages.")
        golden = folder.hashes.get("golden")
        encoder = cls(part, stage, folder.path.name, golden is not None)
        if golden is not None and not encoder._reproduces(golden):
            raise mismatch(f"What encoder {encoder.name!r} makes of the test image")
        return encoder

    @property
    def name(self) -> str:
        """Name of its folder, or of the encoder and the stage."""
        return self.folder or f"{self.encoder.name}, stage {self.stage}"

    @property
    def device(self) -> str:
        """Device of torch."""
        return self.encoder.device

    @property
    def configuration(self) -> dict[str, Any]:
        """What the digest covers: the encoder and the stage."""
        part = {"rules": RULES, PART: named(self.encoder), "stage": self.stage}
        return {"kind": KIND, "model_cfg": part, "preprocess_cfg": {}}

    @cached_property
    def digest(self) -> str:
        """SHA-256 over the encoder's name and digest and the stage; that of its folder."""
        return digest_of(self.configuration)

    @property
    def width(self) -> int:
        """Width of the pooled features."""
        return self.encoder.width

    @property
    def preprocess(self) -> Preprocess:
        """The encoder's own."""
        return self.encoder.preprocess

    @property
    def grid(self) -> tuple[int, int]:
        """Height and width of the token grid."""
        return (self.preprocess.size // 2 ** (self.stage + 1),) * 2

    def encode(self, images: Sequence[Array], *, tokens: bool = False) -> Features:
        """Encode images as the encoder does; see `OpenClipEncoder.encode`.

        Returns:
            Features whose tokens (B, N, width of the stage) are as the stage gives them, without the norm of the pooled
            feature and without positions.
        """
        features = self.encoder.encode(images)
        if not tokens or not len(images):
            return features
        visual, parts = self.encoder.model.visual, []
        stages = (visual.layer1, visual.layer2, visual.layer3, visual.layer4)[: self.stage]
        for start in range(0, len(images), _BATCH):
            batch = torch.stack([self.preprocess(image) for image in images[start : start + _BATCH]])
            with torch.inference_mode():
                seen = visual.stem(batch.to(self.encoder.device))
                for stage in stages:
                    seen = stage(seen)
            parts.append(seen.flatten(2).transpose(1, 2).float().cpu().numpy())
        return replace(features, tokens=np.concatenate(parts), grid=self.grid)

    def golden(self) -> dict[str, list[float]]:
        """Return the embedding (D,) of the test image and the mean (width of the stage,) of its tokens."""
        seen = self.encode([golden_image()], tokens=True)
        if seen.tokens is None:
            raise ValueError("A stage gives tokens")
        rows = {"embedding": seen.pooled[0], "mean_token": seen.tokens[0].mean(0)}
        return {name: [round(float(value), 6) for value in row] for name, row in rows.items()}

    def _reproduces(self, recorded: dict[str, Any]) -> bool:
        tolerance = max(recorded["tolerance"], GOLDEN_TOLERANCE_HALF if self.device.startswith("cuda") else 0.0)
        # Tokens have no norm of one, so that their tolerance goes with their size.
        return all(
            len(row) == len(recorded[name]) and np.allclose(row, recorded[name], rtol=tolerance, atol=tolerance)
            for name, row in self.golden().items()
        )


ENCODER = StageEncoder


def write_folder(folder: Path, name: str | Path, stage: int, *, card: str) -> StageEncoder:
    """Write a folder for a stage of an encoder, with what loading will check; an encoder that is not shipped is copied into it.

    Args:
        folder: Where to.
        name: Name of a shipped encoder, or its folder: a ResNet of open_clip.
        stage: 1 to 4.
        card: What the encoder is, in Markdown.

    Raises:
        OslerError: as `StageEncoder.from_folder`.
    """
    source = encoder_folder(name)
    part = open_encoder(source.path)
    if not isinstance(part, OpenClipEncoder):
        raise invalid(f"The encoder {part.name!r} is no network of open_clip, and has no stages.")
    encoder = StageEncoder(part, stage)
    golden = {**encoder.golden(), "tolerance": GOLDEN_TOLERANCE}
    write_parts(folder, PART, [source], encoder.configuration, card, golden)
    return StageEncoder.from_folder(folder)
