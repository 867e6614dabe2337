"""From a few studies of a site to a proposed patch with what it does to them: shared by the command and the dashboard."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from osler.adapt.adapter import Adapter, concept_values, fit_patch
from osler.adapt.in_force import note_fitted
from osler.adapt.moved import Moved, moved
from osler.adapt.patch import SitePatch
from osler.adapt.support import gather_support
from osler.adapt.support_store import SupportStore
from osler.archive import Archive
from osler.bottleneck.pipeline import Pipeline
from osler.bottleneck.records import Array, BoolArray, Features, Support
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

if TYPE_CHECKING:
    from osler.explain.service import StudyExplainer
    from osler.tracking import Tracker

EXPERIMENT = "adaptation"


@dataclass(frozen=True)
class SupportRow:
    """One study of the support, without and with the patch; probabilities are the model's calibrated ones.

    A patch was fitted on these studies: that it is right on them proves nothing about others.
    """

    study: str
    label: str
    before: str
    before_probability: float
    after: str
    after_probability: float


@dataclass(frozen=True, eq=False)
class Proposal:
    """A patch that was fitted.

    Attributes:
        patch: The patch, not in force yet.
        rows: What it does to the studies that it was fitted on.
        moved: How far concepts went, from studies without labels.
        unlabelled: Number of those.
        unmeasured: Studies that were left out of them because a concept has no value there.
    """

    patch: SitePatch
    rows: tuple[SupportRow, ...]
    moved: tuple[Moved, ...]
    unlabelled: int
    unmeasured: int = 0

    @property
    def right(self) -> tuple[int, int]:
        """Support studies whose finding is their label, without and with the patch."""
        return sum(one.before == one.label for one in self.rows), sum(one.after == one.label for one in self.rows)

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON object."""
        before, after = self.right
        return {
            "patch": asdict(self.patch) | {"id": self.patch.id, "kinds": list(self.patch.kinds)},
            "support": {"rows": [asdict(one) for one in self.rows], "right_before": before, "right_after": after},
            "moved": [asdict(one) for one in self.moved],
            "unlabelled": {"studies": self.unlabelled, "unmeasured": self.unmeasured},
        }


def require_site(archive: Archive, site: str) -> None:
    """Refuse a site that has never sent a study.

    Raises:
        OslerError: `nothing-eligible`.
    """
    known = sorted({study.site for study in archive.studies()})
    if site not in known:
        raise OslerError(
            Code.NOTHING_ELIGIBLE,
            f"The archive has no study of site {site!r}.",
            f"Its sites are {', '.join(known)}." if known else "Bring studies in first, with `osler ingest`.",
        )


def site_moved(explainer: StudyExplainer, site: str) -> tuple[Moved, ...]:
    """Return how far concepts went at a site.

    Raises:
        OslerError: `nothing-eligible` where it has no image that the model reads.
    """
    values, known = _values(explainer.pipeline, explainer.site_features(site)[1])
    return moved(explainer.pipeline, values[known])


def propose(
    explainer: StudyExplainer,
    adapter: Adapter,
    site: str,
    chosen: Mapping[str, str],
    *,
    created: str,
    expires: str | None = None,
    author: str = "",
) -> Proposal:
    """Fit a patch on labelled studies of a site, with all its other studies beside them, without labels.

    Nothing is written; see `keep`.

    Args:
        explainer: The model over the archive.
        adapter: How to adapt.
        site: The site.
        chosen: Class by study.
        created: ISO date that the patch bears.
        expires: ISO date of its last day, None for no end.
        author: Who fits it.

    Raises:
        OslerError: `nothing-eligible` for an unknown site; `support-insufficient`; `unknown-study`; `table-invalid`;
            `part-missing` where the model lacks what the adapter needs; `patch-expired` where the last day is over.
    """
    pipeline = replace(explainer.pipeline, patches={})
    require_site(explainer.archive, site)
    _require_new_site(pipeline, site)
    support = gather_support(explainer.archive, site, chosen, pipeline.classes, explainer.features)
    everything = explainer.site_features(site)[1]
    values, known = _values(pipeline, everything)
    support = replace(support, unlabelled=everything.rows(known), images=explainer.site_images(site).kept(known))
    patch = fit_patch(adapter, pipeline, support, created=created)
    patch = replace(patch, expires=expires, author=author)
    patch.require_in_force(created)
    return Proposal(
        patch,
        _rows(explainer, support, patch, chosen),
        moved(pipeline, values[known]),
        int(known.sum()),
        int((~known).sum()),
    )


def keep(explainer: StudyExplainer, proposal: Proposal, chosen: Mapping[str, str], actor: str) -> None:
    """Write a proposed patch to the workspace, with an entry in the audit log and the names of its support.

    Raises:
        OslerError: as `osler.audit.record`, and nothing is written then.
    """
    note_fitted(explainer.workspace, proposal.patch, actor)
    explainer.patches.save(proposal.patch)
    SupportStore(explainer.workspace.patches).keep(tuple(chosen))


def track(tracker: Tracker, proposal: Proposal, model: str) -> None:
    """Make a proposal a run of the experiment `adaptation`: parameters, the patch, and its support before and after."""
    patch = proposal.patch
    before, after = proposal.right
    with tracker.run(EXPERIMENT, f"{patch.adapter} {patch.site}", tags={"kind": "patch", "patch": patch.id}) as run:
        params = {name: getattr(patch, name) for name in ("site", "adapter", "created", "expires", "author", "shots")}
        run.log_params({"model": model, "model_digest": patch.model, "bank_digest": patch.bank, **params})
        run.log_params({"settings": patch.settings, "kinds": ", ".join(patch.kinds) or "none"})
        figures = {one.name: {"before": one.before, "after": one.after, "passed": one.passed} for one in patch.guards}
        run.log_metrics(
            {"support": {"studies": len(proposal.rows), "right_before": before, "right_after": after}, "guard": figures}
        )
        run.log_json(proposal.to_dict()["patch"], "patch.json")
        run.log_json({name: value for name, value in proposal.to_dict().items() if name != "patch"}, "evidence.json")
        run.log_text(_table(proposal.rows), "support.csv")


def _table(rows: tuple[SupportRow, ...]) -> str:
    names = ("study", "label", "before", "before_probability", "after", "after_probability")
    lines = [",".join(str(asdict(row)[name]) for name in names) for row in rows]
    return "\n".join([",".join(names), *lines]) + "\n"


def _rows(
    explainer: StudyExplainer, support: Support, patch: SitePatch, chosen: Mapping[str, str]
) -> tuple[SupportRow, ...]:
    pipeline = replace(explainer.pipeline, patches={})
    features = support.features
    if any(one.stage == "image" for one in patch.corrections):
        studies = [explainer.archive.study(uid) for uid in chosen]
        features = Features(np.concatenate([explainer.features(study, patch).pooled for study in studies]))
    before = pipeline.calibration.probabilities(pipeline.predict_features(support.features).logits)
    after = pipeline.calibration.probabilities(
        pipeline.predict_features(features, site=support.site, patch=patch).logits
    )
    return tuple(
        SupportRow(uid, label, *_finding(pipeline, before[row]), *_finding(pipeline, after[row]))
        for row, (uid, label) in enumerate(chosen.items())
    )


def _finding(pipeline: Pipeline, probabilities: Array) -> tuple[str, float]:
    best = int(probabilities.argmax())
    return pipeline.classes[best], float(probabilities[best])


def _values(pipeline: Pipeline, features: Features) -> tuple[Array, BoolArray]:
    """Return concept values (n, C), unpatched, and of which studies all are known (n,)."""
    values = concept_values(pipeline, Support(features, None, ""))
    return values, np.asarray(np.isfinite(values).all(axis=1))


def _require_new_site(pipeline: Pipeline, site: str) -> None:
    """Refuse the site that a model's notes name as its source; `fit_patch` refuses what the source's own memory shows."""
    if site == pipeline.notes.get("source"):
        raise OslerError(
            Code.SUPPORT_INSUFFICIENT,
            f"The model was fitted at {site!r}: there is nothing to adapt to.",
            "Name the new site.",
        )
