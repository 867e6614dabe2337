"""The models of a bench: fitted once a source, kept on disk, and read with a scorer that remembers what it scored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from osler.bottleneck.artefact import RECORD, load_bottleneck, save_bottleneck
from osler.bottleneck.pipeline import Pipeline
from osler.bottleneck.protocols import Scorer
from osler.bottleneck.records import Array, BoolArray, ConceptState, Features
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError
from osler_knowledge.bank import ConceptBank
from osler_training.adaptation.features import Store, read_fit
from osler_training.adaptation.plan import Fit
from osler_training.fit.bottleneck import BottleneckClassifier
from osler_training.fit.methods import fit_method
from osler_training.shift.features import closed
from osler_training.shift.lab import Lab
from osler_training.shift.problems import Setting

SOME = 64  # Batches of fewer rows are scored faster than they are recognised.


def fit_model(lab: Lab, store: Store, fit: Fit) -> Path:
    """Fit a bottleneck on the source, uncorrected, and keep it; returns its folder.

    Raises:
        OslerError: `model-invalid` where the method is no static bottleneck whose head is linear in concepts; what the
            method itself refuses.
    """
    folder = store.root / "models" / fit.name
    if (folder / RECORD).is_file():
        return folder
    entry = lab.recipe.methods[fit.method]
    setting = setting_of(lab, store, fit)
    method = entry.method or fit.method
    classifier = fit_method(method, setting.problem, entry.options, seed=fit.seed)
    if not isinstance(classifier, BottleneckClassifier):
        raise OslerError(
            Code.MODEL_INVALID, f"{method!r} makes no bottleneck: it has no concepts to patch.", "Use one that does."
        )
    classifier.pipeline.head_weights()  # refuses a head that no patch can reach
    pipeline = replace(classifier.pipeline, encoder=None)
    return save_bottleneck(pipeline, folder, card=f"# {fit.name}\n\nFitted by a bench of adaptation.\n")


def setting_of(lab: Lab, store: Store, fit: Fit) -> Setting:
    """Return what a method is fitted on."""
    parts = lab.parts[fit.source, fit.seed]
    encoder = closed(lab.recipe, fit.encoder, lab.encoders[fit.encoder])
    return Setting(lab.recipe, lab.sites, parts, read_fit(store, parts, fit.encoder, fit.seed), lab.bank, encoder)


def open_model(folder: Path) -> Pipeline:
    """Return a kept model whose scorer remembers."""
    return remembering(load_bottleneck(folder))


def remembering(pipeline: Pipeline) -> Pipeline:
    """Return a pipeline with the same predictions and the same digest whose scorer knows large batches again."""
    fast = replace(pipeline, scorer=Remembering(pipeline.scorer))
    fast.__dict__["digest"] = pipeline.digest  # a patch names the model that is adapted, and this is no other
    return fast


@dataclass(frozen=True, eq=False)
class Remembering:
    """A scorer that gives large batches that it was shown back without scoring them again.

    Every adapter and draw looks at the same unlabelled pool, and scoring it takes longer than most fits.

    Attributes:
        scorer: The scorer.
        known: Batches and their states.
    """

    scorer: Scorer
    known: list[tuple[Array, ConceptBank, ConceptState]] = field(default_factory=list)

    @property
    def ids(self) -> tuple[str, ...]:
        """Those of the scorer."""
        return self.scorer.ids

    @property
    def value_range(self) -> tuple[float, float] | None:
        """That of the scorer."""
        return self.scorer.value_range

    def score(self, features: Features, bank: ConceptBank) -> ConceptState:
        """Score, or remember."""
        x = features.pooled
        if len(x) < SOME:
            return self.scorer.score(features, bank)
        for rows, concepts, state in self.known:
            if concepts is bank and (rows is x or _same(rows, x)):
                return state
        return self.scorer.score(features, bank)

    def remember(self, features: Features, bank: ConceptBank) -> None:
        """Score a batch and keep the state."""
        self.known.append((features.pooled, bank, self.scorer.score(features, bank)))

    def clamp(self, state: ConceptState, mask: BoolArray, truth: Array) -> ConceptState:
        """As the scorer does."""
        return self.scorer.clamp(state, mask, truth)

    def to_artefact(self) -> tuple[dict[str, Array], dict[str, Any]]:
        """As the scorer does."""
        return self.scorer.to_artefact()

    @classmethod
    def from_artefact(cls, tensors: Mapping[str, Array], record: Mapping[str, Any]) -> Remembering:
        """Refuse: what is stored is the scorer itself."""
        raise TypeError("A remembering scorer is not stored")


def _same(one: Array, other: Array) -> bool:
    return one.shape == other.shape and np.array_equal(one[0], other[0]) and np.array_equal(one, other)
