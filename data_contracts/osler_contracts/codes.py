"""Stable codes of refusals and errors: scripts may rely on them, so a code is never renamed or reused."""

from __future__ import annotations

from enum import StrEnum


class Code(StrEnum):
    """Every code that Osler answers with, each with one meaning."""

    # Files that do not enter
    ABSURD_SIZE = "absurd-size"
    BURNED_IN_TEXT = "burned-in-text"
    CONFLICTING_DUPLICATE = "conflicting-duplicate"
    DECODER_MISSING = "decoder-missing"
    DUPLICATE = "duplicate"
    FUTURE_DATE = "future-date"
    HEADER_INVALID = "header-invalid"
    IDENTIFIER_IN_PRIVATE_TAG = "identifier-in-private-tag"
    IMAGE_INVALID = "image-invalid"
    IMAGE_MISSING = "image-missing"
    NO_PIXELS = "no-pixels"
    NOT_DICOM = "not-dicom"
    PATH_OUTSIDE = "path-outside"
    PIXEL_FORMAT_INVALID = "pixel-format-invalid"
    PIXELS_UNDECODABLE = "pixels-undecodable"
    TRUNCATED = "truncated"
    UID_INVALID = "uid-invalid"
    UNREADABLE = "unreadable"
    WRONG_BODY_PART = "wrong-body-part"
    WRONG_MODALITY = "wrong-modality"
    WRONG_SOP_CLASS = "wrong-sop-class"

    # Files that enter with a warning
    AGE_INVALID = "age-invalid"
    BURNED_IN_UNKNOWN = "burned-in-unknown"
    DATE_INVALID = "date-invalid"
    IMPLAUSIBLE_AGE = "implausible-age"
    LATERALITY_INVALID = "laterality-invalid"
    ORIENTATION_UNKNOWN = "orientation-unknown"
    SPACING_UNKNOWN = "spacing-unknown"
    VIEW_UNKNOWN = "view-unknown"

    # Commands that cannot go on
    BANK_INVALID = "bank-invalid"
    CONTRACT_INVALID = "contract-invalid"
    CORPUS_INVALID = "corpus-invalid"
    DISK_FULL = "disk-full"
    EMPTY_SOURCE = "empty-source"
    INPUT_RANGE = "input-range"
    INTERNAL = "internal"
    KEY_INVALID = "key-invalid"
    MODEL_HASH_MISMATCH = "model-hash-mismatch"
    MODEL_INVALID = "model-invalid"
    NOTHING_ELIGIBLE = "nothing-eligible"
    PART_MISSING = "part-missing"
    PATCH_INVALID = "patch-invalid"
    PATIENT_OVERLAP = "patient-overlap"
    SOURCE_MISSING = "source-missing"
    STOPPED = "stopped"
    SUPPORT_INSUFFICIENT = "support-insufficient"
    TABLE_INVALID = "table-invalid"
    UNKNOWN_CONCEPT = "unknown-concept"
    UNKNOWN_CONTRACT = "unknown-contract"
    UNKNOWN_FILE = "unknown-file"
    UNKNOWN_STUDY = "unknown-study"
    USAGE = "usage"
    WORKSPACE_INVALID = "workspace-invalid"
    WORKSPACE_OCCUPIED = "workspace-occupied"
