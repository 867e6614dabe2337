"""A bottleneck as a network of torch, for MONAI's tools: images in, logits out, the same numbers as `Pipeline.predict`.

It is rebuilt from the package's safetensors; nothing is unpickled. TorchScript would have to be written with a pickle inside,
and torch's exported programs lose what a bottleneck is for: its concepts can no longer be read or corrected there.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Hashable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from osler.bottleneck.artefact import find_encoder, load_bottleneck
from osler.bottleneck.encoders.catalogue import open_encoder
from osler.dicom.pixels import read_image

CHUNK = 64


class BottleneckNetwork(nn.Module):
    """The model of a package; every hash is checked when it is made.

    Attributes:
        pipeline: The bottleneck, concepts and all.
        classes: Names of the logits.
    """

    def __init__(self, folder: str, device: str = "cpu") -> None:
        """Load a model.

        Args:
            folder: Folder `models` of the package.
            device: Device of torch on which the encoder runs.

        Raises:
            OslerError: as `load_bottleneck` and `open_encoder`.
        """
        super().__init__()
        place = Path(folder)
        bare = load_bottleneck(place)
        self.pipeline = load_bottleneck(
            place, open_encoder(find_encoder(bare.encoder_digest, place), device=str(device))
        )
        self.classes = self.pipeline.classes

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return logits (B, K) float64 of images (B, 1, H, W) or (B, 3, H, W) in [0, 1], dense tissue bright.

        Raises:
            OslerError: `input-range`.
        """
        arrays = [_array(one) for one in images.detach().cpu()]
        logits = [self.pipeline.predict(arrays[start : start + CHUNK]).logits for start in range(0, len(arrays), CHUNK)]
        held = np.concatenate(logits) if logits else np.zeros((0, len(self.classes)))
        return torch.from_numpy(np.ascontiguousarray(held, np.float64)).to(images.device)


def _array(image: torch.Tensor) -> np.ndarray[Any, Any]:
    """Return an image (C, H, W) as Osler has it: (H, W) where it has one channel, else (H, W, 3)."""
    values = np.asarray(image.numpy(), np.float32)
    return values[0] if len(values) == 1 else np.ascontiguousarray(values.transpose(1, 2, 0))


class ReadDicomd:
    """A transform of MONAI's kind: in the place of a file's path, its image (C, H, W) in [0, 1] as Osler reads it.

    MONAI's own readers give stored values, transposed; the window, the polarity and the channels are part of what a model
    was fitted on.
    """

    def __init__(self, keys: Iterable[Hashable], grey: bool) -> None:
        """Make it.

        Args:
            keys: Keys of the paths.
            grey: Whether colour is averaged away, as for a model that was fitted on grey images.
        """
        self.keys = tuple([keys] if isinstance(keys, str) else keys)
        self.grey = grey

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the images under the keys.

        Raises:
            OslerError: A refusal of the DICOM reader.
        """
        return {**data, **{key: torch.from_numpy(self._read(Path(data[key]))) for key in self.keys}}

    def _read(self, path: Path) -> np.ndarray[Any, Any]:
        values = np.asarray(read_image(path).values)
        if self.grey and values.ndim == 3:
            values = values.mean(axis=2)
        values = np.asarray(values, np.float32)
        return values[None] if values.ndim == 2 else np.ascontiguousarray(values.transpose(2, 0, 1))


class LogitTable:
    """Runs a network over a loader and writes its logits as a table, one row an image."""

    def __init__(
        self,
        loader: Iterable[Mapping[str, Any]],
        network: BottleneckNetwork,
        inferer: Callable[[torch.Tensor, nn.Module], torch.Tensor],
        path: str,
    ) -> None:
        """Make it.

        Args:
            loader: Gives batches with `image` (B, C, H, W) and `name`, the path of each.
            network: The network.
            inferer: An inferer of MONAI.
            path: The CSV file to write.
        """
        self.loader, self.network, self.inferer, self.path = loader, network, inferer, Path(path)

    def run(self) -> Path:
        """Write the table and return where it is; every number reads back as it was."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("w", newline="", encoding="utf-8") as stream, torch.inference_mode():
            table = csv.writer(stream)
            table.writerow(["image", *self.network.classes])
            for batch in self.loader:
                logits = self.inferer(batch["image"], self.network)
                for name, row in zip(batch["name"], logits.tolist(), strict=True):
                    table.writerow([Path(name).name, *map(repr, row)])
        return self.path
