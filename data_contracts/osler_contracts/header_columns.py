"""The columns of the header table, apart from it: who reads files needs them, and no data frames."""

from __future__ import annotations

from collections.abc import Mapping

# Column to DICOM keyword (PS3.6), for values that are copied from the header. Several values are joined by a backslash.
KEYWORDS: Mapping[str, str] = {
    "sop_class_uid": "SOPClassUID",
    "sop_instance_uid": "SOPInstanceUID",
    "study_instance_uid": "StudyInstanceUID",
    "series_instance_uid": "SeriesInstanceUID",
    "transfer_syntax_uid": "TransferSyntaxUID",
    "specific_character_set": "SpecificCharacterSet",
    "modality": "Modality",
    "rows": "Rows",
    "columns": "Columns",
    "number_of_frames": "NumberOfFrames",
    "samples_per_pixel": "SamplesPerPixel",
    "photometric_interpretation": "PhotometricInterpretation",
    "bits_allocated": "BitsAllocated",
    "bits_stored": "BitsStored",
    "high_bit": "HighBit",
    "pixel_representation": "PixelRepresentation",
    "pixel_spacing": "PixelSpacing",
    "imager_pixel_spacing": "ImagerPixelSpacing",
    "body_part_examined": "BodyPartExamined",
    "view_position": "ViewPosition",
    "laterality": "Laterality",
    "image_laterality": "ImageLaterality",
    "patient_orientation": "PatientOrientation",
    "study_date": "StudyDate",
    "series_date": "SeriesDate",
    "acquisition_date": "AcquisitionDate",
    "content_date": "ContentDate",
    "patient_id": "PatientID",
    "patient_age": "PatientAge",
    "patient_birth_date": "PatientBirthDate",
    "burned_in_annotation": "BurnedInAnnotation",
    "presentation_intent_type": "PresentationIntentType",
    "lossy_image_compression": "LossyImageCompression",
}

# What the reader works out about a file. Flags are YES or NO, lengths are bytes.
DERIVED: Mapping[str, str] = {
    "pixel_data_present": "YES where the file holds pixel data, integer or float",
    "pixel_data_length": "length of the pixel data found in the file; null where it is compressed",
    "pixel_length_expected": "length that the header promises; null where the pixel data is compressed",
    "decoded_length": "length of all frames once decoded, compressed or not",
    "private_identifier": "YES where a private element repeats the patient's name, number or birth date",
    "content_sha256": "hash of the object; where the reader left it out, copies cannot be told from conflicts",
}

# Columns that may tell who the patient is: rules compare them, and nothing else may keep or show them.
IDENTIFYING = frozenset(
    {"sop_instance_uid", "study_instance_uid", "series_instance_uid", "patient_id", "patient_birth_date"}
    | {"study_date", "series_date", "acquisition_date", "content_date", "content_sha256"}
)

# Values that exports through floating point print as 16.0.
INTEGERS = frozenset(
    {"rows", "columns", "number_of_frames", "samples_per_pixel", "bits_allocated", "bits_stored", "high_bit"}
    | {"pixel_representation", "pixel_data_length", "pixel_length_expected", "decoded_length"}
)

COLUMNS: tuple[str, ...] = (*KEYWORDS, *DERIVED)
