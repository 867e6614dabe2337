"""What data sets say of an image, in one vocabulary: findings by name, and a class where the question is single.

A finding whose meaning a shipped bank has carries the bank's name; others keep their own, in lower case with underscores.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

NAN = float("nan")
NORMAL = "normal"
Uncertain = Literal["ignore", "ones", "zeros"]
Unmentioned = Literal["ignore", "zeros"]

_SAME = {
    "effusion": "pleural_effusion",
    "no_finding": NORMAL,
    "nodule": "lung_nodule",
    "other_diseases": "other_disease",
    "hyperinflated_lung": "hyperinflation",
}
DERMOSCOPY = {
    "mel": "melanoma",
    "nv": "nevus",
    "nev": "nevus",
    "bcc": "basal_cell_carcinoma",
    "bkl": "benign_keratosis",
    "sek": "benign_keratosis",
    "akiec": "actinic_keratosis",
    "ak": "actinic_keratosis",
    "ack": "actinic_keratosis",
    "scc": "squamous_cell_carcinoma",
    "df": "dermatofibroma",
    "vasc": "vascular_lesion",
}
# The labeller of CheXpert (Irvin et al. 2019), which MIMIC-CXR-JPG uses too.
CHEXPERT = (
    "No Finding",
    "Enlarged Cardiomediastinum",
    "Cardiomegaly",
    "Lung Opacity",
    "Lung Lesion",
    "Edema",
    "Consolidation",
    "Pneumonia",
    "Atelectasis",
    "Pneumothorax",
    "Pleural Effusion",
    "Pleural Other",
    "Fracture",
    "Support Devices",
)
_DEVICES = "support_devices"  # says nothing of disease


def finding_name(text: str) -> str:
    """Return the name of a finding: `Pleural_Thickening` is `pleural_thickening`, `Effusion` is `pleural_effusion`."""
    plain = re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")
    return _SAME.get(plain, plain)


def one_hot(label: str, names: Sequence[str]) -> dict[str, float]:
    """Return the findings of a set whose classes exclude each other; all NaN where the label is none of them."""
    return {name: float(name == label) if label in names else NAN for name in names}


def listed(found: Iterable[str], names: Iterable[str], *, silent: float = 0.0) -> dict[str, float]:
    """Return the findings of a set that lists what is present; `silent` is the truth of those it does not list."""
    found = set(found)
    return {name: 1.0 if name in found else silent for name in names}


def class_of(findings: Mapping[str, float], target: str = "") -> str:
    """Return the class of an image with several findings.

    Args:
        findings: Truth by name; `normal` is the set's own statement that there is nothing.
        target: The finding that is asked about: the class is `target` where it is present, `normal` where the set says so,
            "" for all else. Without it the class is the one finding that is present, devices apart, `normal`, or "".
    """
    present = [name for name, truth in findings.items() if truth == 1.0 and name != _DEVICES]
    if target:
        return target if target in present else NORMAL if NORMAL in present else ""
    return present[0] if len(present) == 1 else ""


def chexpert_findings(
    cells: Mapping[str, str], uncertain: Uncertain, unmentioned: Unmentioned
) -> dict[str, float] | None:
    """Return the findings of a row of the CheXpert labeller: 1 positive, 0 negative, -1 uncertain, empty not mentioned.

    `No Finding` is 1 or empty: where it is empty but another finding is present it is 0. None for a row with other values.
    """
    values = {"1": 1.0, "0": 0.0, "-1": {"ignore": NAN, "ones": 1.0, "zeros": 0.0}[uncertain]}
    values |= {"": {"ignore": NAN, "zeros": 0.0}[unmentioned]}
    words = {name: cells[name].removesuffix(".0") for name in CHEXPERT if name in cells}
    if not set(words.values()) <= set(values):
        return None
    findings = {finding_name(name): values[word] for name, word in words.items()}
    if words.get("No Finding") == "" and any(v == 1.0 for k, v in findings.items() if k not in (NORMAL, _DEVICES)):
        findings[NORMAL] = 0.0
    return findings


def majority(marks: int, readers: int) -> float:
    """Return 1 where more than half of the readers marked a finding, 0 where fewer did, NaN for a tie."""
    return NAN if 2 * marks == readers else float(2 * marks > readers)
