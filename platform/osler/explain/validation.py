"""What was checked of a model's concepts before anyone sees them: a file in the model's folder, bound to its digest.

Which concepts may be called present or absent and from what probability, whose maps may be shown, and how well each is
recognised; all on studies that nothing was fitted on.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from osler.bottleneck.records import Array, BoolArray
from osler.explain.explanation import Measured
from osler.explain.measuring import measured_auroc, share, wilson
from osler.explain.typicality import Typical
from osler.files import write_atomically
from osler.seals import opened, written

FORMAT, FORMER = "osler-concept-validation/2", "osler-concept-validation/1"  # the former has no seal
FILE, TENSORS = "validation.json", "validation.safetensors"
RELIABLE = 0.9  # Of the studies that are called present (absent) so many are to be.
LEAST_SURE = 0.8  # Lower end of the 95% interval of that share.
MOST_WRONG = (
    0.1  # Of the studies that are not, so many may be called so: what is rare is absent for whoever always says so.
)
EVEN = 0.5  # Nothing is called present that the scorer finds less likely than not, nor absent that it finds likelier.
POINTS = 0.8  # Of the maps that are shown, so many are to point into the mask.
LEAST_POINTS = 0.7  # Lower end of the 95% interval of that share.
_FIGURES = ("auroc", "present", "absent", "localisation")


@dataclass(frozen=True)
class ConceptCheck:
    """What was checked of one concept.

    Attributes:
        auroc: How well it is recognised, None where too few studies were known.
        present_from: Probability from which it is called present; None where no limit was reliable.
        present: Of those called so, the share that were.
        absent_to: Probability up to which it is called absent; None where no limit was reliable.
        absent: Of those called so, the share that were.
        localisation: Share of the maps that would be shown, those of studies where it is called present, whose highest point
            lay in its mask; the map of a concept that is not there misses.
    """

    auroc: Measured | None = None
    present_from: float | None = None
    present: Measured | None = None
    absent_to: float | None = None
    absent: Measured | None = None
    localisation: Measured | None = None

    @property
    def map_shown(self) -> bool:
        """Whether its map points where the concept is often enough to be shown."""
        held = self.localisation
        return held is not None and held.value >= POINTS and held.low >= LEAST_POINTS

    def called(self, probability: float | None) -> str:
        """Return `present`, `absent` or `uncertain`."""
        if probability is None:
            return "uncertain"
        if self.present_from is not None and probability >= self.present_from:
            return "present"
        return "absent" if self.absent_to is not None and probability <= self.absent_to else "uncertain"


@dataclass(frozen=True)
class Validation:
    """What was checked of a model's concepts.

    Attributes:
        model: Digest of the model.
        where: Of what studies, in words.
        concepts: The checks by concept.
        features: What image features are usual at the source, None where nobody measured it.
    """

    model: str
    where: str
    concepts: Mapping[str, ConceptCheck] = field(default_factory=dict)
    features: Typical | None = None

    def of(self, concept: str) -> ConceptCheck:
        """Return the checks of a concept; empty where nothing was checked."""
        return self.concepts.get(concept, ConceptCheck())

    def save(self, folder: Path) -> Path:
        """Write it into a model's folder."""
        path = folder / FILE
        concepts = {one: asdict(check) for one, check in self.concepts.items()}
        record = {"format": FORMAT, "model": self.model, "where": self.where, "concepts": concepts}
        if self.features is not None:
            content = save(self.features.tensors())
            record["features"] = {"of": self.features.of, "sha256": hashlib.sha256(content).hexdigest()}
            write_atomically(folder / TENSORS, content)
        write_atomically(path, written(record))
        return path


def load_validation(folder: Path, model: str) -> Validation:
    """Read what was checked of the model with a digest; nothing where the file is missing, damaged or of another model."""
    try:
        record = opened((folder / FILE).read_bytes(), FORMAT, FORMER)
        if record["model"] == model:
            checks = {one: _check(held) for one, held in record["concepts"].items()}
            return Validation(model, record["where"], checks, _features(folder, record.get("features")))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, SafetensorError):
        pass
    return Validation(model, "")


def intact(folder: Path, model: str) -> bool:
    """Return whether what lies in a model's folder is a record of its checks as one was written, or nothing at all."""
    if not (folder / FILE).exists():
        return not (folder / TENSORS).exists()
    return load_validation(folder, model) != Validation(model, "")


def _features(folder: Path, record: Mapping[str, str] | None) -> Typical | None:
    if record is None:
        return None
    content = (folder / TENSORS).read_bytes()
    if hashlib.sha256(content).hexdigest() != record["sha256"]:
        raise ValueError("The numbers are of another record")
    return Typical(record["of"], **load(content))


def _check(held: Mapping[str, Any]) -> ConceptCheck:
    figures = {name: None if held[name] is None else Measured(**held[name]) for name in _FIGURES}
    return ConceptCheck(present_from=held["present_from"], absent_to=held["absent_to"], **figures)


def check_concept(prob: Array, values: Array, truth: Array, patients: Sequence[str], where: str) -> ConceptCheck:
    """Check how one concept is recognised.

    Args:
        prob: Probabilities (n,), NaN where the scorer gives none.
        values: Values as scored (n,).
        truth: What is known (n,) in {0, 1, NaN}.
        patients: Pseudonyms (n,).
        where: Of what studies, in words.
    """
    known = ~np.isnan(truth) & ~np.isnan(prob)
    p, there = prob[known], truth[known] > 0.5
    present_from, present = reliable_limit(p, there, where)
    mirrored, absent = reliable_limit(1 - p, ~there, where)
    return ConceptCheck(
        auroc=measured_auroc(values, truth, patients, where),
        present_from=present_from,
        present=present,
        absent_to=None if mirrored is None else 1 - mirrored,
        absent=absent,
    )


def check_map(check: ConceptCheck, prob: Array, truth: Array, hits: Array, where: str) -> Measured | None:
    """Check where the maps of a concept point that would be shown; None where none would be.

    Args:
        check: From which probability it is called present.
        prob: Probabilities (n,), of studies that need not be those of the check.
        truth: Whether it is there (n,) in {0, 1, NaN}.
        hits: Whether the map pointed into the mask (n,), NaN for a study without a mask of it.
        where: Of what studies, in words.
    """
    if check.present_from is None:
        return None
    pointed = np.where(truth == 0, 0.0, hits)[~np.isnan(truth) & (prob >= check.present_from)]
    return share(pointed[~np.isnan(pointed)], where)


def reliable_limit(p: Array, there: BoolArray, where: str) -> tuple[float | None, Measured | None]:
    """Return the lowest probability from which what is called present is so reliably, and the share; None where none is.

    The lower end of the interval is held to a limit too: a few lucky studies at the top do not make a concept reliable.
    """
    order = np.argsort(-p, kind="stable")
    ranked, right = p[order], np.cumsum(there[order])
    last = np.append(np.flatnonzero(np.diff(ranked)), len(ranked) - 1) if len(ranked) else np.array([], np.intp)
    others = max(int((~there).sum()), 1)
    best: tuple[float | None, Measured | None] = (None, None)
    for place in last[ranked[last] >= EVEN]:
        n, hits = int(place) + 1, int(right[place])
        low, high = wilson(hits, n)
        if hits / n >= RELIABLE and low >= LEAST_SURE and (n - hits) / others <= MOST_WRONG:
            best = float(ranked[place]), Measured(hits / n, low, high, n, hits, where)
    return best
