"""The way from a hospital's own identifier to pseudonymous studies: through the crosswalk, audited, and nowhere else."""

from __future__ import annotations

import os
from pathlib import Path

from osler.access import Action
from osler.deid.crosswalk import Crosswalk, open_crosswalk
from osler_dashboard import services, session
from osler_dashboard.settings import CROSSWALK_VARIABLE


def crosswalk(*, create: bool = False) -> Crosswalk | None:
    """Return the crosswalk of this installation, None where it has none: nobody can be identified then.

    Args:
        create: Make its file where it is not there yet.

    Raises:
        OslerError: `crosswalk-invalid`, `key-invalid`.
    """
    named = os.environ.get(CROSSWALK_VARIABLE)
    return open_crosswalk(Path(named), services.workspace(), create=create) if named else None


def find(identifier: str, reason: str) -> list[str]:
    """Return the studies that an identifier leads to, in the order of their arrival.

    Args:
        identifier: A patient ID gives all studies of the patient, an accession number that one study.
        reason: Why the patient is looked up; kept in the audit log.

    Raises:
        OslerError: `not-allowed`, `session-expired`; as `osler.deid.crosswalk.Crosswalk.find`.
    """
    who = session.require(Action.LOOK_UP_PATIENT)
    held = crosswalk()
    links = held.find(identifier, actor=who.name, reason=reason) if held is not None else []
    patients = {link.pseudonym for link in links if link.kind == "patient"}
    studies = {link.pseudonym for link in links if link.kind == "study"}
    return [uid for uid, record in services.studies().records.items() if uid in studies or record.patient in patients]
