"""Any image network of timm, torchvision or MONAI, with weights from a file at hand: the output of one named layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from safetensors.torch import load_file, save_file
from torch import nn

from osler.bottleneck.encoders.checkpoint import (
    CARD,
    OTHER_CONFIG,
    WEIGHTS,
    EncoderFolder,
    invalid,
    record_golden,
    require_golden,
    sha256_of,
    write_json,
)
from osler.bottleneck.encoders.preprocess import Preprocess, half_precision
from osler.bottleneck.records import Array, Features
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

KIND = "network"
Library = Literal["timm", "torchvision", "monai"]
_BATCH = 64


@dataclass(frozen=True)
class Architecture:
    """A network and where its features are taken.

    Attributes:
        library: Who has the network.
        name: Its name there: `resnet50` in timm and torchvision, `DenseNet121` in MONAI.
        arguments: What it is built with, such as `{"spatial_dims": 2, "in_channels": 3, "out_channels": 1}`.
        layer: Dotted name of the layer whose output is taken: maps (B, D, h, w) or tokens (B, N, D).
        prefix: Tokens that stand for no place and come first, such as a class token.
        pool: `mean` over the places, or `first`, the class token.
        rectified: Whether negative outputs are set to zero, as a DenseNet does after its last layer.
    """

    library: Library
    name: str
    layer: str
    arguments: Mapping[str, Any]
    prefix: int = 0
    pool: Literal["mean", "first"] = "mean"
    rectified: bool = False

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Architecture:
        """Read `model_cfg`.

        Raises:
            OslerError: `model-invalid`.
        """
        try:
            one = cls(**config)
        except TypeError as error:
            raise invalid(
                f"A network's configuration has library, name, layer and arguments, not {sorted(config)}."
            ) from error
        if one.library not in get_args(Library) or one.pool not in ("mean", "first") or one.prefix < 0:
            raise invalid(f"There is no library {one.library!r} or no pooling {one.pool!r} of networks.")
        if one.pool == "first" and one.prefix == 0:
            raise invalid("Pooling by the first token needs a prefix of at least one token.")
        return one

    def to_config(self) -> dict[str, Any]:
        """Return `model_cfg`."""
        return {**vars(self), "arguments": dict(self.arguments)}

    def build(self) -> nn.Module:
        """Return the network with fresh weights; nothing is downloaded.

        Raises:
            OslerError: `part-missing` where the library is not installed; `model-invalid` where it has no such network.
        """
        try:
            network = self._made()
            network.get_submodule(self.layer)
        except ImportError as error:
            raise OslerError(
                Code.PART_MISSING,
                f"The library {self.library} is not installed.",
                f"Install it with `pip install {self.library}`.",
            ) from error
        except (AttributeError, RuntimeError, TypeError, ValueError) as error:
            raise invalid(
                f"{self.library} builds no network {self.name!r} with a layer {self.layer!r} and these arguments."
            ) from error
        return network

    def _made(self) -> nn.Module:
        arguments = dict(self.arguments)
        network: nn.Module
        if self.library == "timm":
            import timm

            network = timm.create_model(self.name, pretrained=False, **arguments)
        elif self.library == "torchvision":
            from torchvision.models import get_model

            network = get_model(self.name, weights=None, **arguments)
        else:
            from monai.networks import nets

            kind = getattr(nets, self.name)
            network = kind(**arguments)
        return network


@dataclass(frozen=True, eq=False)
class NetworkEncoder:
    """A frozen network; make one with `from_folder`.

    Attributes:
        name: Name of its folder.
        digest: SHA-256 over weights, configuration and preprocessing.
        width: Width of the pooled features.
        preprocess: From an image in [0, 1] to the network's input.
        architecture: Which network, and which of its layers.
        model: The network.
        device: Device of torch.
        golden_checked: Whether the folder recorded an embedding that was reproduced at loading.
    """

    name: str
    digest: str
    width: int
    preprocess: Preprocess
    architecture: Architecture
    model: nn.Module
    device: str = "cpu"
    golden_checked: bool = False

    @classmethod
    def from_folder(cls, path: Path, sha256: str | None = None, device: str = "cpu") -> NetworkEncoder:
        """Load the encoder of a folder, check its hashes, and check that a test image gives the recorded embedding.

        Args:
            path: Folder with `encoder.json`, `model.safetensors` and, unless `sha256` is given, `hashes.json`.
            sha256: SHA-256 that the weights must have.
            device: Device of torch.

        Raises:
            OslerError: `model-hash-mismatch`, `model-invalid`, or `part-missing` where the library is not installed.
        """
        folder = EncoderFolder(Path(path))
        folder.verify(sha256)
        architecture = Architecture.from_config(folder.config["model_cfg"])
        preprocess_cfg = folder.config["preprocess_cfg"]
        model = architecture.build()
        load_weights(model, load_file(folder.weights), str(folder.path))
        preprocess = Preprocess.from_config(preprocess_cfg, int(preprocess_cfg["size"]))
        model = model.eval().requires_grad_(False).to(device)
        size = preprocess.size
        try:
            with torch.inference_mode():
                width = _pooled(
                    _places(model, torch.zeros(1, 3, size, size, device=device), architecture), architecture
                )
        except (RuntimeError, ValueError) as error:
            raise invalid(f"The network in {folder.path} takes no colour image of {size} pixels.") from error
        golden = folder.hashes.get("golden")
        encoder = cls(
            folder.path.name,
            folder.digest,
            int(width.shape[-1]),
            preprocess,
            architecture,
            model,
            device,
            golden is not None,
        )
        require_golden(encoder, golden)
        return encoder

    def encode(self, images: Sequence[Array], *, tokens: bool = False) -> Features:
        """Encode images, each (H, W) or (H, W, 3) in [0, 1], dense tissue bright.

        Args:
            images: The images, of any sizes.
            tokens: Also return spatial features, on the scale of the pooled ones.

        Returns:
            Pooled features (B, D), L2-normalised float32; tokens (B, N, D) where asked for. There is no text space.

        Raises:
            OslerError: `input-range`.
        """
        pooled, spatial, grid = [torch.zeros(0, self.width)], [], None
        for start in range(0, len(images), _BATCH):
            batch = torch.stack([self.preprocess(image) for image in images[start : start + _BATCH]])
            with torch.inference_mode(), half_precision(self.device):
                seen = _places(self.model, batch.to(self.device), self.architecture)
            seen, grid = _flat(seen.float().cpu(), self.architecture.prefix)
            mean = _pooled(seen, self.architecture)
            norm = mean.norm(dim=-1, keepdim=True).clamp_min(1e-12)
            pooled.append(mean / norm)
            spatial += [seen[:, self.architecture.prefix :] / norm[:, None]] if tokens and grid else []
        return Features(
            pooled=torch.cat(pooled).numpy(),
            tokens=torch.cat(spatial).numpy() if spatial else None,
            grid=grid if spatial else None,
        )


ENCODER = NetworkEncoder


def _places(model: nn.Module, batch: torch.Tensor, architecture: Architecture) -> torch.Tensor:
    """Return what the named layer gives for a batch (B, 3, H, W)."""
    seen: list[torch.Tensor] = []
    handle = model.get_submodule(architecture.layer).register_forward_hook(lambda _module, _args, out: seen.append(out))
    try:
        model(batch)
    finally:
        handle.remove()
    if len(seen) != 1 or not isinstance(seen[0], torch.Tensor) or seen[0].ndim not in (3, 4):
        raise ValueError(f"The layer {architecture.layer!r} gives neither maps nor tokens")
    return seen[0].relu() if architecture.rectified else seen[0]


def _flat(seen: torch.Tensor, prefix: int) -> tuple[torch.Tensor, tuple[int, int] | None]:
    """Return tokens (B, N, D), row by row, with their grid; None where they fill no square."""
    if seen.ndim == 4:
        return seen.flatten(2).transpose(1, 2), (int(seen.shape[2]), int(seen.shape[3]))
    side = round(float(seen.shape[1] - prefix) ** 0.5)
    return seen, (side, side) if side * side == seen.shape[1] - prefix else None


def _pooled(seen: torch.Tensor, architecture: Architecture) -> torch.Tensor:
    """Return pooled features (B, D)."""
    tokens = _flat(seen, architecture.prefix)[0]
    return tokens[:, 0] if architecture.pool == "first" else tokens[:, architecture.prefix :].mean(1)


def load_weights(model: nn.Module, state: Mapping[str, torch.Tensor], holder: str) -> None:
    """Load weights, all of them and no other.

    Raises:
        OslerError: `model-invalid`, with the first names that are missing or too many.
    """
    try:
        wrong = model.load_state_dict(dict(state), strict=False)
    except RuntimeError as error:
        raise invalid(f"Weights in {holder} have other shapes than the network's.") from error
    if wrong.missing_keys or wrong.unexpected_keys:
        raise invalid(
            f"The weights in {holder} do not fit the network: {len(wrong.missing_keys)} are missing "
            f"({', '.join(wrong.missing_keys[:3]) or 'none'}), {len(wrong.unexpected_keys)} are not its own "
            f"({', '.join(wrong.unexpected_keys[:3]) or 'none'})."
        )


def write_folder(
    folder: Path, architecture: Architecture, state: Mapping[str, torch.Tensor], *, preprocess: Preprocess, card: str
) -> NetworkEncoder:
    """Write a folder for a network, with the embedding that loading will check.

    Args:
        folder: Where to.
        architecture: Which network, and which of its layers.
        state: Its weights, by the library's names.
        preprocess: From an image to its input.
        card: What the encoder is, in Markdown.

    Raises:
        OslerError: as `NetworkEncoder.from_folder`.
    """
    load_weights(architecture.build(), state, "the checkpoint")
    folder.mkdir(parents=True, exist_ok=True)
    save_file({name: value.detach().clone().contiguous() for name, value in state.items()}, folder / WEIGHTS[0])
    config = {"kind": KIND, "model_cfg": architecture.to_config(), "preprocess_cfg": preprocess.to_config()}
    write_json(folder / OTHER_CONFIG, config)
    (folder / CARD).write_text(card, encoding="utf-8")
    files = {name: sha256_of(folder / name) for name in (WEIGHTS[0], OTHER_CONFIG, CARD)}
    return record_golden(folder, files, NetworkEncoder.from_folder)
