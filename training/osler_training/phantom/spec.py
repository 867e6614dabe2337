"""What one phantom study is to show: the patient, the findings, the devices; drawn from a seed before anything is rendered."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from osler_training.phantom.parameters import PARAMETERS, Mixture

SIDES = ("right", "left")
ZONES = ("upper", "middle", "lower")


@dataclass(frozen=True)
class Finding:
    """One finding of a study.

    Attributes:
        kind: One of `parameters.FINDINGS`.
        side: `right`, `left` or `both`; empty where it has no side.
        zone: `upper`, `middle` or `lower` third of the lung; empty where it has none.
        severity: In [0, 1].
        detail: Finding-specific fractions in [0, 1], such as the position of a nodule or the strength of air bronchograms.
    """

    kind: str
    side: str = ""
    zone: str = ""
    severity: float = 1.0
    detail: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Patient:
    """Build and pose; lengths are factors of an average adult, angles in degrees."""

    sex: str
    age: int
    width: float
    height: float
    body_cm: float
    inspiration: float
    rotation: float
    ratio: float
    fat_pad: float
    breast: float


@dataclass(frozen=True)
class StudySpec:
    """Everything that the renderer and the reporter need.

    Attributes:
        diagnosis: One of `parameters.DIAGNOSES`.
        view: `PA` or `AP`.
        patient: The patient.
        findings: The findings, at most one of a kind but for consolidations.
        devices: Names of the devices in place.
        texture_seed: Seed of vessels and noise.
    """

    diagnosis: str
    view: str
    patient: Patient
    findings: tuple[Finding, ...]
    devices: tuple[str, ...]
    texture_seed: int

    def of(self, kind: str) -> tuple[Finding, ...]:
        """Return the findings of a kind."""
        return tuple(finding for finding in self.findings if finding.kind == kind)

    def severity(self, kind: str) -> float:
        """Return the greatest severity of a kind, 0 where it is not there."""
        return max((finding.severity for finding in self.of(kind)), default=0.0)


def sample_patient(rng: np.random.Generator) -> Patient:
    """Draw a patient without disease."""
    mean, spread = PARAMETERS.ratio_normal
    sex = str(rng.choice(["F", "M"]))
    return Patient(
        sex=sex,
        age=int(np.clip(rng.normal(62, 16), 19, 94)),
        width=float(rng.normal(1.0, 0.045)),
        height=float(rng.normal(1.0, 0.035)),
        body_cm=float(np.clip(rng.normal(21.5, 2.2), 16, 28)),
        inspiration=float(np.clip(rng.normal(0, 0.5), -1.2, 1.0)),
        rotation=float(np.clip(rng.normal(0, 2.0), -5, 5)),
        ratio=float(np.clip(rng.normal(mean, spread), 0.37, 0.492)),
        fat_pad=float(rng.uniform(0, 0.35)),
        breast=float(rng.uniform(0.3, 1.0)) if sex == "F" else 0.0,
    )


def sample_study(
    diagnosis: str,
    rng: np.random.Generator,
    *,
    view: str = "PA",
    device_rates: Mapping[str, float] | None = None,
    patient: Patient | None = None,
) -> StudySpec:
    """Draw a study of a diagnosis.

    Args:
        diagnosis: One of `parameters.DIAGNOSES`.
        rng: Source of randomness.
        view: `PA` or `AP`.
        device_rates: Chance of each device; none where left out.
        patient: The patient; a new one where left out.
    """
    patient = patient or sample_patient(rng)
    mixtures = {**PARAMETERS.incidental, **PARAMETERS.mixtures[diagnosis]}
    if diagnosis == "normal":
        mixtures = {}
    findings: list[Finding] = []
    for kind, mixture in sorted(mixtures.items()):
        if rng.random() < mixture.share:
            findings += _sample_finding(kind, mixture, diagnosis, rng)
    rates = device_rates or {}
    devices = tuple(name for name in sorted(rates) if rng.random() < rates[name])
    return StudySpec(diagnosis, view, patient, tuple(findings), devices, int(rng.integers(2**31)))


def _sample_finding(kind: str, mixture: Mixture, diagnosis: str, rng: np.random.Generator) -> list[Finding]:
    """Draw severity, side and zone; a consolidation may come with a second one elsewhere."""
    severity = float(rng.uniform(*mixture.severity))
    side = str(rng.choice(SIDES))
    detail = {name: float(rng.random()) for name in ("x", "y", "size", "texture")}
    if kind in ("cardiomegaly", "oedema", "hyperinflation"):
        return [Finding(kind, "both" if kind != "cardiomegaly" else "", "", severity, detail)]
    if kind == "effusion":
        both = rng.random() < (0.7 if diagnosis == "heart_failure" else 0.1)
        return [Finding(kind, "both" if both else side, "lower", severity, detail)]
    if kind == "consolidation":
        first = Finding(kind, side, str(rng.choice(ZONES, p=[0.2, 0.3, 0.5])), severity, detail)
        if rng.random() >= 0.25:
            return [first]
        other = str(rng.choice(SIDES))
        zone = str(rng.choice([zone for zone in ZONES if other != side or zone != first.zone]))
        again = {name: float(rng.random()) for name in detail}
        return [first, Finding(kind, other, zone, severity * float(rng.uniform(0.6, 1.0)), again)]
    zone = "lower" if kind == "atelectasis" and rng.random() < 0.7 else str(rng.choice(ZONES))
    return [Finding(kind, side, "" if kind == "pneumothorax" else zone, severity, detail)]
