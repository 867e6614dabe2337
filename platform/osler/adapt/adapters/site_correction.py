"""`site_correction`: a label-free correction of features (or images) that the model keeps a reference for, made at the site.

By default each feature is standardised to the source's mean and deviation. Any correction among the model's references can
be named instead. `guarded` asks first whether the site's concepts look unlike the source's at all, and whether they look
more like them afterwards (`likeness`): standardisation harms where a site matched already, or has another mix of classes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from osler.adapt.adapter import Adapter, patch_of
from osler.adapt.changes import SiteCorrection
from osler.adapt.likeness import Likeness
from osler.adapt.patch import GuardOutcome, SitePatch
from osler.adapt.site_values import unlabelled, values_at
from osler.bottleneck.correction import FittedCorrection
from osler.bottleneck.pipeline import Pipeline
from osler.bottleneck.records import Array, Features, Support
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError


@dataclass(frozen=True)
class SiteCorrectionAdapter:
    """A correction of features measured on every study of the site.

    Attributes:
        correction: Name of the correction.
        guarded: Whether it is made only where the site's concepts then look more like the source's.
    """

    correction: str = "feature_moments"
    guarded: bool = False

    name: ClassVar[str] = "site_correction"
    needs_labels: ClassVar[bool] = False

    def fit(self, pipeline: Pipeline, support: Support, *, created: str) -> SitePatch:
        """Fit a patch on every measured study; see `Adapter.fit`.

        Raises:
            OslerError: `part-missing` where the model holds no reference for the correction, or it is one of images and there
                are none; `support-insufficient` where nothing was measured.
        """
        return corrected(self, pipeline, support, self.correction, guarded=self.guarded, created=created)


def reference_of(pipeline: Pipeline, name: str) -> FittedCorrection:
    """Return the model's reference for a correction.

    Raises:
        OslerError: `part-missing` where it has none.
    """
    for one in pipeline.references:
        if one.name == name:
            return one
    known = ", ".join(one.name for one in pipeline.references) or "none"
    raise OslerError(
        Code.PART_MISSING,
        f"The model holds no statistics of its source for the correction {name!r} (it has {known}).",
        "Fit the model again with this version of Osler, or name one that it has.",
    )


def corrected(
    adapter: Adapter, pipeline: Pipeline, support: Support, name: str, *, guarded: bool, created: str
) -> SitePatch:
    """Return the patch that makes a correction; see `SiteCorrectionAdapter.fit`."""
    if any(one.name == name for one in pipeline.corrections):
        reason = f"No change: the model makes the correction {name.replace('_', ' ')} at each site itself."
        return patch_of(adapter, pipeline, support, created=created, reason=reason)
    fitted = reference_of(pipeline, name)
    if fitted.stage == "probability":
        raise OslerError(Code.USAGE, f"{name!r} corrects probabilities.", "Use the adapter `prior_shift`.")
    batch = measured(fitted, support)
    made = SiteCorrection.of(fitted, fitted.correction.measure(batch, fitted.reference), len(batch))
    outcomes = _guards(pipeline, support, fitted, batch) if guarded else ()
    failed = [one.sentence for one in outcomes if not one.passed]
    reason = f"{name.replace('_', ' ').capitalize()} of {len(batch)} unlabelled studies moved to the source's."
    if failed:
        reason = f"No change: {failed[0]}"
    return patch_of(
        adapter,
        pipeline,
        support,
        created=created,
        reason=reason,
        corrections=() if failed else (made,),
        guards=outcomes,
    )


def measured(fitted: FittedCorrection, support: Support) -> Any:
    """Return what a correction measures, features or images, in an order of their own.

    Raises:
        OslerError: `part-missing` where images are needed and the support has none.
    """
    if fitted.stage == "feature":
        return unlabelled(support)
    if support.images is None or not len(support.images):
        raise OslerError(
            Code.PART_MISSING,
            f"The correction {fitted.name!r} measures images, and the support has features only.",
            "Give the site's images too, or use a correction of features.",
        )
    keys = [hashlib.sha256(np.ascontiguousarray(image).tobytes()).digest() for image in support.images]
    return [support.images[place] for place in sorted(range(len(keys)), key=keys.__getitem__)]


def _guards(pipeline: Pipeline, support: Support, fitted: FittedCorrection, batch: Any) -> tuple[GuardOutcome, ...]:
    """Return what the guards say of a correction that is measured on one half of the studies and made on the other."""

    def values(part: Any, own: Any = None) -> Array:
        moved = part if own is None else fitted.correction.match(part, own, fitted.reference)
        return values_at(pipeline, support, _encoded(pipeline, moved))

    def crossed(first: Sequence[int], second: Sequence[int]) -> Array:
        return values(_rows(batch, second), fitted.correction.measure(_rows(batch, first), fitted.reference))

    return Likeness.of(pipeline).guards(values(batch), len(batch), crossed)


def _encoded(pipeline: Pipeline, batch: Any) -> Features:
    if isinstance(batch, Features):
        return batch
    if pipeline.encoder is None:
        raise OslerError(Code.PART_MISSING, "The pipeline has no encoder.", "Give one to load_bottleneck.")
    tokens = bool(getattr(pipeline.scorer, "needs_tokens", False))
    return pipeline.encoder.encode(batch, tokens=tokens)


def _rows(batch: Any, rows: Sequence[int]) -> Any:
    if isinstance(batch, Features):
        return batch.rows(np.array(rows, np.intp))
    return [batch[place] for place in rows]


ADAPTER = SiteCorrectionAdapter
