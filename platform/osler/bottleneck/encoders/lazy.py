"""An encoder known by its digest and loaded when it is first needed: reading a cache needs no network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from osler.bottleneck.encoders.catalogue import open_encoder
from osler.bottleneck.protocols import Encoder
from osler.bottleneck.records import Array, Features


@dataclass(frozen=True)
class LazyEncoder:
    """The encoder in a folder, of whatever kind, not loaded yet.

    Attributes:
        folder: Its folder.
        digest: Its digest.
    """

    folder: Path
    digest: str

    def __reduce__(self) -> tuple[type[LazyEncoder], tuple[Path, str]]:
        """Send another process the folder's name, never the network."""
        return LazyEncoder, (self.folder, self.digest)

    @cached_property
    def loaded(self) -> Encoder:
        """The encoder; its hashes are checked now."""
        return open_encoder(self.folder)

    def encode(self, images: Sequence[Array], *, tokens: bool = False) -> Features:
        """Encode images; see `Encoder.encode`."""
        return self.loaded.encode(images, tokens=tokens)


def opened(encoder: Encoder) -> Encoder:
    """Return the encoder itself: loaded, where it was lazy."""
    return encoder.loaded if isinstance(encoder, LazyEncoder) else encoder
