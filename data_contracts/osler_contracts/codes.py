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
    IMPLAUSIBLE_AGE = "implausible-age"
    NO_PIXELS = "no-pixels"
    NOT_DICOM = "not-dicom"
    PIXELS_UNDECODABLE = "pixels-undecodable"
    TRUNCATED = "truncated"
    UNREADABLE = "unreadable"
    WRONG_MODALITY = "wrong-modality"

    # Commands that cannot go on
    BANK_INVALID = "bank-invalid"
    CONTRACT_INVALID = "contract-invalid"
    DISK_FULL = "disk-full"
    EMPTY_SOURCE = "empty-source"
    INTERNAL = "internal"
    MODEL_HASH_MISMATCH = "model-hash-mismatch"
    MODEL_INVALID = "model-invalid"
    NOTHING_ELIGIBLE = "nothing-eligible"
    PART_MISSING = "part-missing"
    PATCH_INVALID = "patch-invalid"
    SOURCE_MISSING = "source-missing"
    SUPPORT_INSUFFICIENT = "support-insufficient"
    TABLE_INVALID = "table-invalid"
    UNKNOWN_CONCEPT = "unknown-concept"
    UNKNOWN_STUDY = "unknown-study"
    USAGE = "usage"
    WORKSPACE_INVALID = "workspace-invalid"
    WORKSPACE_OCCUPIED = "workspace-occupied"
