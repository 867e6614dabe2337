"""Few-shot adaptation to a new site, as a mean over many draws of the few (methods, M2 and 19.7)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from osler.adapt.patch import SitePatch, patch_invalid
from osler.bottleneck.pipeline import Pipeline
from osler.bottleneck.records import Array, Support
from osler.tracking import Tracker
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError
from osler_training.evaluate.bootstrap import REPLICATES, Estimate, patient_weights
from osler_training.evaluate.splits import check_disjoint
from osler_training.fit.problem import Cohort

EXPERIMENT = "adaptation"


class SiteAdapter(Protocol):
    """From a pipeline and a few studies to a patch."""

    def fit(self, pipeline: Pipeline, support: Support, *, created: str) -> SitePatch:
        """Fit a patch of the pipeline to the support; `created` is the day, ISO 8601."""
        ...


@dataclass(frozen=True)
class AdaptationRecord:
    """What adaptation did; accuracies are fractions, averaged over the draws where they follow a patch.

    Attributes:
        draws: Number of support draws.
        shots: Studies of each class in a draw.
        target_before: Accuracy at the new site without a patch.
        target_after: With each draw's patch, averaged.
        gain: Their difference.
        source_before: Accuracy at the source.
        source_after: The same while patches are gated to their site: equal to the last bit, which is checked.
        source_after_ungated: The same as if the patch applied everywhere.
        masked: Concepts masked, averaged over the draws.
        amplified: Concepts amplified, averaged.
        harmed: Share of draws whose patch lowered the accuracy at the new site.
        unchanged: Share of draws whose patch changes nothing.
        ci: 95% intervals of `target_before`, `target_after` and `gain`: draws and patients are drawn with replacement, each on
            its own, in every replicate.
    """

    draws: int
    shots: int
    target_before: float
    target_after: float
    gain: float
    source_before: float
    source_after: float
    source_after_ungated: float
    masked: float
    amplified: float
    harmed: float
    unchanged: float
    ci: dict[str, tuple[float, float]]

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON object."""
        return asdict(self)


@dataclass(frozen=True)
class Adaptation:
    """The record, and the patch of each draw; the first is the demonstration's."""

    record: AdaptationRecord
    patches: tuple[SitePatch, ...]


def draw_supports(pool: Cohort, shots: int, draws: int, *, seed: int) -> list[NDArray[np.intp]]:
    """Draw rows of `shots` studies of each class, of as many patients, `draws` times.

    Raises:
        OslerError: `support-insufficient` where a class has too few patients.
    """
    rng = np.random.default_rng(seed)
    patients = np.asarray(pool.patients)
    supports = []
    for _ in range(draws):
        order = rng.permutation(len(pool))
        order = order[np.sort(np.unique(patients[order], return_index=True)[1])]  # one study a patient
        rows = [order[pool.y[order] == k][:shots] for k in range(int(pool.y.max()) + 1)]
        if min(map(len, rows)) < shots:
            raise OslerError(
                Code.SUPPORT_INSUFFICIENT,
                f"The support pool has classes with fewer than {shots} patients.",
                "Label more studies of the rarer class, or adapt with fewer a class.",
            )
        supports.append(np.concatenate(rows))
    return supports


def run_adaptation(
    pipeline: Pipeline,
    adapter: SiteAdapter,
    pool: Cohort,
    target_test: Cohort,
    source_test: Cohort,
    *,
    site: str,
    created: str,
    shots: int = 4,
    draws: int = 20,
    seed: int,
) -> Adaptation:
    """Adapt to `site` with each of several support draws, and test every patch.

    Args:
        pipeline: The bottleneck, without a patch for the site.
        adapter: How to adapt.
        pool: Labelled studies of the site to draw from.
        target_test: Test studies of the site.
        source_test: Test studies of the source.
        site: Name of the site.
        created: ISO date that patches carry.
        shots: Studies of each class in a draw.
        draws: Number of draws.
        seed: Seed of draws and bootstrap.

    Raises:
        OslerError: `patient-overlap`, `support-insufficient`.
    """
    check_disjoint({"support": pool.patients, "target test": target_test.patients, "source test": source_test.patients})
    before, source = _right(pipeline, target_test, site=site), pipeline.predict_features(source_test.features).logits
    patches, after, ungated = [], [], []
    for rows in draw_supports(pool, shots, draws, seed=seed):
        some = pool.rows(rows)
        patch = adapter.fit(pipeline, Support(some.features, some.y, site, study_uids=some.study_uids), created=created)
        adapted = patch.apply(pipeline)
        gated = adapted.predict_features(source_test.features, site=pipeline.source.site).logits
        if not np.array_equal(gated, source):
            raise patch_invalid(
                f"The patch {patch.id} changed predictions at {pipeline.source.site!r} while gated to {site!r}."
            )
        patches.append(patch)
        after.append(_right(adapted, target_test, site=site))
        ungated.append(_right(adapted, source_test, site=site).mean())
    source_accuracy = float((source.argmax(1) == source_test.y).mean())
    target = target_estimates(before, np.array(after), target_test.patients, seed=seed)
    gains = np.array(after).mean(1) - before.mean()
    record = AdaptationRecord(
        draws=draws,
        shots=shots,
        **{name: one.value for name, one in target.items()},
        source_before=source_accuracy,
        source_after=source_accuracy,
        source_after_ungated=float(np.mean(ungated)),
        masked=float(np.mean([len(patch.masked) for patch in patches])),
        amplified=float(np.mean([len(patch.amplified) for patch in patches])),
        harmed=float((gains < 0).mean()),
        unchanged=float(np.mean([patch.changes_nothing for patch in patches])),
        ci={name: one.ci for name, one in target.items()},
    )
    return Adaptation(record, tuple(patches))


def _right(pipeline: Pipeline, cohort: Cohort, *, site: str) -> Array:
    logits = pipeline.predict_features(cohort.features, site=site).logits
    return np.asarray(logits.argmax(1) == cohort.y, dtype=float)


def target_estimates(before: Array, after: Array, patients: Sequence[str], *, seed: int) -> dict[str, Estimate]:
    """Return the accuracy before and after, and the gain, over draws and patients.

    Args:
        before: Right predictions without a patch (n,).
        after: Right predictions with the patch of each draw (S, n).
        patients: Pseudonyms (n,).
        seed: Seed of the bootstrap, which draws S draws and as many patients with replacement, independently.
    """
    S = len(after)
    weights = patient_weights(patients, seed=seed)
    weights = weights / weights.sum(1, keepdims=True)
    draws = np.random.default_rng([seed, S]).multinomial(S, np.full(S, 1 / S), size=REPLICATES) / S
    first = Estimate(float(before.mean()), weights @ before)
    second = Estimate(float(after.mean()), ((draws @ after) * weights).sum(1))
    return {"target_before": first, "target_after": second, "gain": second.minus(first)}


def log_adaptation(adaptation: Adaptation, tracker: Tracker, params: dict[str, Any]) -> None:
    """Make the adaptation a run, with every patch as an artifact."""
    with tracker.run(EXPERIMENT, str(params.get("adapter", "adaptation"))) as run:
        run.log_params(params)
        run.log_metrics(adaptation.record.to_dict())
        run.log_json(adaptation.record.to_dict(), "record.json")
        for i, patch in enumerate(adaptation.patches):
            run.log_json(json.loads(patch.to_json()), f"patches/{i:02d}.json")
