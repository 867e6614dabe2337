"""From which side a radiograph was taken, and whether a frontal model may see it."""

from __future__ import annotations

from collections.abc import Sequence

from pydicom.dataset import Dataset
from pydicom.multival import MultiValue

PROJECTION_MODALITIES = frozenset({"CR", "DX"})
FRONTAL_VIEWS = frozenset({"PA", "AP"})

# View Code Sequence (0054,0220), CID 4010: the SNOMED CT code, and the SNOMED-RT code that older devices write.
_VIEW_CODES = {
    "272479007": "PA",
    "R-10214": "PA",
    "399348003": "AP",
    "R-10206": "AP",
    "399173006": "LL",
    "R-10236": "LL",
    "399198007": "RL",
    "R-10232": "RL",
    "399067008": "LL",
}


def view_of(dataset: Dataset) -> str:
    """Return the view: View Position (0018,5101), else View Code Sequence; empty where neither speaks."""
    view = str(dataset.get("ViewPosition") or "").strip().upper()
    if view:
        return view
    for item in dataset.get("ViewCodeSequence") or ():
        if found := _VIEW_CODES.get(str(item.get("CodeValue", ""))):
            return found
    return ""


def is_frontal(modality: str, view: str, orientation: Sequence[str]) -> bool:
    """Return whether an image is a frontal projection radiograph.

    Args:
        modality: Modality (0008,0060).
        view: What `view_of` found. Where it is empty the orientation decides.
        orientation: Patient Orientation (0020,0020): a row that runs to the patient's left or right and a column that
            runs to the feet make a frontal image, PA or AP.
    """
    if modality not in PROJECTION_MODALITIES:
        return False
    if view:
        return view in FRONTAL_VIEWS
    return len(orientation) == 2 and orientation[0][:1] in ("L", "R") and orientation[1][:1] in ("F", "H")


def orientation_of(dataset: Dataset) -> tuple[str, ...]:
    """Return Patient Orientation as a tuple of codes, empty where it is not given."""
    value = dataset.get("PatientOrientation")
    return tuple(str(item) for item in value) if isinstance(value, MultiValue) else ()
