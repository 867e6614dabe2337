"""What a careful reader would see: the truth of every concept, from what was drawn."""

from __future__ import annotations

from osler_training.phantom.anatomy import SIGN, Anatomy
from osler_training.phantom.findings import (
    ALVEOLAR,
    KERLEY,
    PERIBRONCHIAL,
    consolidation_centre,
    has_bronchograms,
    is_lobar,
)
from osler_training.phantom.parameters import CONCEPTS, DEVICES, PARAMETERS
from osler_training.phantom.spec import Finding

ENLARGED, NARROW = 0.5, 0.40
SHIFTED_MM, RAISED = 8.0, 0.4


def concept_truth(anatomy: Anatomy) -> dict[str, int]:
    """Return 0 or 1 for every concept of a study."""
    spec, visible = anatomy.spec, PARAMETERS.visible
    oedema, effusion = spec.severity("oedema"), spec.severity("effusion")
    collapse, air, free_air = (spec.severity(kind) for kind in ("atelectasis", "hyperinflation", "pneumothorax"))
    consolidations = [one for one in spec.of("consolidation") if one.severity >= visible]
    present = {
        "enlarged_cardiac_silhouette": anatomy.ratio > ENLARGED,
        "narrow_cardiac_silhouette": anatomy.ratio < NARROW,
        "cephalized_vessels": oedema >= 0.3,
        "perihilar_haze": oedema >= 0.3,
        "peribronchial_cuffing": oedema >= PERIBRONCHIAL,
        "kerley_b_lines": oedema >= KERLEY,
        "blunted_costophrenic_angle": effusion >= 0.1,
        "meniscus_sign": effusion >= 0.25,
        "basal_opacity": effusion >= 0.25 or any(one.zone == "lower" for one in consolidations),
        "airspace_opacity": bool(consolidations) or oedema >= ALVEOLAR,
        "air_bronchograms": any(has_bronchograms(one) for one in consolidations),
        "silhouette_sign": any(_hides_a_border(one, anatomy) for one in consolidations),
        "focal_opacity": bool(consolidations),
        "lobar_distribution": any(is_lobar(one) for one in consolidations),
        "bilateral_opacities": oedema >= ALVEOLAR or len({one.side for one in consolidations}) == 2,
        "visceral_pleural_line": free_air >= visible,
        "absent_peripheral_lung_markings": free_air >= visible,
        "rounded_opacity": spec.severity("nodule") >= visible,
        "mediastinal_shift": abs(anatomy.shift - 0.9 * spec.patient.rotation) >= SHIFTED_MM,
        "elevated_hemidiaphragm": collapse >= RAISED,
        "volume_loss": collapse >= RAISED,
        "linear_opacity": collapse >= visible,
        "flattened_diaphragm": air >= 0.3,
        "hyperlucent_lungs": air >= 0.3,
        **{name: name in spec.devices for name in DEVICES},
    }
    return {name: int(present[name]) for name in CONCEPTS}


def _hides_a_border(finding: Finding, anatomy: Anatomy) -> bool:
    """Return whether a consolidation abuts the heart or a dome."""
    x, y, radius = consolidation_centre(finding, anatomy)
    side = SIGN[finding.side]
    border = anatomy.heart_width * (0.62 if side > 0 else 0.36)
    beside_heart = finding.zone != "upper" and abs(x) - 0.8 * radius < border
    on_dome = anatomy.dome[side] - y < 0.7 * radius
    return bool((beside_heart or on_dome) and finding.severity > 0.35)
