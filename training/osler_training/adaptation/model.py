"""The models of a bench: fitted once a source, kept on disk, and read with a scorer that remembers what it scored."""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from osler.bottleneck.artefact import RECORD, load_bottleneck, save_bottleneck
from osler.bottleneck.pipeline import Pipeline
from osler.bottleneck.protocols import Scorer
from osler.bottleneck.records import Array, ConceptState, Features
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
    """Return a pipeline with the same predictions and digest, whose scorer knows large batches again."""
    scorer = copy(pipeline.scorer)
    # The scorer stays what it is, since adapters look at its kind and its vectors; only this one object remembers.
    scorer.__dict__["score"] = Memory(pipeline.scorer)
    return replace(pipeline, scorer=scorer)


def remember(pipeline: Pipeline, features: Features) -> None:
    """Have a remembering pipeline score a batch and keep the state."""
    memory = pipeline.scorer.score
    assert isinstance(memory, Memory)
    memory.known.append((features.pooled, pipeline.bank, memory.scorer.score(features, pipeline.bank)))


@dataclass(frozen=True, eq=False)
class Memory:
    """Gives large batches that it was shown back without scoring them again.

    Every adapter and draw looks at the same unlabelled pool, and scoring it takes longer than most fits.

    Attributes:
        scorer: The scorer.
        known: Batches and their states.
    """

    scorer: Scorer
    known: list[tuple[Array, ConceptBank, ConceptState]] = field(default_factory=list)

    def __call__(self, features: Features, bank: ConceptBank) -> ConceptState:
        """Score, or remember."""
        x = features.pooled
        if len(x) >= SOME and features.tokens is None:
            for rows, concepts, state in self.known:
                if concepts is bank and (rows is x or _same(rows, x)):
                    return state
        return self.scorer.score(features, bank)


def _same(one: Array, other: Array) -> bool:
    return one.shape == other.shape and np.array_equal(one[0], other[0]) and np.array_equal(one, other)
