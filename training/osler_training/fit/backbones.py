"""Networks of torchvision that are trained end to end, from a file of weights at hand or from scratch."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torchvision.models import densenet121
from torchvision.models.vision_transformer import VisionTransformer, interpolate_embeddings

from osler.bottleneck.encoders.checkpoint import invalid, mismatch, sha256_of

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet, as torchvision's weights expect
# Depth, heads and width of the usual sizes; the MLP is four times as wide.
VIT_SIZES = {"tiny": (12, 3, 192), "small": (12, 6, 384), "base": (12, 12, 768)}
_OLD_LAYER = re.compile(r"(denselayer\d+\.(?:norm|relu|conv))\.(\d)")  # how torchvision's own file of DenseNets has it


class Normalised(nn.Module):
    """A network that is given colours as ImageNet's were."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("mean", torch.tensor(MEAN).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(STD).view(1, 3, 1, 1))

    def forward(self, pixels: Tensor) -> Tensor:
        """Return logits (n, K) of pixels (n, 3, side, side) in [0, 1]."""
        logits: Tensor = self.network((pixels - self.get_buffer("mean")) / self.get_buffer("std"))
        return logits


def build_densenet(classes: int, weights: Path | None = None, sha256: str | None = None) -> nn.Module:
    """Return DenseNet-121 with a new classifier that starts at zero.

    Args:
        classes: Number of classes K.
        weights: File with torchvision's weights, or None to start from scratch.
        sha256: What the file must hash to, where given.

    Raises:
        OslerError: `model-invalid` or `model-hash-mismatch`.
    """
    network = densenet121(weights=None)
    if weights is not None:
        found = {_OLD_LAYER.sub(r"\1\2", name): value for name, value in read_weights(weights, sha256).items()}
        _load(network, found, "classifier.", weights)
    network.classifier = _fresh(network.classifier.in_features, classes)
    return Normalised(network)


def build_vit(
    classes: int, side: int, size: str, patch: int, weights: Path | None = None, sha256: str | None = None
) -> nn.Module:
    """Return a vision transformer with a new classifier that starts at zero.

    Args:
        classes: Number of classes K.
        side: Side of the images, a multiple of `patch`.
        size: `tiny`, `small` or `base`.
        patch: Side of a patch.
        weights: File with torchvision's weights of that size and patch, for images of any side; or None.
        sha256: What the file must hash to, where given.

    Raises:
        OslerError: `model-invalid` or `model-hash-mismatch`.
    """
    if size not in VIT_SIZES or patch < 1 or side % patch:
        raise invalid(f"There is no vision transformer {size!r} with patches of {patch} in images of {side}.")
    layers, heads, width = VIT_SIZES[size]
    network = VisionTransformer(side, patch, layers, heads, width, 4 * width)
    if weights is not None:
        found = read_weights(weights, sha256)
        try:
            found = dict(interpolate_embeddings(side, patch, found))
        except (KeyError, ValueError) as error:
            raise invalid(f"The weights {weights.name!r} are of no vision transformer of this size.") from error
        _load(network, found, "heads.", weights)
    network.heads = nn.Sequential(_fresh(width, classes))
    return Normalised(network)


def read_weights(path: Path, sha256: str | None = None) -> dict[str, Tensor]:
    """Read a state of a network: safetensors, or torch's own format without a line of code in it.

    Raises:
        OslerError: `model-invalid` or `model-hash-mismatch`.
    """
    if not path.is_file():
        raise invalid(f"There is no file of weights at {path}.")
    if sha256 is not None and sha256_of(path) != sha256:
        raise mismatch(f"The file of weights {path.name!r}")
    try:
        found = load_file(path) if path.suffix == ".safetensors" else torch.load(path, "cpu", weights_only=True)
    except Exception as error:  # torch and safetensors raise whatever the bytes bring about
        raise invalid(f"The file {path.name!r} holds no weights ({type(error).__name__}).") from error
    if not isinstance(found, Mapping) or not all(isinstance(value, Tensor) for value in found.values()):
        raise invalid(f"The file {path.name!r} holds something else than the state of a network.")
    return dict(found)


def _load(network: nn.Module, found: Mapping[str, Tensor], replaced: str, path: Path) -> None:
    """Load all but the classifier, which is replaced."""
    wanted = {name: value for name, value in network.state_dict().items() if not name.startswith(replaced)}
    body = {name: value for name, value in found.items() if not name.startswith(replaced)}
    wrong = sorted(wanted.keys() ^ body.keys()) or sorted(
        name for name, value in wanted.items() if value.shape != body[name].shape
    )
    if wrong:
        raise invalid(f"The weights {path.name!r} are of another network: {len(wrong)} layers differ, as {wrong[0]!r}.")
    network.load_state_dict(body, strict=False)


def _fresh(width: int, classes: int) -> nn.Linear:
    classifier = nn.Linear(width, classes)
    nn.init.zeros_(classifier.weight)
    nn.init.zeros_(classifier.bias)
    return classifier
