"""What a method is given and what it gives back."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from osler.bottleneck.protocols import Encoder
from osler.bottleneck.records import Array, BoolArray, Features
from osler_knowledge.bank import ConceptBank
from osler_training.evaluate.metrics import Labels


@dataclass(frozen=True)
class Cohort:
    """Labelled studies, one image each.

    Attributes:
        features: What the encoder made of the images (n rows).
        y: Class indices (n,).
        patients: Pseudonyms (n,).
        images: The images (n, H, W) in [0, 1], for methods that train on pixels; None where only features were kept.
        study_uids: Pseudonymous study UIDs (n,), or empty.
        concepts: What annotators saw of each concept of the bank (n, C) in {0, 1, NaN}; None where nobody looked.
        groups: Group of each study (n,), such as scanner or sex; None where none is known.
        encoder_digest: Digest of the encoder that made the features, where it is on record.
    """

    features: Features
    y: Labels
    patients: tuple[str, ...]
    images: NDArray[np.float32] | None = None
    study_uids: tuple[str, ...] = ()
    concepts: Array | None = None
    groups: NDArray[np.intp] | None = None
    encoder_digest: str = ""

    def __len__(self) -> int:
        return len(self.y)

    def rows(self, index: NDArray[np.intp] | BoolArray) -> Cohort:
        """Return some of the studies."""
        index = np.arange(len(self))[index]
        return replace(
            self,
            features=self.features.rows(index),
            y=self.y[index],
            patients=tuple(self.patients[i] for i in index),
            images=None if self.images is None else self.images[index],
            study_uids=tuple(self.study_uids[i] for i in index) if self.study_uids else (),
            concepts=None if self.concepts is None else self.concepts[index],
            groups=None if self.groups is None else self.groups[index],
        )


@dataclass(frozen=True, eq=False)
class Reference:
    """Studies with reports and no labels: what groundings learn from. `fit.report_labels` makes one.

    Attributes:
        features: What the encoder made of the images (n rows).
        patients: Pseudonyms (n,).
        concepts: What the reports say of each concept of the bank (n, C) in {0, 1, NaN}.
        findings: What they say of each class of the task (n, K) in {0, 1, NaN}.
        encoder_digest: Digest of the encoder that made the features, where it is on record.
    """

    features: Features
    patients: tuple[str, ...]
    concepts: Array
    findings: Array
    encoder_digest: str = ""


@dataclass(frozen=True)
class Problem:
    """A classification task at one hospital, with everything a method may learn from.

    Attributes:
        classes: Names of the classes, findings of the bank.
        train: To fit on.
        select: To choose between models on.
        calibrate: To fit temperatures on.
        reference: Studies with reports.
        bank: The concepts, with their prior.
        encoder: The encoder that made the features.
    """

    classes: tuple[str, ...]
    train: Cohort
    select: Cohort
    calibrate: Cohort
    reference: Reference
    bank: ConceptBank
    encoder: Encoder


class Classifier(Protocol):
    """A fitted method."""

    def probabilities(self, cohort: Cohort) -> Array:
        """Return calibrated class probabilities (n, K)."""
        ...

    def record(self) -> dict[str, Any]:
        """Return what was chosen and measured while fitting, as JSON."""
        ...
