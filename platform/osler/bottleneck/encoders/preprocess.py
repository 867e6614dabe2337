"""From an image in [0, 1] to what a network takes; every choice is part of the encoder's record."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from osler.bottleneck.records import Array
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

INPUT_RANGE = (0.0, 1.0)


def check_range(image: Array) -> None:
    """Refuse an image outside the range that every encoder declares; a wrong range fails silently otherwise.

    Raises:
        OslerError: `input-range`.
    """
    low, high = float(np.min(image)), float(np.max(image))
    if image.ndim not in (2, 3) or not (INPUT_RANGE[0] <= low and high <= INPUT_RANGE[1]):
        raise OslerError(
            Code.INPUT_RANGE,
            f"An image of shape {image.shape} holds values from {low:g} to {high:g}; encoders take (H, W) or (H, W, 3) "
            "in [0, 1].",
            "Read images with osler.dicom.pixels.read_image.",
        )


def portions(count: int, device: str) -> list[slice]:
    """Return the rows of each forward pass.

    On a CPU they are 16 or a little more, evenly: at twice as many the maps of the first layers are memory that the system
    gives anew to each layer, and a pass takes twice as long an image. From 16 on a row's bits do not depend on how many
    go together.

    Args:
        count: How many images there are.
        device: Device of torch.
    """
    size = 64 if device.startswith("cuda") else 16
    bounds = np.linspace(0, count, max(count // size, 1) + 1).astype(int)
    return [slice(int(start), int(end)) for start, end in pairwise(bounds)] if count else []


def half_precision(device: str) -> AbstractContextManager[Any]:
    """Return the context of a forward pass: half precision where the device gains by it, nothing on a CPU."""
    return torch.autocast("cuda", torch.float16) if device.startswith("cuda") else nullcontext()


@dataclass(frozen=True)
class Preprocess:
    """Resizing and normalisation, in the words of open_clip's `preprocess_cfg`.

    Attributes:
        size: Side of the square input in pixels.
        mean: Mean of each channel.
        std: Standard deviation of each channel.
        interpolation: `bilinear` or `bicubic`, antialiased.
        resize_mode: `squash` resizes straight to the square: nothing at the border of a radiograph is lost.
            `shortest` resizes the shorter side, then crops the centre.
    """

    size: int
    mean: tuple[float, float, float] = (0.5, 0.5, 0.5)
    std: tuple[float, float, float] = (0.25, 0.25, 0.25)
    interpolation: str = "bilinear"
    resize_mode: str = "squash"

    def __post_init__(self) -> None:
        if self.interpolation not in ("bilinear", "bicubic") or self.resize_mode not in ("squash", "shortest"):
            raise OslerError(
                Code.MODEL_INVALID,
                f"Cannot resize by {self.interpolation!r} and {self.resize_mode!r}.",
                "Use bilinear or bicubic, and squash or shortest, in preprocess_cfg.",
            )

    @classmethod
    def from_config(cls, config: Mapping[str, Any], size: int) -> Preprocess:
        """Read `preprocess_cfg`; what it leaves out is open_clip's default (Radford et al. 2021)."""
        return cls(
            size=size,
            mean=tuple(config.get("mean", (0.48145466, 0.4578275, 0.40821073))),
            std=tuple(config.get("std", (0.26862954, 0.26130258, 0.27577711))),
            interpolation=config.get("interpolation", "bicubic"),
            resize_mode=config.get("resize_mode", "shortest"),
        )

    def to_config(self) -> dict[str, Any]:
        """Return `preprocess_cfg` for the encoder's file."""
        return {
            "size": self.size,
            "mean": list(self.mean),
            "std": list(self.std),
            "interpolation": self.interpolation,
            "resize_mode": self.resize_mode,
            "antialias": True,
            "input_range": list(INPUT_RANGE),
            "channels": "grey repeated",
        }

    def resizing(self) -> dict[str, Any]:
        """Return what `resized` depends on: encoders that agree in it see the same pixels."""
        config = self.to_config()
        return {key: config[key] for key in ("size", "interpolation", "resize_mode", "antialias")}

    def __call__(self, image: Array) -> torch.Tensor:
        """Return (3, size, size) float32 of an image (H, W) or (H, W, 3) in [0, 1].

        Raises:
            OslerError: `input-range`.
        """
        check_range(image)
        tensor = torch.from_numpy(np.ascontiguousarray(image, np.float32))
        # Grey is resized once, and repeated where it is normalised.
        tensor = tensor[None] if image.ndim == 2 else tensor.permute(2, 0, 1)
        tensor = self._resize(tensor[None])[0]
        mean, std = (torch.tensor(values).view(3, 1, 1) for values in (self.mean, self.std))
        return (tensor - mean) / std

    def resized(self, image: Array) -> NDArray[np.float32]:
        """Return a grey image (H, W) in [0, 1] at the network's size, resized as the network would have it."""
        check_range(image)
        batch = torch.from_numpy(np.ascontiguousarray(image, np.float32))[None, None]
        return np.asarray(self._resize(batch)[0, 0].numpy(), np.float32)

    def _resize(self, batch: torch.Tensor) -> torch.Tensor:
        height, width = batch.shape[-2:]
        scale = self.size / min(height, width)
        shape = (self.size, self.size)
        if self.resize_mode == "shortest":
            shape = (max(self.size, round(height * scale)), max(self.size, round(width * scale)))
        batch = functional.interpolate(batch, size=shape, mode=self.interpolation, antialias=True)
        top, left = (shape[0] - self.size) // 2, (shape[1] - self.size) // 2
        return batch[..., top : top + self.size, left : left + self.size].clamp(*INPUT_RANGE)
