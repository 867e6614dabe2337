"""The folder of an encoder that is made of others: it names each with its digest, and holds those that are not shipped."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from osler.bottleneck.encoders.catalogue import ImageEncoder, open_encoder, shipped_names
from osler.bottleneck.encoders.checkpoint import (
    CARD,
    FORMAT,
    HASHES,
    OTHER_CONFIG,
    EncoderFolder,
    invalid,
    mismatch,
    sha256_of,
    write_json,
)


def named(part: ImageEncoder) -> dict[str, str]:
    """Return what a folder says of a part."""
    return {"name": part.name, "digest": part.digest}


def digest_of(configuration: Mapping[str, Any]) -> str:
    """Return the digest of an encoder without weights of its own: SHA-256 over its configuration."""
    return hashlib.sha256(json.dumps(configuration, sort_keys=True).encode()).hexdigest()


def open_part(folder: EncoderFolder, below: str, name: str, digest: str, device: str) -> ImageEncoder:
    """Open a part that a folder names: a shipped one by its name, another from `below` in the folder.

    Raises:
        OslerError: `model-hash-mismatch` where the part is another; `model-invalid`.
    """
    if Path(name).name != name:
        raise invalid(f"The encoder's folder {folder.path} names a part outside itself.")
    opened = open_encoder(name if name in shipped_names() else folder.path / below / name, device=device)
    if opened.digest != digest:
        raise mismatch(f"Part {name!r} of encoder {folder.path.name!r}")
    return opened


def write_parts(
    folder: Path,
    below: str,
    sources: list[EncoderFolder],
    configuration: Mapping[str, Any],
    card: str,
    golden: Mapping[str, Any] | None = None,
) -> None:
    """Write the folder.

    Args:
        folder: Where to.
        below: Name of the folder in it for parts that are not shipped, which are copied.
        sources: The folders of the parts.
        configuration: What the digest covers.
        card: What the encoder is, in Markdown.
        golden: What a test image gives, to be checked whenever it is opened.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for source in sources:
        if source.path.name not in shipped_names():
            shutil.copytree(source.path, folder / below / source.path.name)
    write_json(folder / OTHER_CONFIG, dict(configuration))
    (folder / CARD).write_text(card, encoding="utf-8")
    files = {name: sha256_of(folder / name) for name in (OTHER_CONFIG, CARD)}
    write_json(folder / HASHES, {"format": FORMAT, "files": files} | ({} if golden is None else {"golden": golden}))
