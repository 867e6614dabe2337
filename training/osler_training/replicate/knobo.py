"""The table of KnoBo on its own features: ID, OOD, gap and Avg of confounded sets, accuracy of unconfounded ones (M1).

What differs from the source, and is in the record: a tenth of the training rows each chooses penalties and fits temperatures,
so that nothing is chosen on what is reported (the source keeps the best epoch on ID); heads are fitted to their optimum.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from osler.bottleneck.records import Array, Features
from osler.bottleneck.scorers.logistic import LogisticScorer
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError
from osler_training.evaluate.shift import Predicted, shift_estimates
from osler_training.evaluate.splits import split_patients
from osler_training.fit.bottleneck import Concepts, concluded
from osler_training.fit.grounding import Grounding
from osler_training.fit.methods import fit_method
from osler_training.fit.prior_head import HeadRule, fit_head
from osler_training.fit.problem import Classifier, Cohort, Problem, Reference
from osler_training.replicate.knobo_files import (
    MODALITIES,
    KnoboSet,
    Modality,
    data_folder,
    read_bank,
    read_groundings,
    read_reference,
    read_set,
)

# Entries with an unknown link are drawn to zero, as in the source.
HEAD = {"strength": 1.0, "unknown": "pull"}
METHODS: dict[str, tuple[str, Mapping[str, Any]]] = {
    "linear probe": ("linear_probe", {}),
    "PCBM": ("pcbm", {}),
    "PCBM-h": ("pcbm_hybrid", {}),
    "LaBo": ("labo", {}),
    "KnoBo": ("bottleneck_prior", {"head": HEAD}),
}
SHARES = {"train": 0.8, "select": 0.1, "calibrate": 0.1}
FIGURES = ("id", "ood", "gap", "avg")
UNMEASURED = "unmeasured"
NO_REFERENCE = "no features of the reference set with concept annotations"
NO_GROUNDING = "neither groundings nor a reference set with concept annotations"


@dataclass(frozen=True)
class Plan:
    """What to rerun.

    Attributes:
        modalities: `xray`, `skin`, or both.
        methods: Names among `METHODS`.
        corpus: Which list of concepts.
        concepts: Most concepts that are kept, the best grounded.
        model: Encoder whose features are read; empty for the modality's own.
        seed: Seed of splits, fits and bootstrap.
    """

    modalities: tuple[str, ...] = ("xray", "skin")
    methods: tuple[str, ...] = tuple(METHODS)
    corpus: str = "PubMed"
    concepts: int = 150
    model: str = ""
    seed: int = 0

    def __post_init__(self) -> None:
        for given, allowed, what in ((self.modalities, MODALITIES, "modality"), (self.methods, METHODS, "method")):
            if strangers := [one for one in given if one not in allowed]:
                raise OslerError(Code.USAGE, f"There is no {what} {strangers[0]!r}.", f"Use {', '.join(allowed)}.")


@dataclass(frozen=True)
class FeatureFiles:
    """Stands for the encoder whose features were given; it can encode nothing itself."""

    digest: str

    def encode(self, images: Sequence[Array], *, tokens: bool = False) -> Features:
        """Refuse.

        Raises:
            OslerError: `part-missing`.
        """
        raise OslerError(Code.PART_MISSING, "There are features and no encoder.", "Give features of these images.")


@dataclass(frozen=True)
class Grounds:
    """What a modality's concepts rest on: annotated reference studies, ready groundings, or neither.

    Sets with as many classes share a `Reference`, and so what is grounded on it.
    """

    reference: tuple[Array, tuple[str, ...], Array] | None = None
    groundings: Grounding | None = None
    _shared: dict[int, Reference] = field(default_factory=dict)

    def check_width(self, name: str, width: int) -> None:
        """Refuse features of another encoder than the concepts rest on.

        Raises:
            OslerError: `model-invalid`.
        """
        grounded = [] if self.reference is None else [self.reference[0].shape[1]]
        grounded += [] if self.groundings is None else [self.groundings.vectors.shape[1]]
        if any(one != width for one in grounded):
            raise OslerError(
                Code.MODEL_INVALID,
                f"{name} has features of {width} figures, and its concepts were grounded on {grounded[0]}.",
                "Give features of one encoder throughout.",
            )

    def reference_for(self, classes: int, width: int, concepts: int) -> Reference:
        """Return the reference of a task; it has no row where there is none."""
        if classes not in self._shared:
            none = np.zeros((0, width), np.float32), (), np.zeros((0, concepts), np.float32)
            x, patients, truth = self.reference or none
            self._shared[classes] = Reference(Features(x), patients, truth, np.full((len(x), classes), np.nan))
        return self._shared[classes]


def replicate(folder: Path, plan: Plan, progress: Callable[[str], None] = lambda line: None) -> dict[str, Any]:
    """Rerun the table.

    Args:
        folder: The repository's `data`, or `data/features`.
        plan: What to rerun.
        progress: Receives a line a set and method.

    Returns:
        The record: `rows` (a set and method each, with intervals, or why unmeasured) and `summary` (a modality and method).

    Raises:
        OslerError: `source-missing` where no set has features; `model-invalid`, `bank-invalid` for damaged files.
    """
    data = data_folder(folder)
    rows, summary, conditions = [], [], []
    for name in plan.modalities:
        modality = MODALITIES[name]
        found, about = _modality(data, modality, plan, progress)
        rows += found
        conditions.append(about)
        summary += [_summary(modality, method, found) for method in plan.methods]
    if not any(about["sets"] for about in conditions):
        raise OslerError(
            Code.SOURCE_MISSING,
            f"There are no features of any of KnoBo's sets in {data / 'features'}.",
            "Name the folder `data` of its repository after its setup has fetched features.zip.",
        )
    return {
        "table": "KnoBo",
        "seed": plan.seed,
        "bottleneck": plan.corpus,
        "protocol": "penalties and temperatures on a tenth of the training rows each; nothing is chosen on ID",
        "conditions": conditions,
        "rows": rows,
        "summary": summary,
    }


def _modality(
    data: Path, modality: Modality, plan: Plan, progress: Callable[[str], None]
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    model = plan.model or modality.model
    kinds = dict.fromkeys(modality.confounded, "confounded") | dict.fromkeys(modality.unconfounded, "unconfounded")
    sets = {name: read_set(data, model, name) for name in kinds}
    about: dict[str, Any] = {"modality": modality.name, "model": model, "sets": sum(map(bool, sets.values()))}
    grounds = Grounds()
    if about["sets"]:
        bank = read_bank(data, modality, plan.corpus)
        ready = model == modality.model  # the distributed groundings are for the modality's own encoder
        grounds = Grounds(
            read_reference(data, modality, model, bank),
            read_groundings(data, modality, bank, plan.concepts) if ready else None,
        )
        about |= {
            "concepts_listed": len(bank.ids),
            "reference_images": len(grounds.reference[1]) if grounds.reference else 0,
            "ready_groundings": len(grounds.groundings.ids) if grounds.groundings else 0,
        }
    rows = []
    for name, kind in kinds.items():
        held = sets[name]
        problem = _problem(data, modality, held, grounds, plan, model) if held else None
        for method in plan.methods:
            row = {"modality": modality.name, "set": name, "kind": kind, "method": method}
            if held is None or problem is None:
                rows.append(row | {UNMEASURED: f"no features of {name}"})
                continue
            rows.append(row | _measured(method, kind, held, problem, grounds, plan))
            progress(f"{name}, {method}: {_words(rows[-1])}")
    return rows, about


def _problem(data: Path, modality: Modality, held: KnoboSet, grounds: Grounds, plan: Plan, model: str) -> Problem:
    train = held.splits["train"]
    grounds.check_width(held.name, train.x.shape[1])
    parts = split_patients(train.patients, train.y, SHARES, seed=plan.seed)
    whole = Cohort(Features(train.x), train.y, train.patients)
    bank = read_bank(data, modality, plan.corpus, held.classes)
    digest = hashlib.sha256(f"{model} {train.x.shape[1]}".encode()).hexdigest()
    return Problem(
        classes=held.classes,
        train=whole.rows(parts["train"]),
        select=whole.rows(parts["select"]),
        calibrate=whole.rows(parts["calibrate"]),
        reference=grounds.reference_for(len(held.classes), train.x.shape[1], len(bank.ids)),
        bank=bank,
        encoder=FeatureFiles(digest),
    )


def _measured(method: str, kind: str, held: KnoboSet, problem: Problem, grounds: Grounds, plan: Plan) -> dict[str, Any]:
    """Fit a method on a set and return its figures, or why it has none."""
    try:
        classifier = _fitted(method, problem, grounds, plan)
    except OslerError as error:
        if error.code not in (Code.NOTHING_ELIGIBLE, Code.PART_MISSING):
            raise
        return {UNMEASURED: error.message}
    inside, outside = (
        Predicted(classifier.probabilities(Cohort(Features(one.x), one.y, one.patients)), one.y, one.patients)
        for one in (held.splits["val"], held.splits["test"])
    )
    estimates = shift_estimates(inside, outside, seed=plan.seed)
    wanted = FIGURES if kind == "confounded" else ("ood",)
    figures = {name: {"value": estimates[name].value, "ci": list(estimates[name].ci)} for name in wanted}
    if kind == "unconfounded":
        figures = {"unconf": figures["ood"]}
    counts = {split: len(one.y) for split, one in held.splits.items()}
    return figures | {"rows": counts, "patients_named": held.patients_named, "patients_shared": _shared(held)}


def _fitted(method: str, problem: Problem, grounds: Grounds, plan: Plan) -> Classifier:
    name, options = METHODS[method]
    if name == "linear_probe":
        return fit_method(name, problem, options, seed=plan.seed)
    if method == "KnoBo" and grounds.groundings is not None:
        return _on_groundings(problem, grounds.groundings, plan)
    if grounds.reference is None:
        raise OslerError(Code.PART_MISSING, NO_GROUNDING if method == "KnoBo" else NO_REFERENCE, "")
    if method == "KnoBo":
        options = {**options, "grounding": {"best": plan.concepts}}
    return fit_method(name, problem, options, seed=plan.seed)


def _on_groundings(problem: Problem, grounding: Grounding, plan: Plan) -> Classifier:
    """Fit the head with its prior on groundings that were distributed ready."""
    bank = problem.bank.subset(grounding.ids)
    scorer = LogisticScorer(grounding.ids, grounding.vectors, grounding.intercepts)
    values = scorer.score(problem.train.features, bank).static
    rule = HeadRule(strength=1.0, unknown="pull")
    head = fit_head(values, problem.train.y, bank.prior_matrix(problem.classes), rule)
    return concluded(problem, Concepts(bank, grounding, scorer, values), head.W, head.b, seed=plan.seed)


def _shared(held: KnoboSet) -> dict[str, int]:
    """Count patients of the training rows who are also in a split that is reported."""
    train = set(held.splits["train"].patients)
    return {split: len(train & set(held.splits[split].patients)) for split in ("val", "test")}


def _summary(modality: Modality, method: str, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Average a method over the sets of a modality; what lacks a set is unmeasured, since an average over others is not it."""
    mine = [row for row in rows if row["method"] == method and UNMEASURED not in row]
    confounded = [row for row in mine if row["kind"] == "confounded"]
    unconfounded = [row for row in mine if row["kind"] == "unconfounded"]
    record: dict[str, Any] = {"modality": modality.name, "method": method}
    whole = len(confounded) == len(modality.confounded)
    for name in FIGURES:
        record[name] = float(np.mean([row[name]["value"] for row in confounded])) if whole else UNMEASURED
    even = len(unconfounded) == len(modality.unconfounded)
    record["unconf"] = float(np.mean([row["unconf"]["value"] for row in unconfounded])) if even else UNMEASURED
    record["overall"] = (record["avg"] + record["unconf"]) / 2 if whole and even else UNMEASURED
    return record | {"sets": [len(confounded), len(unconfounded)]}


def _words(row: Mapping[str, Any]) -> str:
    if UNMEASURED in row:
        return f"{UNMEASURED} ({row[UNMEASURED]})"
    return ", ".join(f"{name} {100 * row[name]['value']:.1f}" for name in (*FIGURES, "unconf") if name in row)
