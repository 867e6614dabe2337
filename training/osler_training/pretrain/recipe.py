"""The recipe of the shipped encoder, and its run from phantoms to a folder with hashes and a card."""

from __future__ import annotations

import platform
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError

from osler.bottleneck.encoders.open_clip import OpenClipEncoder, build_model, save_encoder
from osler.bottleneck.encoders.preprocess import Preprocess
from osler.bottleneck.encoders.vocabulary import Vocabulary
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError
from osler_knowledge.propose import build_bank
from osler_training.phantom.digest import phantom_digest
from osler_training.pretrain.contrastive import ContrastiveSettings, Material, TokenSource, train
from osler_training.pretrain.pairs import Pairs, render_pairs, statements

CARD = """# {name}

A small open_clip model for frontal chest radiographs, for Osler's demonstration. **Research use only; not a medical device.**

- **Trained on phantoms only**: {pairs} simulated radiographs with reports in prose, from as many randomised sites. It has seen
  no patient. On real radiographs it is far from what a medical encoder can do; `docs/results.md` says how far.
- The sites of the demonstration are none of its training sites, and the nuisances of the experiments (`HELD_OUT_NUISANCES`)
  never occurred in its training.
- Image tower: a ResNet with attention pooling, {size} x {size} pixels, grey repeated over three channels. Text tower: its own
  vocabulary of {words} words.
- Contrastive loss; reports that state the same signs count as positives for each other. {cycles} cycles of {epochs}
  epochs, each with its own cosine; final loss {loss:.3f}.
- Source of the phantoms {digest}; recipe seed {seed}; torch {torch} on {machine}.
- Made again by `osler pretrain`.
"""


class PretrainRecipe(BaseModel):
    """Settings of a pretraining run; see `recipes/phantom_clip.yaml`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    seed: int
    pairs: int
    render_size: int
    image_size: int
    wordings: int
    vocabulary: int
    model: dict[str, Any]
    training: ContrastiveSettings
    cycles: int = 1

    @classmethod
    def load(cls, path: Path | None = None) -> PretrainRecipe:
        """Read a recipe, the shipped one where none is named.

        Raises:
            OslerError: `usage` where it is not one.
        """
        source = path or Path(str(files("osler_training.recipes") / "phantom_clip.yaml"))
        try:
            return cls.model_validate(yaml.safe_load(source.read_text(encoding="utf-8")))
        except (OSError, yaml.YAMLError, ValidationError) as error:
            raise OslerError(
                Code.USAGE, f"{source.name} is not a pretraining recipe.", "Compare it with recipes/phantom_clip.yaml."
            ) from error


def pretrain(
    recipe: PretrainRecipe, out: Path, cache: Path, *, workers: int, progress: Callable[[str], None]
) -> OpenClipEncoder:
    """Train the encoder of a recipe and write its folder.

    Args:
        recipe: The recipe.
        out: Folder of the encoder.
        cache: Folder that keeps rendered pairs.
        workers: Processes that render.
        progress: Receives a line now and then.
    """
    pairs = render_pairs(
        recipe.pairs,
        seed=recipe.seed,
        render_size=recipe.render_size,
        side=recipe.image_size,
        wordings=recipe.wordings,
        cache=cache,
        workers=workers,
        progress=progress,
    )
    vocabulary = Vocabulary.build(
        [text for texts in pairs.reports for text in texts],
        size=recipe.vocabulary,
        context_length=recipe.model["text_cfg"]["context_length"],
    )
    config = {**recipe.model, "text_cfg": {**recipe.model["text_cfg"], "vocab_size": len(vocabulary)}}
    torch.manual_seed(recipe.seed)
    model, preprocess = build_model(config), Preprocess(recipe.image_size)
    stated = statements(pairs.reports, build_bank())
    material = Material(pairs.images, _tokens(pairs, vocabulary), stated, _normalise(preprocess))
    for cycle in range(recipe.cycles):
        losses = train(model, material, recipe.training, recipe.seed + cycle, progress)
        _round_as_saved(model)
    card = _card(recipe, words=len(vocabulary), loss=losses[-1])
    return save_encoder(model, out, model_cfg=config, preprocess=preprocess, vocabulary=vocabulary, card=card)


def _round_as_saved(model: torch.nn.Module) -> None:
    """Round matrices to the half precision they are kept in, so that a cycle can start from the file of the one before."""
    with torch.no_grad():
        for value in model.state_dict().values():
            if value.is_floating_point() and value.ndim > 1:
                value.copy_(value.half())


def _card(recipe: PretrainRecipe, *, words: int, loss: float) -> str:
    return CARD.format(
        name=recipe.name,
        pairs=recipe.pairs,
        size=recipe.image_size,
        words=words,
        epochs=recipe.training.epochs,
        cycles=recipe.cycles,
        loss=loss,
        digest=phantom_digest()[:16],
        seed=recipe.seed,
        torch=torch.__version__.partition("+")[0],
        machine=platform.machine(),
    )


def _tokens(pairs: Pairs, vocabulary: Vocabulary) -> TokenSource:
    """Return a source that draws one of the wordings of each study."""
    ids = np.stack([vocabulary.encode(texts) for texts in pairs.reports])

    def draw(rows: NDArray[np.intp], rng: np.random.Generator) -> torch.Tensor:
        return torch.from_numpy(ids[rows, rng.integers(ids.shape[1], size=len(rows))])

    return draw


def _normalise(preprocess: Preprocess) -> Callable[[torch.Tensor], torch.Tensor]:
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (preprocess.mean, preprocess.std))
    return lambda grey: (grey.expand(-1, 3, -1, -1) - mean) / std
