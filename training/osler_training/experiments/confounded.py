"""The confounded protocol of M1: a nuisance goes with a class at hospital A, and with another at hospital B."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from osler.bottleneck.artefact import save_bottleneck
from osler.tracking import Tracker
from osler_training.evaluate.bootstrap import Estimate
from osler_training.evaluate.shift import Predicted, ShiftRecord, shift_estimates, shift_record
from osler_training.evaluate.splits import check_disjoint, split_digest
from osler_training.fit.bottleneck import BottleneckClassifier
from osler_training.fit.methods import fit_method
from osler_training.fit.problem import Classifier, Cohort, Problem

Methods = Mapping[str, Mapping[str, Any]]
EXPERIMENT = "confounded"


@dataclass(frozen=True)
class Trial:
    """A problem with its two test sets.

    Attributes:
        problem: What methods learn from.
        source_test: The test split of hospital A.
        target_test: The test studies of hospital B.
        provenance: What the data came from (phantom parameters' digest, recipe, ...), logged with every run.
    """

    problem: Problem
    source_test: Cohort
    target_test: Cohort
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def patients(self) -> dict[str, tuple[str, ...]]:
        """Return the patients of each group, which must not overlap."""
        problem = self.problem
        return {
            "reference": problem.reference.patients,
            "train": problem.train.patients,
            "select": problem.select.patients,
            "calibrate": problem.calibrate.patients,
            "source test": self.source_test.patients,
            "target test": self.target_test.patients,
        }


@dataclass(frozen=True)
class Fitted:
    """A method after its trial."""

    record: ShiftRecord
    classifier: Classifier
    source: Predicted
    target: Predicted
    seconds: float


def run_confounded(
    trial: Trial,
    methods: Methods,
    *,
    seed: int,
    tracker: Tracker | None = None,
    experiment: str = EXPERIMENT,
    progress: Callable[[str], None] = lambda line: None,
) -> dict[str, Fitted]:
    """Fit methods on one problem and test each on both sides.

    Args:
        trial: The problem and the test sets.
        methods: Options by name of method.
        seed: Seed of the fits and of the bootstrap; methods share it, so that their differences are paired.
        tracker: Where each method becomes a run; None logs nothing.
        experiment: Name of the experiment at the tracker.
        progress: Receives a line a method.

    Raises:
        OslerError: `patient-overlap` where a patient is in two groups; `usage` where a method or option is unknown.
    """
    check_disjoint(trial.patients())
    fitted = {}
    for name, options in methods.items():
        fitted[name] = one = run_method(name, trial, options, seed=seed)
        progress(f"{name}: ID {one.record.id:.3f}, OOD {one.record.ood:.3f} ({one.seconds:.1f} s)")
        if tracker is not None:
            _log(tracker, experiment, trial, one, options, seed)
    return fitted


def run_method(name: str, trial: Trial, options: Mapping[str, Any], *, seed: int) -> Fitted:
    """Fit one method and test it on both sides."""
    start = time.perf_counter()
    classifier = fit_method(name, trial.problem, options, seed=seed)
    source, target = (predicted(classifier, cohort) for cohort in (trial.source_test, trial.target_test))
    record = shift_record(name, source, target, seed=seed)
    return Fitted(record, classifier, source, target, time.perf_counter() - start)


def predicted(classifier: Classifier, cohort: Cohort) -> Predicted:
    """Return what a method predicts of a cohort, with the truth."""
    return Predicted(classifier.probabilities(cohort), cohort.y, cohort.patients)


def leads(fitted: Mapping[str, Fitted], over: str, *, seed: int) -> dict[str, dict[str, Estimate]]:
    """Return by how much the method `over` leads each other, in id, ood, gap and avg, by paired bootstrap."""
    mine = shift_estimates(fitted[over].source, fitted[over].target, seed=seed)
    return {
        name: {
            key: mine[key].minus(theirs) for key, theirs in shift_estimates(one.source, one.target, seed=seed).items()
        }
        for name, one in fitted.items()
        if name != over
    }


def _log(
    tracker: Tracker, experiment: str, trial: Trial, fitted: Fitted, options: Mapping[str, Any], seed: int
) -> None:
    record, problem = fitted.record, trial.problem
    with tracker.run(experiment, record.method) as run:
        run.log_params(
            {
                "method": record.method,
                "seed": seed,
                "classes": "|".join(problem.classes),
                "split_digest": split_digest(trial.patients()),
                "bank_digest": problem.bank.digest,
                "encoder_digest": problem.encoder.digest,
                "sizes": {name: len(group) for name, group in trial.patients().items()},
                "options": options,
                **trial.provenance,
            }
        )
        run.log_metrics({**record.to_dict(), "fit": fitted.classifier.record(), "seconds": fitted.seconds})
        run.log_json(record.to_dict(), "record.json")
        if isinstance(fitted.classifier, BottleneckClassifier):
            run.log_json(fitted.classifier.grounding.table(), "grounding.json")
            with tempfile.TemporaryDirectory() as scratch:
                folder = save_bottleneck(
                    fitted.classifier.pipeline, Path(scratch) / record.method, card=model_card(trial, fitted)
                )
                run.log_folder(folder, "bottleneck")


def model_card(trial: Trial, fitted: Fitted) -> str:
    """Return the card of a bottleneck: what it was fitted on and what it reached."""
    record, groups = fitted.record, trial.patients()
    ci = {name: f"{low:.3f} to {high:.3f}" for name, (low, high) in record.ci.items()}
    sizes = ", ".join(f"{len(group)} {name}" for name, group in groups.items())
    origin = ", ".join(f"{key} {value}" for key, value in trial.provenance.items()) or "not stated"
    return (
        f"# {record.method}: {' or '.join(trial.problem.classes)}\n\n"
        "For research use; not a medical device.\n\n"
        f"- Studies: {sizes}; no patient in two of these groups. Split {split_digest(groups)[:12]}.\n"
        f"- Data: {origin}.\n"
        f"- Accuracy in domain {record.id:.3f} (95% interval {ci['id']}), out of domain {record.ood:.3f} ({ci['ood']}).\n"
        f"- Bank {trial.problem.bank.digest[:12]}, encoder {trial.problem.encoder.digest[:12]}.\n"
    )
