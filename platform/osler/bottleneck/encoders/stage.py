"""The tokens of an earlier stage of a frozen ResNet: more of them, and each sees less of the image.

The last tokens of a ResNet lie 32 pixels apart and each sees most of a small image, so that a map of them says little about
where. The third stage's lie 16 pixels apart and see about half as far.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch

from osler.bottleneck.encoders.open_clip import OpenClipEncoder
from osler.bottleneck.encoders.preprocess import Preprocess
from osler.bottleneck.records import Array, Features
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

STAGES = (1, 2, 3, 4)
_BATCH = 64


@dataclass(frozen=True, eq=False)
class StageEncoder:
    """An open_clip ResNet whose tokens are what a stage gives; the pooled feature stays as it is, of another width.

    Attributes:
        encoder: The encoder.
        stage: 1 to 4; tokens of stage 3 lie 16 pixels apart, those of stage 2 lie 8 apart.
    """

    encoder: OpenClipEncoder
    stage: int = 3

    def __post_init__(self) -> None:
        if not hasattr(self.encoder.model.visual, "attnpool") or self.stage not in STAGES:
            raise OslerError(
                Code.MODEL_INVALID,
                f"The encoder {self.encoder.name!r} has no stage {self.stage}.",
                f"Use a ResNet of open_clip, and one of the stages {', '.join(map(str, STAGES))}.",
            )

    @property
    def name(self) -> str:
        """Name of the encoder, and the stage."""
        return f"{self.encoder.name}, stage {self.stage}"

    @cached_property
    def digest(self) -> str:
        """SHA-256 over the encoder's digest and the stage."""
        return hashlib.sha256(f"{self.encoder.digest} stage {self.stage}".encode()).hexdigest()

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
