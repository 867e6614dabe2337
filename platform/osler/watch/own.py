"""Which objects of a study are our own: a report that comes back through the feed is no news."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from osler.report.identity import Identity
from osler.sources.studies import Listed

KINDS = ("SR", "PR", "SC")


def own_series(study: str, device: str) -> frozenset[str]:
    """Return the UIDs of the series in which this installation stores what it says of a study.

    Args:
        study: Study Instance UID as the PACS has it.
        device: UID of this installation.
    """
    identity = Identity(True, study)
    return frozenset(identity.uid("series", kind, device) for kind in KINDS)


def digest_of(instances: Iterable[Listed]) -> str:
    """Return a digest of instances, whatever their order."""
    return hashlib.sha256("\n".join(sorted(one.name for one in instances)).encode()).hexdigest()
