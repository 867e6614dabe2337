"""Several encoders as one: their pooled features side by side, so that learned and measured concepts stand in one bottleneck."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from osler.bottleneck.encoders.catalogue import ImageEncoder, encoder_folder, open_encoder
from osler.bottleneck.encoders.checkpoint import EncoderFolder, invalid
from osler.bottleneck.encoders.parts import digest_of, named, open_part, write_parts
from osler.bottleneck.encoders.preprocess import Preprocess
from osler.bottleneck.records import Array, Features

KIND = "joined"
RULES = "features of several encoders side by side"  # A folder that names rules has no weights of its own.
PARTS = "parts"


@dataclass(frozen=True)
class JoinedEncoder:
    """Encoders whose pooled features stand side by side, (B, D1 + D2 + ...).

    Spatial tokens are dropped: two encoders have no common grid.

    Attributes:
        parts: The encoders, in the order of their columns.
        name: Name of its folder, or the names of its parts joined by `+`.
    """

    parts: tuple[ImageEncoder, ...]
    name: str

    @classmethod
    def of(cls, names: Sequence[str | Path], *, device: str = "cpu") -> JoinedEncoder:
        """Open encoders by name or folder, and join them.

        Raises:
            OslerError: as `open_encoder`; `model-invalid` where there are fewer than two.
        """
        parts = tuple(open_encoder(name, device=device) for name in names)
        return cls(parts, "+".join(part.name for part in parts))

    @classmethod
    def from_folder(cls, path: Path, sha256: str | None = None, device: str = "cpu") -> JoinedEncoder:
        """Open the parts that a folder names: shipped ones by name, others from its own folder `parts`.

        Args:
            path: Folder with `encoder.json` and `hashes.json`.
            sha256: There are no weights of its own that could have it: any is refused.
            device: Device of torch.

        Raises:
            OslerError: `model-hash-mismatch` where a part is not the one that was joined; `model-invalid`.
        """
        folder = EncoderFolder(Path(path))
        folder.verify(sha256)
        try:
            listed = [(str(one["name"]), str(one["digest"])) for one in folder.config["model_cfg"][PARTS]]
        except (KeyError, TypeError) as error:
            raise invalid(f"The encoder's folder {folder.path} does not name the encoders that it joins.") from error
        return cls(tuple(open_part(folder, PARTS, *one, device) for one in listed), folder.path.name)

    def __post_init__(self) -> None:
        if len(self.parts) < 2:
            raise invalid(f"A joined encoder of {len(self.parts)} parts joins nothing.")

    @property
    def configuration(self) -> dict[str, Any]:
        """What the digest covers: the parts and their order."""
        parts = {"rules": RULES, PARTS: [named(part) for part in self.parts]}
        return {"kind": KIND, "model_cfg": parts, "preprocess_cfg": {}}

    @property
    def digest(self) -> str:
        """SHA-256 over the names and digests of the parts, in their order; that of its folder."""
        return digest_of(self.configuration)

    @property
    def width(self) -> int:
        """Columns of all parts."""
        return sum(part.width for part in self.parts)

    @property
    def columns(self) -> tuple[tuple[int, int], ...]:
        """First column of each part, and the one after its last."""
        ends = np.cumsum([0, *(part.width for part in self.parts)]).tolist()
        return tuple(pairwise(ends))

    @property
    def preprocess(self) -> Preprocess:
        """How a caller that must shrink images may do so without harm to any part: to the largest of their sizes."""
        return max((part.preprocess for part in self.parts), key=lambda one: one.size)

    def encode(self, images: Sequence[Array], *, tokens: bool = False) -> Features:
        """Encode images, each as its every part takes it.

        Args:
            images: Images in [0, 1], (H, W) or (H, W, 3); in colour where a part measures colours.
            tokens: Without effect.

        Returns:
            Features (B, D1 + D2 + ...); NaN where a part could not measure.

        Raises:
            OslerError: `input-range`.
        """
        pooled = [np.asarray(part.encode(images).pooled, np.float32) for part in self.parts]
        return Features(pooled=np.concatenate(pooled, axis=1))


ENCODER = JoinedEncoder


def write_folder(folder: Path, names: Sequence[str | Path], *, card: str) -> JoinedEncoder:
    """Write a folder that joins encoders; those that are not shipped are copied into it.

    Args:
        folder: Where to.
        names: Names of shipped encoders, or folders, each of another name.
        card: What the encoder is, in Markdown.

    Raises:
        OslerError: as `JoinedEncoder.from_folder`; `model-invalid` where two parts have one name.
    """
    sources = [encoder_folder(name) for name in names]
    if len({source.path.name for source in sources}) < len(sources):
        raise invalid("Two encoders to be joined have the same name.")
    joined = replace(JoinedEncoder.of([source.path for source in sources]), name=folder.name)
    write_parts(folder, PARTS, sources, joined.configuration, card)
    return JoinedEncoder.from_folder(folder)
