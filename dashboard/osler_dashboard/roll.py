"""What the model concludes of every study, worked out beside the pages so that none of them waits for all.

What the encoder made of the images is kept in the workspace's cache, so that a second start has the whole list at once;
what is concluded from it is computed anew, since patches and calibrations come and go.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from threading import Thread
from zipfile import BadZipFile

import numpy as np
from scipy.special import softmax

from osler.adapt.patch import SitePatch
from osler.archive import StudyRecord
from osler.archive.images import instance_key
from osler.bottleneck.records import Array, Features
from osler.calibrate.record import SiteCalibration
from osler.explain.contrast import rank_findings
from osler.explain.explanation import Finding
from osler.explain.service import StudyExplainer
from osler.files import write_atomically
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError
from osler_dashboard import mishaps

SAVE_EVERY_S = 30.0
FORMAT = 1


@dataclass(frozen=True)
class Concluded:
    """What the model makes of a study.

    Attributes:
        finding: The likeliest class.
        possible: The classes that the study may be of by the site's calibration, None where this is not measured there.
    """

    finding: Finding
    possible: tuple[str, ...] | None


class Roll:
    """Features of studies, read one after another by a thread; conclusions follow the patches in force.

    Args:
        explainer: Reads features.
        studies: The studies, in the order in which to read them.
    """

    def __init__(self, explainer: StudyExplainer, studies: Sequence[StudyRecord]) -> None:
        self._explainer = explainer
        self._sites = {study.uid: study.site for study in studies}
        self._table = Table(explainer.workspace.cache / "roll" / f"{explainer.pipeline.digest[:32]}.npz")
        self._features: dict[str, Array] = {}
        self._refused: dict[str, Code] = {}
        self._held: tuple[object, dict[str, Concluded]] = (None, {})
        self._ready: set[str] = set()
        self._thread = Thread(target=self._read, args=(tuple(studies),), daemon=True, name="osler-roll")
        self._thread.start()

    def _read(self, studies: Sequence[StudyRecord]) -> None:
        names, stored = self._names(studies), self._table.read()
        for study in studies:
            if (known := stored.get(names[study.uid])) is not None:
                self._features[study.uid] = known
        saved, added = time.monotonic(), 0
        for study in studies:
            if study.uid in self._features:
                continue
            self._read_one(study)
            added += 1
            if time.monotonic() - saved > SAVE_EVERY_S:
                self._save(names)
                saved, added = time.monotonic(), 0
        if added:
            self._save(names)
        self._look_around(studies)

    def _look_around(self, studies: Sequence[StudyRecord]) -> None:
        """Measure once what an explanation says of each site, so that no reader waits for it."""
        for site in sorted(set(self._sites.values())):
            own = next((study for study in studies if study.site == site and study.uid in self._features), None)
            try:
                if own is not None:
                    self._explainer.context(own, self._explainer.active_patch(site))
            except Exception as error:  # noqa: BLE001 - a study's own page says why; nobody waits for ever
                mishaps.note(error)
            self._ready.add(site)

    def ready(self, site: str) -> bool:
        """Whether what stands around the studies of a site has been measured."""
        return site in self._ready

    def _read_one(self, study: StudyRecord) -> None:
        try:
            self._features[study.uid] = self._explainer.features(study, self._image_patch(study.site)).pooled[0]
        except OslerError as error:
            self._refused[study.uid] = error.code  # the study's own page says why
        except OSError:
            self._refused[study.uid] = Code.FILE_MISSING
        except Exception as error:  # noqa: BLE001 - whatever it is, it costs one study, and nobody waits for ever
            mishaps.note(error)
            self._refused[study.uid] = Code.INTERNAL

    def _image_patch(self, site: str) -> SitePatch | None:
        """Return the patch in force where it changes images: it changes what the encoder sees."""
        patch = self._explainer.active_patch(site)
        return patch if patch is not None and any(one.stage == "image" for one in patch.corrections) else None

    def _names(self, studies: Sequence[StudyRecord]) -> dict[str, str]:
        """Name the features of each study by all that they depend on."""
        archive = self._explainer.archive
        images = {study.uid: archive.image(study) for study in studies}
        keys = {uid: "" if image is None else instance_key(image) for uid, image in images.items()}
        corrected = any(one.stage != "probability" for one in self._explainer.pipeline.corrections)
        around = {}
        for site in set(self._sites.values()):
            patch = self._image_patch(site)
            own = sorted(keys[study.uid] for study in studies if study.site == site) if corrected else []
            around[site] = f"{None if patch is None else patch.id} {own}"
        return {
            study.uid: hashlib.sha256(f"{FORMAT} {keys[study.uid]} {around[study.site]}".encode()).hexdigest()
            for study in studies
        }

    def _save(self, names: Mapping[str, str]) -> None:
        self._table.write({names[uid]: one for uid, one in self._features.items()})

    def wait(self, seconds: float | None = None) -> bool:
        """Wait until all is done, or for some seconds; return whether it is."""
        self._thread.join(seconds)
        return not self._thread.is_alive()

    @property
    def progress(self) -> tuple[int, int]:
        """How many studies were looked at, and of how many."""
        return len(self._features) + len(self._refused), len(self._sites)

    @property
    def complete(self) -> bool:
        """Whether every study was looked at."""
        done, of = self.progress
        return done == of

    def refused(self) -> dict[str, Code]:
        """Return the studies of which the model makes nothing, with the reason."""
        return dict(self._refused)

    def conclusions(self) -> dict[str, Concluded]:
        """Return what the model concludes of each study that was read by now."""
        read = dict(self._features)
        sites = sorted({self._sites[uid] for uid in read})
        patches = {site: self._explainer.active_patch(site) for site in sites}
        own = {site: self._explainer.calibration_at(site, patch)[0] for site, patch in patches.items()}
        state = (len(read), tuple(one and one.id for one in (*patches.values(), *own.values())))
        if self._held[0] != state:
            found: dict[str, Concluded] = {}
            for site in sites:
                here = {uid: one for uid, one in read.items() if self._sites[uid] == site}
                found |= self._conclude(here, site, patches[site], own[site])
            self._held = (state, found)
        return self._held[1]

    def _conclude(
        self, read: dict[str, Array], site: str, patch: SitePatch | None, own: SiteCalibration | None
    ) -> dict[str, Concluded]:
        pipeline = self._explainer.pipeline
        logits = pipeline.predict_features(Features(np.stack(list(read.values()))), site=site, patch=patch).logits
        calibration = pipeline.calibration if own is None else own.calibration
        concluded = {}
        for uid, row in zip(read, logits, strict=True):
            finding = rank_findings(row, pipeline.classes, calibration)[0]
            concluded[uid] = Concluded(finding, _possible(row, pipeline.classes, own))
        return concluded


def _possible(logits: Array, classes: tuple[str, ...], own: SiteCalibration | None) -> tuple[str, ...] | None:
    if own is None or own.sets is None:
        return None
    p = softmax(logits / own.sets.temperature)
    return own.sets.of({classes[k]: float(p[k]) for k in np.argsort(-logits, kind="stable")})


@dataclass(frozen=True)
class Table:
    """Rows of features in one file of the cache, by name; one that cannot be read costs time and nothing else."""

    path: Path

    def read(self) -> dict[str, Array]:
        """Return the rows (D,) by name."""
        try:
            with np.load(self.path, allow_pickle=False) as held:
                return dict(zip((str(name) for name in held["names"]), held["rows"], strict=True))
        except (OSError, ValueError, KeyError, EOFError, BadZipFile):
            return {}

    def write(self, rows: Mapping[str, Array]) -> None:
        """Replace the file."""
        if not rows:
            return
        stream = BytesIO()
        np.savez(stream, names=np.array(list(rows)), rows=np.stack(list(rows.values())))
        with suppress(OSError):
            write_atomically(self.path, stream.getvalue())
