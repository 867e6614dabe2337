"""The patches of a workspace: one JSON file each, at most one active for a model at a site."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from osler.adapt.patch import SitePatch, patch_invalid
from osler.files import file_stamp
from osler_contracts.errors import OslerError

_Patches = tuple[list[SitePatch], dict[str, OslerError]]


@dataclass(frozen=True)
class PatchStore:
    """Patches in a folder, such as `workspace.patches`."""

    folder: Path
    _held: dict[str, tuple[object, _Patches]] = field(default_factory=dict, repr=False, compare=False)

    def read(self) -> _Patches:
        """Return every patch by site, date and name, and why some files cannot be read, by file name.

        Each explanation asks several times: the files are read once for each state of them.
        """
        paths = sorted(self.folder.glob("*.json"))
        stamp = (paths, file_stamp(*paths))
        held = self._held.get("")
        if held is None or held[0] != stamp:
            held = self._held[""] = (stamp, self._read(paths))
        patches, unreadable = held[1]
        return list(patches), dict(unreadable)

    def _read(self, paths: list[Path]) -> _Patches:
        patches, unreadable = [], {}
        for path in paths:
            try:
                patches.append(SitePatch.load(path))
            except OslerError as error:
                unreadable[path.name] = error
        return sorted(patches, key=lambda patch: (patch.site, patch.created, patch.id)), unreadable

    def all(self) -> list[SitePatch]:
        """Return every patch by site, date and name.

        Raises:
            OslerError: `patch-invalid` where one cannot be read: it may be the one in force, and nobody may predict without it.
        """
        patches, unreadable = self.read()
        for error in unreadable.values():
            raise error
        return patches

    def get(self, start: str) -> SitePatch:
        """Return the patch whose name starts so.

        Raises:
            OslerError: `patch-invalid` where none or several do.
        """
        found = [patch for patch in self.all() if patch.id.startswith(start)] if start else []
        if len(found) != 1:
            raise patch_invalid(
                f"{len(found) or 'No'} patches are named {start!r}.", "See their names with `osler patch list`."
            )
        return found[0]

    def active(self, site: str, model: str, on: str | None = None) -> SitePatch | None:
        """Return the patch in force at a site for the model with this digest, on a day (default: today)."""
        for patch in self.all():
            if (patch.site, patch.model, patch.status) == (site, model, "active") and not patch.expired(on):
                return patch
        return None

    def save(self, patch: SitePatch) -> Path:
        """Write a patch under its name."""
        path = self.folder / f"{patch.id}.json"
        patch.save(path)
        return path

    def activate(self, patch: SitePatch, date: str, note: str = "") -> SitePatch:
        """Put a patch in force; the one that was in force for its model and site is revoked first.

        Raises:
            OslerError: `patch-invalid` where the patch changes nothing.
        """
        if patch.changes_nothing:
            raise patch_invalid(f"The patch {patch.id} changes nothing. {patch.reason}", "Nothing needs to be done.")
        patch.require_in_force(date)
        current = self.active(patch.site, patch.model, date)
        if current is not None and current.id == patch.id:
            return current
        if current is not None:
            self.save(current.with_status("revoked", date, f"superseded by {patch.id}"))
        active = patch.with_status("active", date, note)
        self.save(active)
        return active

    def revoke(self, patch: SitePatch, date: str, note: str = "") -> SitePatch:
        """Take a patch out of force; it is kept, and may be activated again."""
        revoked = patch if patch.status == "revoked" else patch.with_status("revoked", date, note)
        self.save(revoked)
        return revoked
