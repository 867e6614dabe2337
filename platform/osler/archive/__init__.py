"""The archive: de-identified files, the index of studies, the quarantine."""

from osler.archive.records import InstanceRecord, IntakeRecord, Outcome, StudyRecord
from osler.archive.store import Archive

__all__ = ["Archive", "InstanceRecord", "IntakeRecord", "Outcome", "StudyRecord"]
