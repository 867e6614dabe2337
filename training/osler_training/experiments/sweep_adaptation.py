"""Adaptation inside a sweep: the leading bottleneck of a cell is carried to hospital B, where the nuisance is reversed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from osler.adapt.adapters.tti_reading import TtiReading
from osler.adapt.patch import SitePatch
from osler_training.evaluate.splits import split_patients
from osler_training.experiments.adaptation import run_adaptation
from osler_training.fit.bottleneck import BottleneckClassifier
from osler_training.fit.problem import Classifier, Cohort
from osler_training.recipes.recipe import AdaptRule

SITE = "hospital_b"
# Patches of a sweep are measured and thrown away; their date is a fixed one, so that cells are the same on every day.
CREATED = "2025-01-01"


def adapt_cell(
    classifier: Classifier, target: Cohort, source_test: Cohort, rule: AdaptRule, *, seed: int
) -> dict[str, dict[str, Any]]:
    """Adapt a fitted bottleneck to hospital B in every variant of the rule.

    Args:
        classifier: The bottleneck.
        target: Hospital B's studies, of other patients than hospital A's.
        source_test: The test split of hospital A, confounded as in training.
        rule: How.
        seed: Seed of split, draws and bootstrap.

    Returns:
        By variant, the record as JSON with `refused_by`: how many draws each guard turned into "no change".

    Raises:
        TypeError: The method is not a bottleneck.
        OslerError: `patient-overlap`, `support-insufficient`.
    """
    if not isinstance(classifier, BottleneckClassifier):
        raise TypeError("Only a bottleneck can be adapted")
    shares = {"support": rule.support_share, "test": 1 - rule.support_share}
    parts = split_patients(target.patients, target.y, shares, seed=seed)
    results = {}
    for name, tolerance in rule.tolerances.items():
        adaptation = run_adaptation(
            classifier.pipeline,
            TtiReading(source_tolerance=tolerance),
            target.rows(parts["support"]),
            target.rows(parts["test"]),
            source_test,
            site=SITE,
            created=CREATED,
            shots=rule.shots,
            draws=rule.draws,
            seed=seed,
        )
        results[name] = {**adaptation.record.to_dict(), "refused_by": refusals(adaptation.patches)}
    return results


def refusals(patches: Sequence[SitePatch]) -> dict[str, int]:
    """Count the guards that failed at the strongest blend of patches that came to nothing; `nothing asked` had no edit."""
    counts: Counter[str] = Counter()
    for patch in patches:
        if patch.changes_nothing:
            counts.update([guard.name for guard in patch.guards if not guard.passed] or ["nothing asked"])
    return dict(sorted(counts.items()))
