"""What a server holds between requests: archive, models, and explanations that are still true."""

from __future__ import annotations

import hashlib
import json
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter

from osler.access.accounts import AccountFile
from osler.adapt.patch import SitePatch
from osler.api.limits import RateLimit
from osler.api.metrics import Metrics
from osler.api.settings import Settings
from osler.api.tokens import TokenFile
from osler.api.turns import Turns
from osler.api.views import Views
from osler.archive import Archive, StudyRecord
from osler.database import index_stamp
from osler.explain.choice import chosen_model
from osler.explain.explanation import SCHEMA, Explanation
from osler.explain.service import StudyExplainer
from osler.feedback import StudyReviews, reviews_by_study, reviews_stamp
from osler.workspace import Workspace

PAGES_BYTES, PAGE_S = 64 << 20, 600.0  # explanations held, and for how long: sites are measured while they are read
STUDIES = 8192  # records of studies held
NONE = StudyReviews()  # of a study of which nothing was said

RECORD = TypeAdapter(Explanation)

T = TypeVar("T")


@dataclass(frozen=True)
class Page:
    """An explanation as it goes out.

    Attributes:
        body: JSON.
        etag: Its validator (RFC 9110, 8.8.3).
        beside: Where each study that it names beside its own stood.
        made: When, seconds of `time.monotonic`.
    """

    body: bytes
    etag: str
    beside: Mapping[str, str]
    made: float


class Held:
    """One for each worker process.

    Args:
        settings: What the server was started with.

    Raises:
        OslerError: `workspace-invalid`.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.workspace = Workspace.open(settings.workspace)
        self.archive = Archive(self.workspace)
        self.tokens = TokenFile(self.workspace, AccountFile(self.workspace))
        self.rates = RateLimit(settings.rate, settings.burst)
        self.turns = Turns(settings.waiting, settings.waiting_s)
        self.views = Views(self.workspace)
        self.metrics = Metrics()
        self.warmed = threading.Event()
        self._explainers: dict[tuple[str, int], StudyExplainer] = {}
        self._once: dict[Any, tuple[Any, Any]] = {}
        self._records: OrderedDict[str, StudyRecord] = OrderedDict()
        self._records_of: Any = None
        self._pages: OrderedDict[Any, Page] = OrderedDict()
        self._size = 0
        self._lock = threading.RLock()

    def close(self) -> None:
        """Finish what is being done."""
        self.turns.close()
        self.views.close()
        self.archive.engine.dispose()

    def model_name(self, asked: str | None = None) -> str:
        """Return the model to explain with.

        Raises:
            OslerError: `workspace-invalid` where there is none, `unknown-model` where not the one asked for.
        """
        return chosen_model(self.workspace, asked or self.settings.model)

    def explainer(self, asked: str | None = None) -> StudyExplainer:
        """Return the explainer of a model, made anew where the model's file is a new one.

        Raises:
            OslerError: As `model_name`; as `StudyExplainer.pipeline`.
        """
        name = self.model_name(asked)
        key = (name, (self.workspace.models / name / "bottleneck.json").stat().st_mtime_ns)
        with self._lock:
            if key not in self._explainers:
                explainer = StudyExplainer(self.workspace, name)
                _ = explainer.pipeline
                self._explainers = {one: held for one, held in self._explainers.items() if one[0] != name}
                self._explainers[key] = explainer
            return self._explainers[key]

    def study(self, uid: str) -> StudyRecord:
        """Return a study.

        Raises:
            OslerError: `unknown-study`.
        """
        stamp = self.archive_stamp()
        with self._lock:
            if stamp != self._records_of:
                self._records.clear()
                self._records_of = stamp
            found = self._records.get(uid)
        if found is None:
            found = self.archive.study(uid)
            with self._lock:
                self._records[uid] = found
                while len(self._records) > STUDIES:
                    self._records.popitem(last=False)
        return found

    def archive_stamp(self) -> tuple[object, ...]:
        """Return what changes when the archive does."""
        return index_stamp(self.workspace)

    def reviews(self) -> dict[str, StudyReviews]:
        """Return what was said of each study of which anything was."""
        return self.once("reviews", reviews_stamp(self.workspace), lambda: reviews_by_study(self.workspace))

    def reviews_of(self, uid: str) -> StudyReviews:
        """Return what was said of a study."""
        return self.reviews().get(uid, NONE)

    def patch_at(self, explainer: StudyExplainer, site: str) -> SitePatch | None:
        """Return the patch in force at a site for a model."""
        digest = explainer.pipeline.digest
        key = (_folder_stamp(self.workspace.patches), date.today())
        return self.once(("patch", site, digest), key, lambda: explainer.active_patch(site))

    def page_name(self, explainer: StudyExplainer, study: StudyRecord, patch: SitePatch | None) -> tuple[Any, ...]:
        """Return all that the explanation of a study depends on, but for where other studies stand with their readers."""
        name = None if patch is None else patch.id
        key = (_folder_stamp(self.workspace.calibrations), date.today())
        calibration, reasons = self.once(
            ("calibration", study.site, explainer.pipeline.digest, name),
            key,
            lambda: explainer.calibration_at(study.site, patch),
        )
        held = None if calibration is None else calibration.id
        drift = _folder_stamp(self.workspace.drift)
        return (explainer.pipeline.digest, study.uid, name, held, reasons, self.archive_stamp(), drift)

    def page(self, name: tuple[Any, ...]) -> Page | None:
        """Return an explanation that is still true."""
        with self._lock:
            found = self._pages.get(name)
            if found is None:
                return None
            self._pages.move_to_end(name)
        reviews = self.reviews()
        stood = {uid: str(reviews.get(uid, NONE).state) for uid in found.beside}
        return found if stood == found.beside and time.monotonic() - found.made < PAGE_S else None

    def keep(self, name: tuple[Any, ...], explanation: Explanation) -> Page:
        """Keep an explanation for who asks next."""
        page = page_of(explanation)
        with self._lock:
            self._size += len(page.body) - len(self._pages[name].body if name in self._pages else b"")
            self._pages[name] = page
            while self._size > PAGES_BYTES:
                self._size -= len(self._pages.popitem(last=False)[1].body)
        return page

    def once(self, name: Any, key: Any, make: Callable[[], T]) -> T:
        """Return what was made under a key, made again where the key is another."""
        with self._lock:
            held = self._once.get(name)
        if held is None or held[0] != key:
            held = (key, make())
            with self._lock:
                self._once[name] = held
        found: T = held[1]
        return found


def page_of(explanation: Explanation) -> Page:
    """Return an explanation as it goes out."""
    # As `Explanation.to_dict`, and ten times as fast; numbers that JSON does not know become null.
    body = b'{"schema":%b,' % json.dumps(SCHEMA).encode() + RECORD.dump_json(explanation).removeprefix(b"{")
    beside = {one.study: one.review for one in explanation.similar}
    return Page(body, f'"{hashlib.sha256(body).hexdigest()[:32]}"', beside, time.monotonic())


def _folder_stamp(folder: Path) -> tuple[tuple[str, int, int], ...]:
    try:
        with os.scandir(folder) as found:
            return tuple(sorted((one.name, (state := one.stat()).st_mtime_ns, state.st_size) for one in found))
    except FileNotFoundError:
        return ()
