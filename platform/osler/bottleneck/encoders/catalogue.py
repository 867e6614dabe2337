"""Encoders by name or folder: a kind of network is one module here, with its class under the name `ENCODER`."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

from osler.bottleneck.encoders.checkpoint import EncoderFolder, invalid, shipped_encoder_folder
from osler.bottleneck.protocols import Encoder

if TYPE_CHECKING:  # it brings torch, which a cached study does not need
    from osler.bottleneck.encoders.preprocess import Preprocess

# Trained on phantoms, and on ImageNet's photographs; the second needs the extra `imagenet`.
SHIPPED = ("phantom_clip", "imagenet_lite0")
DEFAULT = SHIPPED[0]
# Encoders that measure by rules instead of learning: their features have names and units.
MEASURING = ("white_cell_morphometry", "lesion_morphometry", "chest_morphometry")


class ImageEncoder(Encoder, Protocol):
    """An opened encoder, which says what it does to an image."""

    @property
    def name(self) -> str:
        """Name of its folder."""
        ...

    @property
    def width(self) -> int:
        """Width D of the pooled features."""
        ...

    @property
    def preprocess(self) -> Preprocess:
        """From an image in [0, 1] to the network's input."""
        ...


def shipped_names() -> tuple[str, ...]:
    """Return the names of the encoders that come with the package."""
    return (*SHIPPED, *MEASURING)


def shipped_folders() -> list[Path]:
    """Return the folders of the encoders that come with the package."""
    return [shipped_encoder_folder(name) for name in shipped_names()]


def encoder_folder(name: str | Path) -> EncoderFolder:
    """Return a shipped encoder by its name, or the one in a folder; nothing is read yet."""
    return EncoderFolder(shipped_encoder_folder(str(name)) if name in shipped_names() else Path(name))


def open_encoder(name: str | Path = DEFAULT, *, sha256: str | None = None, device: str = "cpu") -> ImageEncoder:
    """Open an encoder of any kind, check its hashes, and check that a test image gives the recorded embedding.

    Args:
        name: Name of a shipped encoder, or a folder with `encoder.json` or `open_clip_config.json`; several joined by `+`
            give their features side by side.
        sha256: SHA-256 that the weights must have; needed where the folder has no `hashes.json`.
        device: Device of torch.

    Raises:
        OslerError: `model-invalid`, `model-hash-mismatch`, or `part-missing` where an extra is not installed.
    """
    if "+" in str(name) and not Path(name).exists():
        from osler.bottleneck.encoders.joined import JoinedEncoder

        return JoinedEncoder.of(str(name).split("+"), device=device)
    folder = encoder_folder(name)
    return cast(ImageEncoder, _class_of(folder).from_folder(folder.path, sha256, device))


def _class_of(folder: EncoderFolder) -> Any:
    if not folder.kind.isidentifier():
        raise invalid(f"The encoder's folder {folder.path} names no kind of network.")
    try:
        return import_module(f"osler.bottleneck.encoders.{folder.kind}").ENCODER
    except (ModuleNotFoundError, AttributeError) as error:
        raise invalid(f"Osler has no encoders of the kind {folder.kind!r} that {folder.path} names.") from error
