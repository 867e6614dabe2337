"""One source of randomness for each purpose, so that changing one thing about a study leaves the rest of it alone."""

from __future__ import annotations

import hashlib
import uuid

import numpy as np

from osler_training.phantom.plan import StudyPlan
from osler_training.phantom.sites import SiteProfile

_NAMESPACE = uuid.UUID("4f3d7a0e-6c55-5b7b-9c1a-2f8c5f0f1d11")


def stream(plan: StudyPlan, site: SiteProfile, purpose: str, *, whole_patient: bool = False) -> np.random.Generator:
    """Return the source of randomness of one purpose of a study, or of a patient's whole history."""
    digest = hashlib.sha256("\0".join(_key(plan, site, purpose, whole_patient)).encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:16], "big"))


def uid(plan: StudyPlan, site: SiteProfile, purpose: str) -> str:
    """Return the UID of one object of a study (PS3.5 B.2)."""
    return f"2.25.{uuid.uuid5(_NAMESPACE, chr(0).join(_key(plan, site, purpose, False))).int}"


def _key(plan: StudyPlan, site: SiteProfile, purpose: str, whole_patient: bool) -> list[str]:
    return [site.name, str(plan.seed), str(plan.patient), "all" if whole_patient else str(plan.visit), purpose]
