"""Every figure that shapes a phantom's disease, in one frozen place whose digest is recorded before anything is trained."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field

CONCEPTS = (
    "enlarged_cardiac_silhouette",
    "cephalized_vessels",
    "perihilar_haze",
    "kerley_b_lines",
    "peribronchial_cuffing",
    "blunted_costophrenic_angle",
    "meniscus_sign",
    "basal_opacity",
    "airspace_opacity",
    "air_bronchograms",
    "silhouette_sign",
    "focal_opacity",
    "lobar_distribution",
    "bilateral_opacities",
    "visceral_pleural_line",
    "absent_peripheral_lung_markings",
    "rounded_opacity",
    "mediastinal_shift",
    "elevated_hemidiaphragm",
    "volume_loss",
    "linear_opacity",
    "flattened_diaphragm",
    "hyperlucent_lungs",
    "narrow_cardiac_silhouette",
    "endotracheal_tube",
    "central_venous_line",
    "ecg_leads",
    "pacemaker",
)
DEVICES = ("endotracheal_tube", "central_venous_line", "ecg_leads", "pacemaker")
DIAGNOSES = (
    "normal",
    "heart_failure",
    "pneumonia",
    "pleural_effusion",
    "pneumothorax",
    "lung_nodule",
    "atelectasis",
    "hyperinflation",
)
FINDINGS = (
    "cardiomegaly",
    "oedema",
    "effusion",
    "consolidation",
    "pneumothorax",
    "nodule",
    "atelectasis",
    "hyperinflation",
)


@dataclass(frozen=True)
class Mixture:
    """How often a diagnosis shows a finding, and how marked it then is (severity in [0, 1], uniform)."""

    share: float
    severity: tuple[float, float] = (0.3, 1.0)


@dataclass(frozen=True)
class Parameters:
    """The disease model.

    Attributes:
        mixtures: By diagnosis, the findings it may show. What is not listed shows at its incidental rate.
        incidental: Rate and severity of findings that have nothing to do with the diagnosis.
        ratio_normal: Mean and standard deviation of the cardiothoracic ratio.
        ratio_enlarged: Lowest ratio of a just enlarged heart, and what full severity adds.
        visible: Severity from which a sign counts as present.
        hedged: Severity below which a report hedges about a sign that is present.
    """

    mixtures: dict[str, dict[str, Mixture]] = field(
        default_factory=lambda: {
            "normal": {},
            "heart_failure": {
                "oedema": Mixture(0.95, (0.35, 1.0)),
                "cardiomegaly": Mixture(0.85, (0.2, 1.0)),
                "effusion": Mixture(0.60, (0.15, 0.7)),
            },
            "pneumonia": {"consolidation": Mixture(0.98, (0.3, 1.0)), "effusion": Mixture(0.25, (0.1, 0.5))},
            "pleural_effusion": {"effusion": Mixture(1.0, (0.3, 1.0)), "atelectasis": Mixture(0.2, (0.2, 0.6))},
            "pneumothorax": {"pneumothorax": Mixture(1.0, (0.25, 1.0))},
            "lung_nodule": {"nodule": Mixture(1.0, (0.3, 1.0))},
            "atelectasis": {"atelectasis": Mixture(1.0, (0.35, 1.0)), "effusion": Mixture(0.15, (0.1, 0.4))},
            "hyperinflation": {"hyperinflation": Mixture(1.0, (0.4, 1.0))},
        }
    )
    incidental: dict[str, Mixture] = field(
        default_factory=lambda: {
            "cardiomegaly": Mixture(0.12, (0.1, 0.6)),
            "nodule": Mixture(0.03, (0.2, 0.7)),
            "atelectasis": Mixture(0.06, (0.2, 0.5)),
            "effusion": Mixture(0.03, (0.1, 0.3)),
            "hyperinflation": Mixture(0.05, (0.3, 0.7)),
        }
    )
    ratio_normal: tuple[float, float] = (0.445, 0.026)
    ratio_enlarged: tuple[float, float] = (0.515, 0.13)
    visible: float = 0.2
    hedged: float = 0.35


PARAMETERS = Parameters()


def parameters_digest() -> str:
    """Return the SHA-256 of the canonical JSON of all parameters; `digest.phantom_digest` covers the drawing code too."""
    return hashlib.sha256(json.dumps(asdict(PARAMETERS), sort_keys=True).encode()).hexdigest()
