"""What an adapter is: a few studies of a site to a patch; decided first, applied afterwards by whoever holds the pipeline."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any, ClassVar, Protocol

import numpy as np
from scipy.spatial import cKDTree

from osler.adapt.patch import SitePatch, count_shots, support_digest
from osler.bottleneck.pipeline import Pipeline
from osler.bottleneck.records import Array, Support, columns
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

SAME = 1e-5  # deviations of the source within which two studies are one
SHARE_OF_SOURCE = 0.05  # of a site's studies; more are no accident, and a source keeps about a third of its own


class Adapter(Protocol):
    """A frozen dataclass of settings that fits patches. It never changes the pipeline, nor the support."""

    name: ClassVar[str]
    needs_labels: ClassVar[bool]

    def fit(self, pipeline: Pipeline, support: Support, *, created: str) -> SitePatch:
        """Fit a patch; one that changes nothing says why in its reason.

        Args:
            pipeline: The frozen source pipeline.
            support: Studies of the site, in any order; `y` is None unless the adapter declares that it needs labels.
            created: ISO date that the patch will bear.

        Raises:
            OslerError: `support-insufficient`; `part-missing` where the model does not remember what the adapter needs.
        """
        ...


def fit_patch(adapter: Adapter, pipeline: Pipeline, support: Support, *, created: str) -> SitePatch:
    """Fit a patch by an adapter, which sees labels only where it declares that it needs them.

    Raises:
        OslerError: as `Adapter.fit`; `support-insufficient` where the support is of the source itself or its features are not
            finite.
    """
    if support.site == pipeline.source.site:
        raise OslerError(
            Code.SUPPORT_INSUFFICIENT,
            f"The support is of {support.site!r}, where the model was fitted: there is nothing to adapt to.",
            "Name the new site with --site.",
        )
    _require_finite(pipeline, support)
    _require_of_elsewhere(pipeline, support)
    seen = support if adapter.needs_labels else replace(support, y=None, concepts=None)
    return adapter.fit(pipeline, seen, created=created)


def patch_of(
    adapter: Adapter, pipeline: Pipeline, support: Support, *, created: str, reason: str, **changes: Any
) -> SitePatch:
    """Return a patch with everything that a record must say beside what it changes."""
    shots = {} if support.y is None else count_shots(list(support.y), pipeline.classes)
    record: dict[str, Any] = {
        "site": support.site,
        "model": pipeline.digest,
        "bank": pipeline.bank.digest,
        "adapter": adapter.name,
        "created": created,
        "reason": reason,
        "settings": _plain(asdict(adapter)),  # type: ignore[call-overload]
        "shots": shots,
        "support": support_digest(support.study_uids),
        "value_range": pipeline.scorer.value_range,
    }
    return SitePatch(**record | changes)


def concept_values(pipeline: Pipeline, support: Support) -> Array:
    """Return the support's concept values (n, C), unpatched."""
    return replace(pipeline, patches={}).state(support.features).static


def _plain(settings: Any) -> Any:
    """Return settings as JSON has them."""
    if isinstance(settings, dict):
        return {key: _plain(value) for key, value in settings.items()}
    return [_plain(one) for one in settings] if isinstance(settings, tuple | list) else settings


def _require_finite(pipeline: Pipeline, support: Support) -> None:
    values = concept_values(pipeline, support)
    wrong = int((~np.isfinite(values)).any(axis=1).sum()) if len(values) else 0
    if wrong:
        raise OslerError(
            Code.SUPPORT_INSUFFICIENT,
            f"{wrong} of {len(values)} support studies have concepts that could not be measured.",
            "Leave these studies out, or choose others: `osler archive list` names them.",
        )


def _require_of_elsewhere(pipeline: Pipeline, support: Support) -> None:
    """Refuse studies of which many are in the source's own memory, whatever name the site was given.

    The same image does not give the same last bits each time it is encoded, so near counts as the same.
    """
    source = pipeline.source.values[:, columns(pipeline.source.ids, pipeline.bank.ids, "source reference")]
    if not len(source):
        return
    spread = source.std(axis=0)
    units = np.where(spread < 1e-6, 1.0, spread)
    held = cKDTree(source / units)
    for features, who in ((support.everything, "studies of the site"), (support.features, "support studies")):
        values = concept_values(pipeline, replace(support, features=features))
        values = values[np.isfinite(values).all(axis=1)]
        found = int(np.sum(held.query(values / units, p=np.inf)[0] < SAME)) if len(values) else 0
        if found > SHARE_OF_SOURCE * len(values):
            raise OslerError(
                Code.SUPPORT_INSUFFICIENT,
                f"{found} of {len(values)} {who} are among those that the model was fitted on: {support.site!r} is its source.",
                "Choose studies of the new site.",
            )
