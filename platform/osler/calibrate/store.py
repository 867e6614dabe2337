"""The calibrations of a workspace: one JSON file each, at most one active for a site, a model and a patch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from osler.calibrate.record import SiteCalibration, calibration_invalid


@dataclass(frozen=True)
class CalibrationStore:
    """Calibrations in a folder, such as `workspace.calibrations`."""

    folder: Path

    def all(self) -> list[SiteCalibration]:
        """Return every calibration by site, date and name."""
        found = [SiteCalibration.load(path) for path in self.folder.glob("*.json")]
        return sorted(found, key=lambda one: (one.site, one.created, one.id))

    def get(self, start: str) -> SiteCalibration:
        """Return the calibration whose name starts so.

        Raises:
            OslerError: `calibration-invalid` where none or several do.
        """
        found = [one for one in self.all() if one.id.startswith(start)] if start else []
        if len(found) != 1:
            raise calibration_invalid(
                f"{len(found) or 'No'} calibrations are named {start!r}.",
                "See their names with `osler calibrate --list`.",
            )
        return found[0]

    def in_force(
        self, site: str, model: str, patch: str | None, on: str | None = None
    ) -> tuple[SiteCalibration | None, tuple[str, ...]]:
        """Return the calibration that holds at a site for a model's digest and a patch's name, on a day (default: today).

        Returns:
            The calibration, and where there is none why the latest active one does not hold; no reason where the site has
            no active calibration at all.
        """
        active = [one for one in self.all() if one.site == site and one.status == "active"]
        reasons = [one.why_not(site=site, model=model, patch=patch, on=on) for one in active]
        for one, reason in zip(active, reasons, strict=True):
            if not reason:
                return one, ()
        # Of several the one that comes nearest speaks: same model, then same patch, then the latest.
        near = [(one.model == model, one.patch == patch, one.created, one.id) for one in active]
        return None, tuple(reasons[place] for place in ([near.index(max(near))] if near else []))

    def activate(self, fresh: SiteCalibration, on: str) -> SiteCalibration:
        """Keep a calibration and put it in force; the one of the same site, model and patch is revoked first."""
        for one in self.all():
            same = (one.site, one.model, one.patch) == (fresh.site, fresh.model, fresh.patch)
            if same and one.status == "active" and one.id != fresh.id:
                self.save(one.with_status("revoked", on, f"superseded by {fresh.id}"))
        active = fresh.with_status("active", on)
        self.save(active)
        return active

    def revoke(self, one: SiteCalibration, on: str, note: str = "") -> SiteCalibration:
        """Take a calibration out of force; it is kept."""
        revoked = one if one.status == "revoked" else one.with_status("revoked", on, note)
        self.save(revoked)
        return revoked

    def save(self, one: SiteCalibration) -> Path:
        """Write a calibration under its name."""
        path = self.folder / f"{one.id}.json"
        one.save(path)
        return path
