"""The record of a calibration at a site: what it holds for, since when, until when; nothing of it changes the model."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Any

from osler.bottleneck.calibration import Calibration
from osler.calibrate.conformal import ConformalSets, Reached
from osler.files import write_atomically
from osler.seals import SealError, opened, written
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

FORMAT, FORMER = "osler-site-calibration/2", "osler-site-calibration/1"  # the former has no seal
STATUSES = ("active", "revoked")


def calibration_invalid(message: str, mend: str = "Calibrate again with `osler calibrate`.") -> OslerError:
    """Return the error for a calibration that cannot be used."""
    return OslerError(Code.CALIBRATION_INVALID, message, mend)


@dataclass(frozen=True)
class SiteCalibration:
    """What labelled studies of a site say of a model's probabilities there.

    Attributes:
        site: The site.
        model: Digest of the model.
        bank: Digest of its concept bank.
        patch: Name of the patch in force when it was made, None where there was none.
        label: Name of the archive's label that holds the class.
        temperature: Logits are divided by it.
        operating_points: Calibrated probability from which a class is called, by class.
        sensitivity: Share of a class that its operating point is to call.
        sets: How prediction sets are made, None where there are too few studies.
        without_sets: Why there are none.
        studies: Number of calibration studies of each class; one study a patient.
        digest: SHA-256 of their sorted pseudonymous UIDs.
        set_aside: Studies left aside since their patients are in the support of the patch.
        before: Cross-entropy and error before calibration, see `after`.
        after: The same with the temperature, on the same studies.
        author: Who made it, or empty.
        created: ISO date.
        expires: ISO date of the last day on which it holds.
        status: `active` or `revoked`.
        history: Date, status and note of each change of status.
    """

    site: str
    model: str
    bank: str
    patch: str | None
    label: str
    temperature: float
    created: str
    expires: str
    operating_points: dict[str, float] = field(default_factory=dict)
    sensitivity: float | None = None
    sets: ConformalSets | None = None
    without_sets: str = ""
    studies: dict[str, int] = field(default_factory=dict)
    digest: str = ""
    set_aside: int = 0
    before: dict[str, float] = field(default_factory=dict)
    after: dict[str, float] = field(default_factory=dict)
    author: str = ""
    status: str = "active"
    history: tuple[tuple[str, str, str], ...] = ()

    def __post_init__(self) -> None:
        thresholds = () if self.sets is None else tuple(self.sets.thresholds.values())
        shares = (*self.operating_points.values(), *thresholds)
        if self.status not in STATUSES or not self.temperature > 0 or not all(0 <= x <= 1 for x in shares):
            raise calibration_invalid(f"The calibration of site {self.site!r} has figures out of range.")
        for day in (self.created, self.expires):
            _require_date(day)

    @property
    def id(self) -> str:
        """Name of the calibration: the start of a SHA-256 over all but its status and history."""
        record = {name: value for name, value in asdict(self).items() if name not in ("status", "history")}
        return hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()[:12]

    @property
    def count(self) -> int:
        """Number of calibration studies."""
        return sum(self.studies.values())

    @property
    def calibration(self) -> Calibration:
        """The same as a model holds one, with temperature and operating points."""
        return Calibration(self.temperature, self.site, self.created, self.count, dict(self.operating_points))

    def expired(self, on: str | None = None) -> bool:
        """Whether its last day lies before a day, today where none is named."""
        return self.expires < (on or date.today().isoformat())

    def why_not(self, *, site: str | None, model: str, patch: str | None, on: str | None = None) -> str:
        """Return why it does not hold for a study of a site under a model and a patch, empty where it does."""
        if site != self.site:
            return f"The calibration {self.id} is of site {self.site!r}, not {site!r}."
        if model != self.model:
            return f"The calibration {self.id} of site {site!r} was made for another model, {self.model[:12]}."
        if self.status == "revoked":
            return f"The calibration {self.id} of site {site!r} was revoked."
        if patch != self.patch:
            return (
                f"The calibration {self.id} of site {site!r} was made {_under(self.patch)}; "
                f"the site now works {_under(patch)}."
            )
        if self.expired(on):
            return f"The calibration {self.id} of site {site!r} held until {self.expires}."
        return ""

    def require_for(self, *, site: str | None, model: str, patch: str | None, on: str | None = None) -> None:
        """Refuse to calibrate what it was not made for.

        Raises:
            OslerError: `calibration-invalid`.
        """
        if reason := self.why_not(site=site, model=model, patch=patch, on=on):
            raise calibration_invalid(reason)

    def with_status(self, status: str, on: str, note: str = "") -> SiteCalibration:
        """Return the calibration in another state, with the change in its history."""
        return replace(self, status=status, history=(*self.history, (on, status, note)))

    def to_json(self) -> str:
        """Return canonical JSON."""
        return written({"format": FORMAT, "id": self.id, **asdict(self)}).decode()

    @classmethod
    def from_json(cls, text: str) -> SiteCalibration:
        """Read a calibration.

        Raises:
            OslerError: `calibration-invalid` where the text is none or was edited after it was made.
        """
        try:
            record = opened(text.encode(), FORMAT, FORMER)
            record.pop("format")
            identity = record.pop("id")
            found = cls(**_typed(record))
        except SealError as error:
            raise calibration_invalid("The calibration was edited after it was made.") from error
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise calibration_invalid(f"The text is not a site calibration ({type(error).__name__}).") from error
        if found.id != identity:
            raise calibration_invalid(f"The calibration {identity} was edited by hand.")
        return found

    def save(self, path: Path) -> None:
        """Write the calibration, whole or not at all."""
        write_atomically(path, self.to_json().encode())

    @classmethod
    def load(cls, path: Path) -> SiteCalibration:
        """Read the calibration at `path`; see `from_json`."""
        try:
            return cls.from_json(path.read_text(encoding="utf-8"))
        except (OslerError, UnicodeDecodeError) as error:
            message = error.message if isinstance(error, OslerError) else "not text"
            raise calibration_invalid(f"{path.name}: {message}", "Move the file away, or restore it.") from error


def _typed(record: Mapping[str, Any]) -> dict[str, Any]:
    sets = record["sets"]
    if sets is not None:
        sets = ConformalSets(**{**sets, "reached": tuple(Reached(**one) for one in sets["reached"])})
    return {**record, "sets": sets, "history": tuple(tuple(entry) for entry in record["history"])}


def _under(patch: str | None) -> str:
    return "without a patch" if patch is None else f"under patch {patch}"


def _require_date(day: str) -> None:
    try:
        date.fromisoformat(day)
    except (TypeError, ValueError) as error:
        raise calibration_invalid(f"The calibration bears {day!r}, which is no date.") from error
