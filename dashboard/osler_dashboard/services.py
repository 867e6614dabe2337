"""What the pages ask of the floors below, held once for all readers: nothing in here changes with a session.

A correction is an argument and a site patch is a record, so that one frozen model serves everybody.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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
from osler.dicom.pixels import read_stored
from osler.drift.check import newer
from osler.drift.store import Checked, DriftStore
from osler.explain import contrast
from osler.explain.explanation import Explanation
from osler.explain.service import StudyExplainer, model_names
from osler.feedback import Review, read_reviews, save_review
from osler.workspace import Workspace
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError
from osler_dashboard.components.viewer import image_payload, visible_part
from osler_dashboard.roll import Roll
from osler_dashboard.settings import MODEL_VARIABLE, WORKSPACE_VARIABLE
from osler_dashboard.words import sentence, study_names
from osler_knowledge.corpus import Corpus, load_corpus

PREFERRED_MODEL = "bottleneck_prior"


def workspace() -> Workspace:
    """Open the workspace that the command named.

    Raises:
        OslerError: `workspace-invalid`.
    """
    named = os.environ.get(WORKSPACE_VARIABLE)
    if not named:
        raise OslerError(
            Code.WORKSPACE_INVALID,
            "No workspace is open.",
            "Start the dashboard with `osler dashboard --workspace DIR`.",
        )
    return Workspace.open(Path(named))


def model_name(opened: Workspace) -> str:
    """Return the model to show: the one that was asked for, else the one with a prior, else the first.

    Raises:
        OslerError: `model-invalid` where there is none, or not the one asked for.
    """
    names = model_names(opened)
    wanted = os.environ.get(MODEL_VARIABLE)
    if not names:
        raise OslerError(Code.MODEL_INVALID, "There is no model here yet.", "Run `osler demo`, or fit a bottleneck.")
    if wanted and wanted not in names:
        raise OslerError(Code.MODEL_INVALID, f"There is no model {wanted!r} here.", f"Choose of {', '.join(names)}.")
    return wanted or (PREFERRED_MODEL if PREFERRED_MODEL in names else names[0])


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


def studies() -> Studies:
    """Return all studies, read again when the index was written."""
    folder = workspace().archive
    written = tuple(
        path.stat().st_mtime_ns for path in sorted(folder.glob("index.sqlite*")) if path.suffix != ".sqlite-shm"
    )
    return _studies(folder, written)


@st.cache_resource(max_entries=4, show_spinner=False)
def _studies(folder: Path, written: tuple[int, ...]) -> Studies:
    held = archive()
    records = {record.uid: record for record in held.studies()}
    order = [uid for uid in arrival_order(held) if uid in records]
    ordered = {uid: records[uid] for uid in [*order, *(records.keys() - set(order))]}
    return Studies(ordered, study_names({uid: record.site for uid, record in ordered.items()}, list(ordered)))


@st.cache_resource(max_entries=2, show_spinner=False)
def _roll(root: Path, model: str, uids: tuple[str, ...], _explainer: StudyExplainer) -> Roll:
    roll = Roll(_explainer, uids)
    roll.wait(2.0)  # a small archive is read by then, and the first page shows it whole
    return roll


def is_phantom(study: StudyRecord) -> bool:
    """Return whether a study was simulated: its table says so, or it came with a demonstration's truth of concepts."""
    planted = any(name.startswith("concept_") for name in study.labels)
    return study.labels.get("phantom") == "yes" or (planted and summary().get("data") == "phantom")


def roll(found: Studies) -> Roll:
    """Return what the model concludes of every study, as far as it has got."""
    held = explainer()
    return _roll(held.workspace.root, held.pipeline.digest, tuple(found.records), held)


@st.cache_resource(max_entries=32, show_spinner=False)
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

    Raises:
        OslerError: As `features`.
    """
    held = explainer()
    values = {concept: float(present) for concept, present in (corrections or {}).items()}
    patch = held.active_patch(study.site)
    moves_images = patch is not None and any(one.stage == "image" for one in patch.corrections)
    calibration, warnings = held.calibration_at(study.site, patch)
    return contrast.explain(
        held.pipeline,
        held.features(study, patch) if moves_images else features(study.uid),
        study=study.uid,
        site=study.site,
        patch=patch,
        corrections=values or None,
        calibration=calibration,
        warnings=warnings,
    )


def concept_map(uid: str, concept: str) -> NDArray[np.floating[Any]] | None:
    """Return where a concept was seen, as strengths in [0, 1] over `seen_box`, None where no map can be drawn.

    A place shows only where its features speak for the concept rather than against it.
    """
    pipeline = explainer().pipeline
    maps = pipeline.scorer.score(features(uid), pipeline.bank).maps
    return None if maps is None else np.maximum(0.0, np.tanh(maps[0, 0, pipeline.bank.ids.index(concept)] / 2))


def seen_box(rows: int, columns: int) -> tuple[float, float, float, float]:
    """Return top, left, height and width of what the encoder of the model shown sees of an image."""
    held = explainer()
    folder = find_encoder(held.pipeline.encoder_digest, held.workspace.models / held.model)
    return visible_part(EncoderFolder(folder).config["preprocess_cfg"].get("resize_mode", "shortest"), rows, columns)


@st.cache_resource(max_entries=24, show_spinner=False)
def _image(path: Path, sha256: str) -> dict[str, Any]:
    stored, header = read_stored(path)
    return image_payload(stored, header)


def image(study: StudyRecord) -> dict[str, Any] | None:
    """Return the image by which the model knows a study, for the viewer, None where it has none.

    Raises:
        OslerError: A refusal code where the file cannot be read.
    """
    instance = archive().image(study)
    return None if instance is None else _image(instance.path, instance.sha256)


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


def reviews() -> dict[str, Review]:
    """Return the latest review of each study."""
    return {review.study: review for review in read_reviews(workspace())}


def keep_review(review: Review) -> None:
    """Save a review."""
    save_review(workspace(), review)
