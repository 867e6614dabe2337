"""EfficientNet-Lite0 with its ImageNet weights and a new classifier, to be trained end to end."""

from __future__ import annotations

from torch import Tensor, nn

from osler.bottleneck.encoders.imagenet import WIDTH, shipped_lite0


class ImageNetLite(nn.Module):
    """EfficientNet-Lite0 with a new classifier.

    Args:
        classes: Number of classes K.
        side: Side of the images, which fixes the padding.

    Raises:
        OslerError: `part-missing` where the extra `imagenet` is not installed; `model-hash-mismatch`.
    """

    def __init__(self, classes: int, side: int) -> None:
        super().__init__()
        self.body = shipped_lite0(side)
        classifier = nn.Linear(WIDTH, classes)
        # The same weights at the start, whatever was drawn before: zero, so that the first logits are equal.
        nn.init.zeros_(classifier.weight)
        nn.init.zeros_(classifier.bias)
        self.body._fc = classifier

    def forward(self, pixels: Tensor) -> Tensor:
        """Return logits (n, K) of pixels (n, 3, side, side) in [0, 1], scaled as in the original: (x - 127) / 128."""
        logits: Tensor = self.body((pixels * 255 - 127) / 128)
        return logits
