"""Reference profiles and the latest reports of a workspace, a folder for each site."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from osler.files import write_atomically
from osler_contracts.codes import Code
from osler_contracts.drift.reference import Profile
from osler_contracts.drift.report import DriftReport
from osler_contracts.errors import OslerError

REFERENCE, LATEST = "reference.json", "latest.json"


@dataclass(frozen=True)
class Checked:
    """A report as it was kept.

    Attributes:
        when: ISO 8601 in UTC.
        report: The report.
        through: Position of the last arrival that it has seen, see `osler.drift.arrived`.
    """

    when: str
    report: DriftReport
    through: int


@dataclass(frozen=True)
class DriftStore:
    """What is kept of a site's drift below a folder, such as `workspace.drift`."""

    folder: Path

    def keep_profile(self, profile: Profile) -> Path:
        """Put a profile in force; the ones before stay beside it under their hashes."""
        own = self._own(profile.site)
        content = profile.to_json().encode()
        write_atomically(own / f"reference-{profile.sha256[:12]}.json", content)
        write_atomically(own / REFERENCE, content)
        (own / LATEST).unlink(missing_ok=True)  # it speaks of another reference
        return own / REFERENCE

    def profile(self, site: str) -> Profile:
        """Return the profile in force at a site.

        Raises:
            OslerError: `profile-missing`, or `profile-invalid` where it was changed.
        """
        path = self._own(site) / REFERENCE
        if not path.is_file():
            raise OslerError(
                Code.PROFILE_MISSING,
                f"There is no reference profile of {site}.",
                f"Make one with `osler drift profile --site {site}`.",
            )
        return Profile.from_json(path.read_text(encoding="utf-8", errors="replace"))

    def has_profile(self, site: str) -> bool:
        """Return whether a site has a profile."""
        return (self._own(site) / REFERENCE).is_file()

    def keep_report(self, checked: Checked) -> None:
        """Keep a report as the site's latest."""
        record = {"when": checked.when, "through": checked.through, "report": checked.report.to_dict()}
        content = json.dumps(record, indent=1, sort_keys=True).encode()
        write_atomically(self._own(checked.report.site) / LATEST, content)

    def latest(self, site: str) -> Checked | None:
        """Return the latest report of a site, None where there is none or it cannot be read."""
        try:
            text = (self._own(site) / LATEST).read_text(encoding="utf-8")
            record: Mapping[str, Any] = json.loads(text)
            return Checked(record["when"], DriftReport.from_dict(record["report"]), int(record["through"]))
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def _own(self, site: str) -> Path:
        return site_folder(self.folder, site)


def site_folder(folder: Path, site: str) -> Path:
    """Return the folder of a site below another: what its name allows in a path, told apart by a hash."""
    plain = "".join(letter if letter.isalnum() and letter.isascii() else "_" for letter in site)[:40]
    return folder / f"{plain}-{hashlib.sha256(site.encode()).hexdigest()[:8]}"
