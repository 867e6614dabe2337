"""Headers that the shipped contracts accept, for tests to spoil."""

from __future__ import annotations

import pytest

# What the floor above would pass in.
DECODABLE = ("1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.4.90")
UIDS = {
    "sop_instance_uid": "1.2.826.0.1.3680043.8.498.1",
    "study_instance_uid": "1.2.826.0.1.3680043.8.498.2",
    "series_instance_uid": "1.2.826.0.1.3680043.8.498.3",
    "transfer_syntax_uid": "1.2.840.10008.1.2.1",
}
DERIVED: dict[str, object] = {
    "pixel_data_present": True,
    "private_identifier": False,
}
CHEST: dict[str, object] = {
    **UIDS,
    **DERIVED,
    "sop_class_uid": "1.2.840.10008.5.1.4.1.1.1.1",
    "modality": "DX",
    "rows": 512,
    "columns": 400,
    "samples_per_pixel": 1,
    "photometric_interpretation": "MONOCHROME2",
    "bits_allocated": 16,
    "bits_stored": 12,
    "high_bit": 11,
    "pixel_representation": 0,
    "pixel_spacing": [0.4, 0.4],
    "body_part_examined": "CHEST",
    "view_position": "PA",
    "image_laterality": "U",
    "patient_orientation": ["L", "F"],
    "study_date": "20240131",
    "acquisition_date": "20240131",
    "content_date": "20240131",
    "series_date": "20240131",
    "patient_id": "A-0042",
    "patient_birth_date": "19890708",
    "specific_character_set": "ISO_IR 192",
    "patient_age": "034Y",
    "burned_in_annotation": "NO",
    "pixel_data_length": 409600,
    "pixel_length_expected": 409600,
    "decoded_length": 409600,
}
COLOUR: dict[str, object] = {
    **UIDS,
    **DERIVED,
    "rows": 360,
    "columns": 360,
    "samples_per_pixel": 3,
    "photometric_interpretation": "YBR_FULL_422",
    "bits_allocated": 8,
    "study_date": "20240131",
    "series_date": "20240131",
    "patient_id": "A-0042",
    "patient_birth_date": "19890708",
    "specific_character_set": "ISO_IR 192",
    "patient_age": "034Y",
    "burned_in_annotation": "NO",
    "decoded_length": 388800,
}
DERMOSCOPY = COLOUR | {"modality": "DMS", "sop_class_uid": "1.2.840.10008.5.1.4.1.1.77.1.7"}
MICROSCOPY = COLOUR | {"modality": "GM", "sop_class_uid": "1.2.840.10008.5.1.4.1.1.77.1.2"}
CT = COLOUR | {
    "modality": "CT",
    "sop_class_uid": "1.2.840.10008.5.1.4.1.1.2",
    "samples_per_pixel": 1,
    "photometric_interpretation": "MONOCHROME2",
}


@pytest.fixture(scope="session")
def chest_header() -> dict[str, object]:
    """Return the header of a digital chest radiograph; change a copy (`header | {...}`)."""
    return dict(CHEST)


@pytest.fixture(scope="session")
def good_headers() -> dict[str, dict[str, object]]:
    """Return, for each shipped contract, a header that it accepts without a warning."""
    return {"chest-radiograph": CHEST, "dermoscopy": DERMOSCOPY, "cell-microscopy": MICROSCOPY, "any-image": CT}


@pytest.fixture(scope="session")
def decodable() -> tuple[str, ...]:
    """Return the transfer syntaxes that count as decodable."""
    return DECODABLE
