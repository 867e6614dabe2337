"""What the pages ask of the floors below, held once for all readers: nothing in here changes with a session.

A correction is an argument and a site patch is a record, so that one frozen model serves everybody.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from osler.adapt.patch import SitePatch
from osler.archive import Archive, Outcome, StudyRecord
from osler.archive.arrivals import arrival_order, site_intake
from osler.archive.explanations import explanations
from osler.bottleneck.artefact import find_encoder
from osler.bottleneck.encoders.checkpoint import EncoderFolder
from osler.bottleneck.records import Features
from osler.calibrate.record import SiteCalibration
from osler.database import index_stamp
from osler.drift.check import newer
from osler.drift.store import Checked, DriftStore
from osler.explain import contrast
from osler.explain.choice import chosen_model
from osler.explain.context import Context
from osler.explain.explanation import Explanation
from osler.explain.service import StudyExplainer, model_names
from osler.feedback import (
    Draft,
    Review,
    StudyReviews,
    confirm_review,
    reviews_by_study,
    save_review,
    withdraw_review,
)
from osler.feedback.making import review_of
from osler.workspace import Workspace
from osler_dashboard import opened
from osler_dashboard.components.viewer import visible_part
from osler_dashboard.listing import Rows
from osler_dashboard.numbering import study_numbers
from osler_dashboard.roll import Roll
from osler_dashboard.settings import MODEL_VARIABLE
from osler_dashboard.words import sentence, slug, study_name
from osler_knowledge.corpus import Corpus, load_corpus

if TYPE_CHECKING:
    from osler.report.service import Report  # what writes DICOM is imported when a report is asked for

workspace = opened.workspace


def model_name(opened: Workspace) -> str:
    """Return the model to show: the one that was asked for, else the one with a prior, else the first.

    Raises:
        OslerError: `workspace-invalid` where there is none, `unknown-model` where not the one asked for.
    """
    return chosen_model(opened, os.environ.get(MODEL_VARIABLE))


@st.cache_resource(max_entries=4, show_spinner="Opening the model")
def _explainer(root: Path, model: str, written: int) -> StudyExplainer:
    explainer = StudyExplainer(Workspace.open(root), model)
    _ = explainer.pipeline  # an error of the model is told now, not in the middle of a page
    return explainer


def explainer() -> StudyExplainer:
    """Return the explainer of the model shown, made once and again where the model's file is a new one."""
    return explainer_of(model_name(workspace()))


def explainer_of(name: str) -> StudyExplainer:
    """Return the explainer of a model by name; see `explainer`."""
    opened = workspace()
    return _explainer(opened.root, name, (opened.models / name / "bottleneck.json").stat().st_mtime_ns)


def archive() -> Archive:
    """Return the archive of the workspace."""
    return _archive(workspace().root)


@st.cache_resource(max_entries=4)
def _archive(root: Path) -> Archive:
    return Archive(Workspace.open(root))


@dataclass(frozen=True)
class Studies:
    """The studies of the archive with their readable names, in the order of their arrival."""

    records: Mapping[str, StudyRecord]
    names: Mapping[str, str]

    @property
    def sites(self) -> list[str]:
        """Sites by name."""
        return sorted({record.site for record in self.records.values()})

    @cached_property
    def digest(self) -> str:
        """Names all studies together: Streamlit takes a tenth of a second to compare thousands of UIDs one by one."""
        return hashlib.sha256("\n".join(self.records).encode()).hexdigest()

    @cached_property
    def by_slug(self) -> dict[str, str]:
        """UIDs by what an address calls the study."""
        return {slug(name): uid for uid, name in self.names.items()}

    @cached_property
    def _patients(self) -> dict[tuple[str, str], list[str]]:
        held: dict[tuple[str, str], list[str]] = {}
        for uid, record in self.records.items():
            held.setdefault((record.site, record.patient), []).append(uid)
        return held

    def of_patient(self, study: StudyRecord) -> list[StudyRecord]:
        """Return all studies of a study's patient at its site."""
        return [self.records[uid] for uid in self._patients.get((study.site, study.patient), ())]


def studies() -> Studies:
    """Return all studies, read again when the index was written."""
    opened = workspace()
    return _studies(opened.archive, index_stamp(opened))


@st.cache_resource(max_entries=4, show_spinner=False)
def _studies(folder: Path, written: tuple[object, ...]) -> Studies:
    held = archive()
    records = {record.uid: record for record in held.studies()}
    order = [uid for uid in arrival_order(held) if uid in records]
    ordered = {uid: records[uid] for uid in [*order, *(records.keys() - set(order))]}
    numbers = study_numbers(held.workspace, {uid: record.site for uid, record in ordered.items()}, list(ordered))
    return Studies(ordered, {uid: study_name(record.site, numbers[uid]) for uid, record in ordered.items()})


@st.cache_resource(max_entries=2, show_spinner=False)
def _roll(root: Path, names: tuple[object, ...], _found: Studies, _explainer: StudyExplainer) -> Roll:
    roll = Roll(_explainer, tuple(_found.records.values()))
    roll.wait(2.0)  # a small archive is read by then, and the first page shows it whole
    return roll


@st.cache_resource(max_entries=2, show_spinner=False)
def _rows(root: Path, studies: str) -> Rows:
    return Rows()


def rows(found: Studies) -> Rows:
    """Return the rows of the worklist as they were made last, for all readers."""
    return _rows(workspace().root, found.digest)


def is_phantom(study: StudyRecord) -> bool:
    """Return whether a study was simulated: its table says so, or it came with a demonstration's truth of concepts."""
    planted = any(name.startswith("concept_") for name in study.labels)
    return study.labels.get("phantom") == "yes" or (planted and summary().get("data") == "phantom")


def roll(found: Studies) -> Roll:
    """Return what the model concludes of every study, as far as it has got."""
    held = explainer()
    names = (held.pipeline.digest, repr(held.pipeline.calibration), found.digest)
    return _roll(held.workspace.root, names, found, held)


@st.cache_resource(max_entries=256, show_spinner=False)
def _features(model: str, uid: str, _explainer: StudyExplainer) -> Features:
    return _explainer.features(_explainer.archive.study(uid))


def features(uid: str) -> Features:
    """Return the features of a study, held for the next correction.

    Raises:
        OslerError: `nothing-eligible`, or a refusal code where its image cannot be read.
    """
    held = explainer()
    return _features(held.pipeline.digest, uid, held)


def explain(study: StudyRecord, corrections: Mapping[str, bool] | None = None) -> Explanation:
    """Explain a study under the patch in force at its site, with the reader's corrections if there are any.

    Until its site has been measured, nothing is said of other studies and of how reliable signs are there.

    Raises:
        OslerError: As `features`.
    """
    held = explainer()
    patch = held.active_patch(study.site)
    calibration, reasons = held.calibration_at(study.site, patch)
    around = _Around(study, held, patch, calibration, reasons, roll(studies()).ready(study.site))
    first, context = _explained(around.names, around)
    if not corrections:
        return first
    return around.explain(context.quick(), {concept: float(present) for concept, present in corrections.items()})


@dataclass(frozen=True)
class _Around:
    """A study with what it is explained under."""

    study: StudyRecord
    held: StudyExplainer
    patch: SitePatch | None
    calibration: SiteCalibration | None
    reasons: tuple[str, ...]
    ready: bool

    @property
    def names(self) -> tuple[object, ...]:
        """All that the explanation without corrections depends on."""
        return (
            self.held.pipeline.digest,
            self.study.uid,
            None if self.patch is None else self.patch.id,
            None if self.calibration is None else self.calibration.id,
            self.reasons,
            self.ready,
            repr(self.held.pipeline.calibration),
        )

    def context(self) -> Context:
        """Return what stands around the study; nothing while its site is still being measured."""
        return self.held.context(self.study, self.patch) if self.ready else Context(searching=False)

    def features(self) -> Features:
        """Return the features of the study; a patch may change what the encoder sees."""
        moves_images = self.patch is not None and any(one.stage == "image" for one in self.patch.corrections)
        return self.held.features(self.study, self.patch) if moves_images else features(self.study.uid)

    def explain(self, context: Context, corrections: Mapping[str, float] | None = None) -> Explanation:
        """Explain the study."""
        return contrast.explain(
            self.held.pipeline,
            self.features(),
            study=self.study.uid,
            site=self.study.site,
            patch=self.patch,
            corrections=corrections,
            calibration=self.calibration,
            warnings=self.reasons,
            context=context,
        )


@st.cache_resource(max_entries=512, ttl=600, show_spinner=False)
def _explained(names: tuple[object, ...], _around: _Around) -> tuple[Explanation, Context]:
    context = _around.context()
    return _around.explain(context), context


def concept_maps(study: StudyRecord, concepts: Sequence[str]) -> NDArray[np.floating[Any]] | None:
    """Return where concepts were seen, as strengths in [0, 1] (n, h, w) over `seen_box`, None where none can be drawn.

    A place shows only where its features speak for the concept rather than against it.
    """
    pipeline = explainer().pipeline
    maps = pipeline.scorer.score(features(study.uid), pipeline.bank).maps
    places = [pipeline.bank.ids.index(concept) for concept in concepts]
    return None if maps is None else np.maximum(0.0, np.tanh(maps[0, 0, places] / 2))


def seen_box(rows: int, columns: int) -> tuple[float, float, float, float]:
    """Return top, left, height and width of what the encoder of the model shown sees of an image."""
    held = explainer()
    folder = find_encoder(held.pipeline.encoder_digest, held.workspace.models / held.model)
    return visible_part(EncoderFolder(folder).config["preprocess_cfg"].get("resize_mode", "shortest"), rows, columns)


@st.cache_resource(max_entries=1, show_spinner=False)
def _corpus() -> Corpus:
    return load_corpus()


def paragraphs(entry: str) -> list[str]:
    """Return the paragraphs of an entry of the corpus, none where the corpus does not have it."""
    found = _corpus().by_id.get(entry)
    return found.text.split("\n") if found else []


def concept_name(concept: str) -> str:
    """Return the name of a concept as the bank has it, or its identifier where the bank does not know it."""
    bank = explainer().pipeline.bank
    name = bank.concept(concept).name if concept in bank.ids else concept.replace("_", " ")
    return sentence(name)


def intake(site: str) -> dict[Outcome, Counter[str]]:
    """Return what became of the files received from a site."""
    return site_intake(archive(), site)


@dataclass(frozen=True)
class DriftState:
    """What is known of a site's drift.

    Attributes:
        has_profile: Whether it has a reference profile.
        checked: The latest comparison with it, None where there is none.
        newer: Studies that have arrived since.
    """

    has_profile: bool
    checked: Checked | None
    newer: int


def drift(site: str) -> DriftState:
    """Return what the latest comparison of a site's arrivals with its reference said."""
    opened = workspace()
    store = DriftStore(opened.drift)
    checked = store.latest(site)
    return DriftState(store.has_profile(site), checked, newer(opened, site, checked.through) if checked else 0)


def refusal_meanings() -> dict[str, tuple[str, str]]:
    """Return what each refusal means and what to do about it, by code."""
    return explanations()


def patch_of(site: str) -> SitePatch | None:
    """Return the patch to show of a site for the model shown: the one in force, else the latest."""
    held = explainer()
    own = [patch for patch in held.patches.all() if (patch.site, patch.model) == (site, held.pipeline.digest)]
    return next((patch for patch in own if patch.status == "active"), own[-1] if own else None)


@dataclass(frozen=True)
class MovedWeight:
    """How much a sign speaks for a finding, at the source and under a patch."""

    name: str
    finding: str
    before: float
    after: float


def moved_weights(patch: SitePatch) -> list[MovedWeight]:
    """Return the weights that a patch moves, those first that move findings most; none where its model is gone.

    A weight moves a finding by as much as its sign varies, which is taken from the source.
    """
    held = next(
        (one for one in map(explainer_of, model_names(workspace())) if one.pipeline.digest == patch.model), None
    )
    if held is None or patch.head is None:
        return []
    pipeline = held.pipeline
    before, added = pipeline.head_weights(), patch.head.added(pipeline.bank.ids)[0]
    effect = np.abs(added) * pipeline.source.aligned(pipeline.bank.ids).values.std(axis=0)
    places = [np.unravel_index(place, added.shape) for place in np.argsort(-effect, axis=None, kind="stable")]
    return [
        MovedWeight(
            pipeline.bank.concepts[c].name, pipeline.classes[k], float(before[k, c]), float(before[k, c] + added[k, c])
        )
        for k, c in places
        if added[k, c]
    ]


def adaptation(site: str) -> dict[str, Any]:
    """Return what the demonstration measured of the patch of a site, empty where it measured none."""
    held = dict(summary().get("adaptation") or {})
    return held if held.get("site") == site else {}


def summary() -> dict[str, Any]:
    """Read the summary that a demonstration left, empty where there is none or it cannot be read."""
    try:
        return dict(json.loads(workspace().summary.read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return {}


def reviews() -> dict[str, StudyReviews]:
    """Return what was said of each study of which anything was."""
    return reviews_by_study(workspace())


def reviews_of(uid: str) -> StudyReviews:
    """Return what was said of one study."""
    return reviews().get(uid, StudyReviews())


def report(uid: str, form: str) -> Report:
    """Make the report of a study as it stands, under its pseudonym, in one of `osler.report.service.FORMATS`.

    Raises:
        OslerError: As `osler.report.service.Reporter.make`.
    """
    from osler.report.service import Reporter

    return Reporter(explainer()).make(uid, form)


def sign(first: Explanation, now: Explanation, draft: Draft, reviewer: str) -> Review:
    """Sign a study as a draft says.

    Raises:
        ReviewConflictError: `review-conflict` where somebody else was faster; the word is kept and waits.
    """
    return save_review(workspace(), review_of(first, now, draft, reviewer))


def confirm(review: str, reviewer: str, revision: str) -> None:
    """Let a word count that somebody else was faster than.

    Raises:
        ReviewConflictError: `review-conflict` where yet another came.
    """
    confirm_review(workspace(), review, reviewer=reviewer, based_on=revision)


def withdraw(review: str, reviewer: str) -> None:
    """Take a word back that waits."""
    withdraw_review(workspace(), review, reviewer=reviewer)
