"""What the model concludes of every study, worked out beside the pages so that none of them waits for all."""

from __future__ import annotations

from collections.abc import Sequence
from threading import Thread

import numpy as np

from osler.adapt.patch import SitePatch
from osler.bottleneck.records import Features
from osler.explain.contrast import rank_findings
from osler.explain.explanation import Finding
from osler.explain.service import StudyExplainer
from osler_contracts.errors import OslerError


class Roll:
    """Features of studies, read one after another by a thread; conclusions follow the patches in force.

    Args:
        explainer: Reads features.
        uids: The studies, in the order in which to read them.
    """

    def __init__(self, explainer: StudyExplainer, uids: Sequence[str]) -> None:
        self._explainer = explainer
        self._features: dict[str, Features] = {}
        self._sites: dict[str, str] = {}
        self._held: tuple[object, dict[str, Finding]] = (None, {})
        self._thread = Thread(target=self._read, args=(tuple(uids),), daemon=True, name="osler-roll")
        self._thread.start()

    def _read(self, uids: Sequence[str]) -> None:
        for uid in uids:
            try:
                study = self._explainer.archive.study(uid)
                pooled = self._explainer.features(study).pooled
            except (OslerError, OSError):
                continue  # the study's own page says why
            self._sites[uid] = study.site
            self._features[uid] = Features(pooled)

    def wait(self, seconds: float | None = None) -> bool:
        """Wait until all are read, or for some seconds; return whether all are."""
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def findings(self) -> dict[str, Finding]:
        """Return the finding of each study that was read by now."""
        read = dict(self._features)
        sites = sorted({self._sites[uid] for uid in read})
        patches = {site: self._explainer.active_patch(site) for site in sites}
        own = [self._explainer.calibration_at(site, patch)[0] for site, patch in patches.items()]
        state = (len(read), tuple(one and one.id for one in (*patches.values(), *own)))
        if self._held[0] != state:
            found: dict[str, Finding] = {}
            for site, patch in patches.items():
                found |= self._conclude(
                    {uid: one for uid, one in read.items() if self._sites[uid] == site}, site, patch
                )
            self._held = (state, found)
        return self._held[1]

    def _conclude(self, read: dict[str, Features], site: str, patch: SitePatch | None) -> dict[str, Finding]:
        pipeline = self._explainer.pipeline
        features = Features(np.concatenate([one.pooled for one in read.values()]))
        logits = pipeline.predict_features(features, site=site, patch=patch).logits
        own = self._explainer.calibration_at(site, patch)[0]
        calibration = pipeline.calibration if own is None else own.calibration
        return {
            uid: rank_findings(row, pipeline.classes, calibration)[0] for uid, row in zip(read, logits, strict=True)
        }
