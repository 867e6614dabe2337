"""From a checkpoint at hand to an encoder's folder: weights become safetensors, what they are is written beside them."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from osler.bottleneck.encoders.catalogue import ImageEncoder
from osler.bottleneck.encoders.checkpoint import (
    CARD,
    CONFIG,
    WEIGHTS,
    invalid,
    record_golden,
    sha256_of,
    write_json,
)
from osler.bottleneck.encoders.network import Architecture, write_folder
from osler.bottleneck.encoders.open_clip import OpenClipEncoder, build_model
from osler.bottleneck.encoders.preprocess import Preprocess
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

# How trainers wrap what they save: the mapping of tensors is one of these entries, and its names may bear a prefix.
WRAPPINGS = ("state_dict", "model_state_dict", "model", "teacher", "student")
HUB = "hub:"


@dataclass(frozen=True)
class Checkpoint:
    """Weights by name, and the hash of the file that they came from."""

    state: Mapping[str, torch.Tensor]
    sha256: str


def read_checkpoint(path: Path, *, strip: str = "", sha256: str | None = None) -> Checkpoint:
    """Read a checkpoint: safetensors, or a file of torch, of which tensors alone are read and no object is built.

    Args:
        path: The file.
        strip: Prefix of the names to take off, such as `module.`; names without it are left out.
        sha256: SHA-256 that the file must have.

    Raises:
        OslerError: `source-missing`, `model-hash-mismatch`, `model-invalid`.
    """
    path = Path(path)
    if not path.is_file():
        raise OslerError(Code.SOURCE_MISSING, f"There is no file {path}.", "Name a checkpoint.")
    digest = sha256_of(path)
    if sha256 is not None and digest != sha256.lower():
        raise OslerError(
            Code.MODEL_HASH_MISMATCH,
            f"The checkpoint {path.name} has the SHA-256 {digest}, not the one that you gave.",
            "Fetch it again from its source; do not use it as it is.",
        )
    try:
        held = load_file(path) if path.suffix == ".safetensors" else _tensors_of(path)
    except (SafetensorError, UnpicklingError, RuntimeError, EOFError, ValueError, KeyError) as error:
        raise invalid(f"The checkpoint {path.name} holds no tensors that can be read safely.") from error
    state = {name.removeprefix(strip): value for name, value in held.items() if name.startswith(strip)}
    if not state:
        raise invalid(f"No weight in {path.name} has a name that starts with {strip!r}.")
    return Checkpoint(state, digest)


def _tensors_of(path: Path) -> dict[str, torch.Tensor]:
    held: Any = torch.load(path, map_location="cpu", weights_only=True)
    while isinstance(held, Mapping) and not all(isinstance(one, torch.Tensor) for one in held.values()):
        held = next((held[name] for name in WRAPPINGS if isinstance(held.get(name), Mapping)), None)
    if not held:
        raise ValueError("no tensors by name")
    return dict(held)


def import_network(
    folder: Path, checkpoint: Checkpoint, architecture: Architecture, preprocess: Preprocess
) -> ImageEncoder:
    """Write the folder of a network of timm, torchvision or MONAI.

    Raises:
        OslerError: as `network.write_folder`.
    """
    card = _card(folder.name, f"{architecture.name} of {architecture.library}, layer {architecture.layer}", checkpoint)
    return write_folder(folder, architecture, checkpoint.state, preprocess=preprocess, card=card)


def import_open_clip(
    folder: Path, checkpoint: Checkpoint, name: str, preprocess_cfg: Mapping[str, Any]
) -> ImageEncoder:
    """Write the folder of an open_clip model, image and text towers.

    Args:
        folder: Where to.
        checkpoint: Its weights.
        name: Name of the model in open_clip, such as `ViT-B-32`.
        preprocess_cfg: As open_clip writes it; what it leaves out is open_clip's default.

    Raises:
        OslerError: `model-invalid`.
    """
    model_cfg = open_clip_config(name)
    try:
        build_model(model_cfg).load_state_dict(dict(checkpoint.state), strict=True)
    except RuntimeError as error:
        raise invalid(f"The checkpoint's weights are not those of open_clip's {name}.") from error
    folder.mkdir(parents=True, exist_ok=True)
    save_file({key: value.clone().contiguous() for key, value in checkpoint.state.items()}, folder / WEIGHTS[1])
    write_json(folder / CONFIG, {"model_cfg": model_cfg, "preprocess_cfg": dict(preprocess_cfg)})
    (folder / CARD).write_text(_card(folder.name, f"open_clip's {name}", checkpoint), encoding="utf-8")
    files = {one: sha256_of(folder / one) for one in (WEIGHTS[1], CONFIG, CARD)}
    return record_golden(folder, files, OpenClipEncoder.from_folder)


def open_clip_config(name: str) -> dict[str, Any]:
    """Return open_clip's configuration of a model.

    Raises:
        OslerError: `model-invalid` where there is none of that name.
    """
    import open_clip

    config = open_clip.get_model_config(name)
    if config is None:
        raise invalid(f"open_clip has no model {name!r}.")
    return copy.deepcopy(dict(config))


def fetch_open_clip(name: str, tag: str) -> Checkpoint:
    """Download a checkpoint of open_clip from its hub: the one place that reaches for a network, and only on request.

    Raises:
        OslerError: `part-missing` where it cannot be had.
    """
    import open_clip

    try:
        config = open_clip.get_pretrained_cfg(name, tag)
        if not config:
            raise LookupError("no such checkpoint")
        path = Path(open_clip.download_pretrained(config))
    except Exception as error:  # whatever the hub's client raises
        raise OslerError(
            Code.PART_MISSING,
            f"The checkpoint {tag!r} of open_clip's {name} could not be fetched ({type(error).__name__}).",
            "Check the names and the network, or give a file that you have.",
        ) from error
    return read_checkpoint(path)


def _card(name: str, what: str, checkpoint: Checkpoint) -> str:
    return (
        f"# {name}\n\n{what}; imported, not trained by Osler. What it was trained on, and its licence, its source says.\n\n"
        f"- SHA-256 of the checkpoint: {checkpoint.sha256}\n- For research use; not a medical device.\n"
    )
