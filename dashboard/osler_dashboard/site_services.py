"""What the site page asks of the floors below: files held back, a person's decision on one, and the state of the parts."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from osler.access import Action
from osler.archive.quarantine import Quarantine, Reason
from osler.deid.key import load_key
from osler.doctor import Check, examine
from osler.ingest.release import Decision, discard, release
from osler.ingest.second_look import Terms
from osler_dashboard import services, session
from osler_dashboard.patient_services import crosswalk


def held_back(site: str) -> list[Reason]:
    """Return the files of a site that did not enter, those that a person may release first, then the newest.

    Raises:
        OslerError: `workspace-invalid` where a reason cannot be read.
    """
    found = [one for one in Quarantine(services.workspace().quarantine) if one.site == site]
    return sorted(sorted(found, key=lambda one: one.last_seen, reverse=True), key=lambda one: not one.releasable)


def let_in(file: Reason, why: str) -> Decision:
    """Release a file; it takes the same way in as any other, and stays where something graver speaks against it.

    Raises:
        OslerError: `not-allowed`, `session-expired`; as `osler.ingest.release.release`; `key-invalid`.
    """
    who = session.require(Action.RELEASE)
    opened = services.workspace()
    terms = Terms(load_key(workspace=opened.root), workers=1, crosswalk=crosswalk(create=True))
    return release(opened, file.sha256, actor=who.name, reason=why, terms=terms)


def throw_away(file: Reason, why: str) -> Decision:
    """Delete a file that was held back, for good.

    Raises:
        OslerError: `not-allowed`, `session-expired`; as `osler.ingest.release.discard`.
    """
    who = session.require(Action.RELEASE)
    return discard(services.workspace(), file.sha256, actor=who.name, reason=why)


def checks() -> list[Check]:
    """Return how each part of the installation is, as `osler doctor` finds it; kept for a minute.

    Raises:
        OslerError: `not-allowed`, `session-expired`.
    """
    session.require(Action.EXAMINE)
    return _checks(services.workspace().root)


@st.cache_resource(max_entries=2, ttl=60, show_spinner="Examining the installation")
def _checks(root: Path) -> list[Check]:
    return examine(root)
