"""Checking what explanations may claim: on archived held-out studies, and on phantoms whose signs have masks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from osler.archive import Archive
from osler.bottleneck.encoders.open_clip import OpenClipEncoder
from osler.bottleneck.feature_cache import stacked
from osler.bottleneck.protocols import Encoder
from osler.explain.grounding import known_concepts
from osler_knowledge.bank import ConceptBank
from osler_training.evaluate.explanations import Seen, truth_of
from osler_training.experiments.pointing import PointingPlan, draw
from osler_training.fit.problem import Cohort
from osler_training.phantom.anatomy import Anatomy
from osler_training.phantom.plan import StudyPlan, mixed_plan
from osler_training.phantom.render import COARSE
from osler_training.phantom.sites import HOSPITAL_A, SiteProfile
from osler_training.phantom.study import study_spec
from osler_training.phantom.truth import concept_truth


def drawn_truth(plans: Sequence[StudyPlan], site: SiteProfile, size: int) -> list[dict[str, int]]:
    """Return the truth of every concept of planned studies, without drawing them."""
    specs = (study_spec(one, site) for one in plans)
    return [concept_truth(Anatomy(spec, min(size, COARSE), 1.0)) for spec in specs]


def archived_seen(archive: Archive, cohorts: Sequence[Cohort], bank: ConceptBank) -> Seen:
    """Return archived studies with what tables and reports say of their concepts."""
    uids = [uid for one in cohorts for uid in one.study_uids]
    held = {study.uid: study for study in archive.studies() if study.uid in set(uids)}
    truth = known_concepts([held[uid] for uid in uids], bank)
    patients = tuple(patient for one in cohorts for patient in one.patients)
    return Seen(stacked([one.features for one in cohorts]), truth, patients)


def drawn_seen(
    encoder: Encoder,
    bank: ConceptBank,
    classes: Sequence[str],
    count: int,
    cache: Path,
    *,
    seed: int,
    workers: int,
) -> Seen | None:
    """Return phantoms of hospital A with masks; None for an encoder that tells nothing of places.

    Args:
        encoder: The encoder.
        bank: The concepts.
        classes: Diagnoses, in equal parts.
        count: How many; none of them is in any archive.
        cache: Folder that keeps what was drawn.
        seed: Of patients and disease.
        workers: Processes that draw.
    """
    if not isinstance(encoder, OpenClipEncoder):
        return None
    plan = PointingPlan(studies=count, side=encoder.preprocess.size, seed=seed)
    plans = mixed_plan(count, classes, seed)
    drawn = draw([(one, HOSPITAL_A) for one in plans], plan, cache, workers=workers)
    features = encoder.encode(list(drawn.images), tokens=True)
    truth = drawn_truth(plans, HOSPITAL_A, plan.render_size)
    return Seen(features, truth_of(truth, bank.ids), drawn.patients, drawn.regions)
