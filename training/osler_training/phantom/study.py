"""From a plan to a finished study: everything random follows from site, seed, patient and visit."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from osler_training.phantom.anatomy import grid_mm
from osler_training.phantom.marks import film_marks
from osler_training.phantom.nuisance import Nuisance, nuisance_named
from osler_training.phantom.plan import StudyPlan
from osler_training.phantom.render import project
from osler_training.phantom.seeds import stream
from osler_training.phantom.sites import SiteProfile, Stored, Values
from osler_training.phantom.spec import StudySpec, sample_patient, sample_study

NONE = Nuisance("none")


@dataclass(frozen=True)
class PhantomStudy:
    """A study with its truth.

    Attributes:
        image: Fractions (S, S) as displayed, dense bright.
        stored: Stored values (S, S).
        spec: What was asked of the renderer.
        masks: Where each kind of finding shows (S, S).
        concepts: Truth of every concept.
        cardiothoracic_ratio: Of the heart itself, without magnification.
        report: The report in prose, empty where none was asked for.
        view: `PA` or `AP`.
        spacing_mm: Pixel spacing.
    """

    image: Values
    stored: Stored
    spec: StudySpec
    masks: dict[str, NDArray[np.bool_]]
    concepts: dict[str, int]
    cardiothoracic_ratio: float
    report: str
    view: str
    spacing_mm: float


def study_spec(plan: StudyPlan, site: SiteProfile) -> StudySpec:
    """Return what a plan's study is to show."""
    patient = sample_patient(stream(plan, site, "patient", whole_patient=True))
    rng = stream(plan, site, "study")
    view = "AP" if rng.random() < site.share_portable else "PA"
    spec = sample_study(plan.diagnosis, rng, view=view, device_rates=site.device_rates, patient=patient)
    return _nuisance(plan).prepare(spec)


def render_study(
    plan: StudyPlan, site: SiteProfile, size: int = 512, *, skip_report: bool = False, exposure: int = 0
) -> PhantomStudy:
    """Render the frontal film of a study.

    Args:
        plan: The study.
        site: The hospital.
        size: Pixels along a side.
        skip_report: Leave the report empty.
        exposure: 0 for the first film, 1 for its repetition: marks lie elsewhere, noise and position differ.
    """
    spec, nuisance = study_spec(plan, site), _nuisance(plan)
    if exposure:
        spec = repeated(spec, exposure)
    projection = project(
        spec,
        size,
        scatter=site.scatter,
        photons=site.photons,
        overlay=partial(nuisance.overlay, rng=stream(plan, site, f"beam {exposure}")),
        magnify_heart=nuisance.magnify_heart,
    )
    x, y = grid_mm(size)
    marked = film_marks(site, projection.attenuation, x, y, stream(plan, site, f"marks {exposure}"))
    fraction = nuisance.finish(site.response(marked), x, y, stream(plan, site, f"process {exposure}"))
    stored = site.quantise(fraction)
    return PhantomStudy(
        image=site.displayed(stored),
        stored=stored,
        spec=spec,
        masks=projection.masks,
        concepts=projection.concepts,
        cardiothoracic_ratio=projection.cardiothoracic_ratio,
        report="" if skip_report else study_report(spec, projection.concepts, plan, site),
        view=spec.view,
        spacing_mm=projection.spacing_mm,
    )


def render_pair(plan: StudyPlan, site: SiteProfile, size: int, nuisance: str) -> tuple[PhantomStudy, PhantomStudy]:
    """Render a study without and with a nuisance; patient, disease, marks and report are the same."""
    return (
        render_study(replace(plan, nuisance=None), site, size),
        render_study(replace(plan, nuisance=nuisance), site, size),
    )


def study_report(spec: StudySpec, concepts: dict[str, int], plan: StudyPlan, site: SiteProfile) -> str:
    """Return the report in the site's style."""
    from osler_training.phantom.report import write_report

    return write_report(spec, concepts, site.report_style, stream(plan, site, "report"))


def repeated(spec: StudySpec, exposure: int) -> StudySpec:
    """Return the same study exposed again."""
    rng = np.random.default_rng([spec.texture_seed, exposure])
    turned = float(np.clip(spec.patient.rotation + rng.normal(0, 1), -5, 5))
    return replace(spec, patient=replace(spec.patient, rotation=turned))


def _nuisance(plan: StudyPlan) -> Nuisance:
    return nuisance_named(plan.nuisance) if plan.nuisance else NONE
