"""Any open_clip checkpoint from a local folder; nothing here ever asks a hub."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from open_clip.model import CLIP, CustomTextCLIP, _build_vision_tower
from open_clip.modified_resnet import ModifiedResNet
from open_clip.tokenizer import SimpleTokenizer
from open_clip.transformer import VisionTransformer
from safetensors.torch import load_file, save_file
from torch.nn import functional

from osler.bottleneck.encoders.checkpoint import (
    CARD,
    CONFIG,
    VOCABULARY,
    WEIGHTS,
    EncoderFolder,
    invalid,
    record_golden,
    require_golden,
    sha256_of,
    write_json,
)
from osler.bottleneck.encoders.preprocess import Preprocess, half_precision
from osler.bottleneck.encoders.vocabulary import Vocabulary
from osler.bottleneck.records import Array, Features
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

_BATCH = 64


class ImageTower(torch.nn.Module):
    """The image tower alone, of a checkpoint whose text tower is built by a hub's library."""

    def __init__(self, model_cfg: dict[str, Any]) -> None:
        super().__init__()
        self.visual = _build_vision_tower(
            model_cfg["embed_dim"], model_cfg["vision_cfg"], model_cfg.get("quick_gelu", False)
        )

    def encode_image(self, batch: torch.Tensor) -> torch.Tensor:
        """Return pooled features (B, D)."""
        return cast(torch.Tensor, self.visual(batch))


def build_model(model_cfg: dict[str, Any]) -> torch.nn.Module:
    """Build the network of an open_clip `model_cfg` with fresh weights; nothing is downloaded."""
    config = {**model_cfg, "vision_cfg": {**model_cfg["vision_cfg"], "timm_model_pretrained": False}}
    if "hf_model_name" in config["text_cfg"]:
        return ImageTower(config)
    custom = config.pop("custom_text", False)
    return cast(torch.nn.Module, (CustomTextCLIP if custom else CLIP)(**config))


def _load_weights(folder: EncoderFolder) -> torch.nn.Module:
    try:
        model = build_model(folder.config["model_cfg"])
        state = {name: value.float() if value.is_floating_point() else value for name, value in _tensors(folder)}
        if isinstance(model, ImageTower):
            state = {name: value for name, value in state.items() if name.startswith("visual.")}
        model.load_state_dict(state, strict=True)
    except (RuntimeError, TypeError, KeyError) as error:
        raise invalid(f"The weights in {folder.path} do not fit its configuration.") from error
    return model.eval().requires_grad_(False)


def _tensors(folder: EncoderFolder) -> list[tuple[str, torch.Tensor]]:
    return sorted(load_file(folder.weights).items())


def _tokenizer(folder: EncoderFolder) -> Callable[[list[str]], torch.Tensor] | None:
    """Return the folder's own tokenizer, else open_clip's, else None where a hub's library would be needed."""
    text = folder.config["model_cfg"]["text_cfg"]
    length = text.get("context_length", 77)
    if (folder.path / VOCABULARY).is_file():
        vocabulary = Vocabulary.load(folder.path / VOCABULARY, length)
        if len(vocabulary) != text.get("vocab_size"):
            raise invalid(f"{VOCABULARY} has {len(vocabulary)} tokens, the text tower {text.get('vocab_size')}.")
        return lambda texts: torch.from_numpy(vocabulary.encode(texts))
    if "hf_model_name" in text or "hf_tokenizer_name" in text:
        return None
    return cast(Callable[[list[str]], torch.Tensor], SimpleTokenizer(context_length=length))


@dataclass(frozen=True, eq=False)
class OpenClipEncoder:
    """A frozen open_clip model with its own preprocessing and tokenizer; make one with `from_folder`.

    Attributes:
        name: Name of its folder.
        digest: SHA-256 over weights, configuration and preprocessing.
        width: Width of the pooled features.
        preprocess: From an image in [0, 1] to the network's input.
        golden_checked: Whether the folder recorded an embedding that was reproduced at loading.
    """

    name: str
    digest: str
    width: int
    preprocess: Preprocess
    model: Any
    tokenizer: Callable[[list[str]], torch.Tensor] | None
    device: str = "cpu"
    golden_checked: bool = False

    @classmethod
    def from_folder(cls, path: Path, sha256: str | None = None, device: str = "cpu") -> OpenClipEncoder:
        """Load an encoder, check its hashes, and check that a test image gives the recorded embedding.

        Args:
            path: Folder with `open_clip_config.json` and `model.safetensors`.
            sha256: SHA-256 that the weights must have; needed where the folder has no `hashes.json`.
            device: Device of torch.

        Raises:
            OslerError: `model-hash-mismatch` or `model-invalid`.
        """
        folder = EncoderFolder(Path(path))
        folder.verify(sha256)
        size = folder.config["model_cfg"]["vision_cfg"].get("image_size", 224)
        golden = folder.hashes.get("golden")
        encoder = cls(
            name=folder.path.name,
            digest=folder.digest,
            width=folder.config["model_cfg"]["embed_dim"],
            preprocess=Preprocess.from_config(folder.config["preprocess_cfg"], size),
            model=_load_weights(folder).to(device),
            tokenizer=_tokenizer(folder),
            device=device,
            golden_checked=golden is not None,
        )
        require_golden(encoder, golden)
        return encoder

    def encode(self, images: Sequence[Array], *, tokens: bool = False) -> Features:
        """Encode images, each (H, W) or (H, W, 3) in [0, 1], dense tissue bright.

        Args:
            images: The images, of any sizes.
            tokens: Also return spatial features, in the space of the pooled ones and on their scale: a pooled feature
                is an attention-weighted mean of the tokens of its image.

        Returns:
            Pooled features (B, D), L2-normalised float32; tokens (B, N, D) where asked for and the network has them.

        Raises:
            OslerError: `input-range`.
        """
        parts: list[tuple[torch.Tensor, torch.Tensor | None]] = []
        for start in range(0, len(images), _BATCH):
            batch = torch.stack([self.preprocess(image) for image in images[start : start + _BATCH]])
            parts.append(self._encode_batch(batch.to(self.device), tokens))
        pooled = torch.cat([part[0] for part in parts]) if parts else torch.zeros(0, self.width)
        spatial = [part[1] for part in parts if part[1] is not None]
        return Features(
            pooled=pooled.numpy(),
            tokens=torch.cat(spatial).numpy() if spatial else None,
            grid=self.grid if spatial else None,
            text_space=True,
        )

    @property
    def grid(self) -> tuple[int, int] | None:
        """Height and width of the token grid; None where the network shows no tokens."""
        visual = self.model.visual
        if isinstance(visual, ModifiedResNet):
            return (self.preprocess.size // 32, self.preprocess.size // 32)
        return tuple(visual.grid_size) if isinstance(visual, VisionTransformer) else None

    def _encode_batch(self, batch: torch.Tensor, tokens: bool) -> tuple[torch.Tensor, torch.Tensor | None]:
        with torch.inference_mode(), half_precision(self.device):
            pooled, spatial = _forward(self.model.visual, batch) if tokens else (None, None)
            if pooled is None:
                pooled = self.model.encode_image(batch)
        pooled = pooled.float().cpu()
        norm = pooled.norm(dim=-1, keepdim=True).clamp_min(1e-12)
        return pooled / norm, None if spatial is None else spatial.float().cpu() / norm[:, None]

    def encode_text(self, texts: Sequence[str]) -> Array:
        """Return L2-normalised embeddings (n, D) of texts.

        Raises:
            OslerError: `part-missing` where the text tower or its tokenizer would come from a hub.
        """
        if self.tokenizer is None:
            raise OslerError(
                Code.PART_MISSING,
                f"The encoder {self.name!r} reads images only: its text tower or tokenizer comes from a hub.",
                "Ground concepts on annotated reports, which needs no text tower.",
            )
        with torch.inference_mode(), half_precision(self.device):
            numbers = self.tokenizer(list(texts)).to(self.device)
            embeddings = self.model.encode_text(numbers).float().cpu()
        return np.asarray(functional.normalize(embeddings, dim=-1).numpy())


ENCODER = OpenClipEncoder


def _forward(visual: Any, batch: torch.Tensor) -> tuple[torch.Tensor | None, torch.Tensor | None]:
    """Return pooled (B, D) and tokens (B, N, D) of the towers whose tokens can be projected like the pooled feature."""
    if isinstance(visual, ModifiedResNet):
        stages = (visual.stem, visual.layer1, visual.layer2, visual.layer3, visual.layer4)
        spatial = batch
        for stage in stages:
            spatial = stage(spatial)
        pool = visual.attnpool
        tokens = spatial.flatten(2).transpose(1, 2) + pool.positional_embedding[1:]
        return pool(spatial), pool.c_proj(pool.v_proj(tokens))
    if isinstance(visual, VisionTransformer) and visual.attn_pool is None:
        pooled, tokens = visual._pool(visual.transformer(visual._embeds(batch)))
        tokens = visual.ln_post(tokens) if visual.final_ln_after_pool else tokens
        return pooled @ visual.proj, tokens @ visual.proj
    return None, None


def save_encoder(
    model: torch.nn.Module,
    folder: Path,
    *,
    model_cfg: dict[str, Any],
    preprocess: Preprocess,
    vocabulary: Vocabulary | None,
    card: str,
) -> OpenClipEncoder:
    """Write an encoder's folder, matrices in half precision, and return the encoder as it will be loaded.

    Vectors stay in single precision: variances of batch normalisation can leave the range of half precision.
    """
    folder.mkdir(parents=True, exist_ok=True)
    state = {
        name: value.detach().cpu().to(torch.float16 if value.is_floating_point() and value.ndim > 1 else value.dtype)
        for name, value in sorted(model.state_dict().items())
    }
    save_file({name: value.contiguous() for name, value in state.items()}, folder / WEIGHTS[0])
    config = {"model_cfg": model_cfg, "preprocess_cfg": preprocess.to_config()}
    write_json(folder / CONFIG, config)
    (folder / CARD).write_text(card, encoding="utf-8")
    if vocabulary is not None:
        vocabulary.save(folder / VOCABULARY)
    names = [WEIGHTS[0], CONFIG, CARD] + ([VOCABULARY] if vocabulary is not None else [])
    return record_golden(folder, {name: sha256_of(folder / name) for name in names}, OpenClipEncoder.from_folder)
