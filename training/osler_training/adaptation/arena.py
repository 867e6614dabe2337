"""What a patch does to precomputed concept values of the test half and of the source, by the product's own arithmetic."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from osler.adapt.changes import SiteCorrection
from osler.adapt.patch import SitePatch, patch_invalid
from osler.bottleneck.pipeline import Pipeline
from osler.bottleneck.records import BoolArray, ConceptState, Features
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError
from osler_training.adaptation.aurocs import ConceptTruth
from osler_training.evaluate.metrics import Labels


@dataclass(frozen=True, eq=False)
class Cases:
    """Studies that are predicted again and again.

    Attributes:
        features: Their features.
        y: Class index (n,).
    """

    features: Features
    y: Labels


@dataclass(frozen=True)
class Judged:
    """What became of the test half and of the source with one patch.

    Attributes:
        right: Right predictions of the test half (n,).
        source: Accuracy at the source if the patch were not confined to its site.
        concepts: Macro AUROC of the concepts at the site, or None where nobody knows the truth.
    """

    right: BoolArray
    source: float
    concepts: float | None


@dataclass(eq=False)
class Arena:
    """A model, a site and a source, ready to try patches.

    Attributes:
        pipeline: The model, without a patch.
        site: Name of the site.
        test: Its test half, after the preprocessing.
        source: Test studies of the source.
        truth: Truth of the test half's concepts, or None.
    """

    pipeline: Pipeline
    site: str
    test: Cases
    source: Cases
    truth: ConceptTruth | None = None
    _moved: list[tuple[tuple[SiteCorrection, ...], ConceptState]] = field(default_factory=list)

    def __post_init__(self) -> None:
        plain = tuple(self.pipeline.state(one.features) for one in (self.test, self.source))
        self._states = (plain[0], plain[1])
        self._source_logits = self.pipeline.predict_features(self.source.features).logits
        self.before = self.judge(None)

    @property
    def source_accuracy(self) -> float:
        """Accuracy at the source, without a patch and with one that is confined to its site."""
        return self.before.source

    def judge(self, patch: SitePatch | None) -> Judged:
        """Try a patch, None for no change.

        Raises:
            OslerError: `patch-invalid` where the patch changes a prediction at the source while it is confined to its site.
        """
        adapted = self.pipeline
        if patch is not None:
            self.require_gated(patch)
            adapted = self.pipeline.with_patch(patch)
        cases = (self.test, self.source)
        if patch is not None and patch.reads_features:
            # Such a patch concludes from more than concept values: everything is predicted anew.
            outputs = [adapted.predict_features(one.features, site=self.site) for one in cases]
            values = [one.state.static for one in outputs]
        else:
            states = self._states if patch is None else self._corrected(patch)
            values = [state.static if patch is None else patch.apply_state(state, self.site).static for state in states]
            outputs = [adapted.predict_values(one, site=self.site) for one in values]
        right, source = (one.logits.argmax(1) == case.y for one, case in zip(outputs, cases, strict=True))
        concepts = None if self.truth is None else self.truth.macro(values[0])
        return Judged(right, float(source.mean()), concepts)

    def require_gated(self, patch: SitePatch) -> None:
        """Check that predictions at the source stay as they are, to the last bit."""
        home, state = self.pipeline.source.site, self._states[1]
        adapted = self.pipeline.with_patch(patch)
        logits = adapted.predict_features(self.source.features, site=home).logits
        if patch.apply_state(state, home) is not state or not np.array_equal(logits, self._source_logits):
            raise patch_invalid(
                f"The patch {patch.id} changed predictions at {home!r} while it was confined to {self.site!r}."
            )

    def require_same(self, patch: SitePatch, judged: Judged) -> None:
        """Check what was judged against the pipeline as it would be used: patch applied, features predicted."""
        adapted = patch.apply(self.pipeline, on=patch.created)
        logits = adapted.predict_features(self.test.features, site=self.site).logits
        if not np.array_equal(logits.argmax(1) == self.test.y, judged.right):
            raise patch_invalid(f"The patch {patch.id} predicts otherwise than it was judged.")

    def _corrected(self, patch: SitePatch) -> tuple[ConceptState, ConceptState]:
        """Return the states after the patch's own preprocessing, remembered: draws share what is measured without labels.

        The source keeps its own: were a correction not confined to its site, the source would be measured anew, and stay.
        """
        if not patch.corrections:
            return self._states
        if any(one.stage != "feature" for one in patch.corrections):
            raise OslerError(
                Code.PART_MISSING,
                "The patch changes images, and a bench keeps features alone.",
                "Name the correction under `preprocessing`.",
            )
        for corrections, state in self._moved:
            if corrections == patch.corrections:
                return state, self._states[1]
        state = self.pipeline.scorer.score(patch.apply_features(self.test.features, self.site), self.pipeline.bank)
        self._moved = [*self._moved[-3:], (patch.corrections, state)]
        return state, self._states[1]


def counts_of(patch: SitePatch) -> dict[str, Any]:
    """Return how many concepts a patch changes, by what is done, and which kinds of change it makes."""
    deltas = patch.deltas.values() if patch.changes_scorer else ()
    return {
        "masked": sum(one.mask for one in deltas),
        "gained": sum(not one.mask and one.gain != 1 for one in deltas),
        "shifted": sum(not one.mask and one.shift != 0 for one in deltas),
        "mapped": sum(not one.mask and bool(one.knots) for one in deltas),
        "kinds": patch.kinds,
    }
