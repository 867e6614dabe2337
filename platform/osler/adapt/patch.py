"""The record of every change at a site: named, dated, diffable, revocable; stored weights never change."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from osler.bottleneck.pipeline import Pipeline
from osler.bottleneck.records import Array, BoolArray, ConceptState
from osler.files import write_atomically
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

FORMAT = "osler-site-patch/1"
STATUSES = ("proposed", "active", "revoked")


def patch_invalid(message: str, mend: str = "Fit the patch again with `osler adapt`.") -> OslerError:
    """Return the error for a patch that cannot be used."""
    return OslerError(Code.PATCH_INVALID, message, mend)


def transform(
    values: Array,
    *,
    mask: BoolArray,
    gain: Array,
    neutral: Array,
    shift: Array | float = 0.0,
    blend: float = 1.0,
    value_range: tuple[float, float] | None = None,
) -> Array:
    """Return patched values (..., C): `(1-t) a + t a'`.

    `a'` is the neutral value where masked, else `neutral + gain (a + shift - neutral)`, clipped to the range of values.
    """
    moved = neutral + gain * (values + shift - neutral)
    if value_range is not None:
        moved = np.clip(moved, *value_range)
    return np.asarray((1 - blend) * values + blend * np.where(mask, neutral, moved))


@dataclass(frozen=True)
class ConceptDelta:
    """What a patch does to one concept.

    Attributes:
        neutral: Value that says nothing: the mean of the source.
        mask: Whether the concept is held at the neutral value.
        gain: Factor on the distance from the neutral value, at least 1.
        shift: Added before.
        sentence: Why, for review.
    """

    neutral: float
    mask: bool = False
    gain: float = 1.0
    shift: float = 0.0
    sentence: str = ""

    def __str__(self) -> str:
        """Say what is done, briefly."""
        what = "masked" if self.mask else f"gain {self.gain:.3g}"
        return what + (f", shift {self.shift:+.3g}" if self.shift else "")


@dataclass(frozen=True)
class GuardOutcome:
    """What one guard measured without and with the patch, and whether it let the patch pass."""

    name: str
    passed: bool
    before: float
    after: float
    sentence: str


@dataclass(frozen=True)
class SitePatch:
    """A change to concept values at one site.

    Attributes:
        site: The site where it holds, and the only one.
        model: Digest of the pipeline that it was fitted to.
        bank: Digest of that pipeline's bank.
        adapter: Name of the adapter.
        settings: Its settings.
        deltas: What is done, by concept.
        blend: How much of it is applied, in [0, 1].
        value_range: Range of concept values, or None.
        shots: Number of support studies by class.
        support: SHA-256 of the support studies' sorted pseudonymous UIDs.
        created: ISO date.
        reason: One sentence: what was changed, or why nothing was.
        guards: What the guards measured.
        status: `proposed`, `active` or `revoked`.
        history: Date, status and note of each change of status.
    """

    site: str
    model: str
    bank: str
    adapter: str
    created: str
    reason: str
    settings: dict[str, Any] = field(default_factory=dict)
    deltas: dict[str, ConceptDelta] = field(default_factory=dict)
    blend: float = 1.0
    value_range: tuple[float, float] | None = None
    shots: dict[str, int] = field(default_factory=dict)
    support: str = ""
    guards: tuple[GuardOutcome, ...] = ()
    status: str = "proposed"
    history: tuple[tuple[str, str, str], ...] = ()

    def __post_init__(self) -> None:
        numbers = [number for delta in self.deltas.values() for number in (delta.neutral, delta.gain, delta.shift)]
        if self.status not in STATUSES or not 0 <= self.blend <= 1 or not np.isfinite(numbers).all():
            raise patch_invalid(f"The patch for site {self.site!r} has a status, a blend or a number out of range.")

    @property
    def id(self) -> str:
        """Name of the patch: the start of a SHA-256 over all but its status and history."""
        record = {name: value for name, value in asdict(self).items() if name not in ("status", "history")}
        return hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()[:12]

    @property
    def masked(self) -> tuple[str, ...]:
        """Concepts that are ignored at the site."""
        return tuple(sorted(one for one, delta in self.deltas.items() if delta.mask))

    @property
    def amplified(self) -> tuple[str, ...]:
        """Concepts that weigh more at the site."""
        return tuple(sorted(one for one, delta in self.deltas.items() if not delta.mask and delta.gain > 1))

    @property
    def edits(self) -> tuple[str, ...]:
        """One reviewable sentence for each concept that is changed."""
        return tuple(self.deltas[one].sentence for one in sorted(self.deltas))

    @property
    def changes_nothing(self) -> bool:
        """Whether the adapter decided to leave the site as it is."""
        return not self.deltas or self.blend == 0

    def apply_state(self, state: ConceptState, site: str | None) -> ConceptState:
        """Return the state as the head should see it at the patch's site; the very same state anywhere else."""
        if site != self.site or self.changes_nothing:
            return state
        places = [place for place, one in enumerate(state.ids) if one in self.deltas]
        deltas = [self.deltas[state.ids[place]] for place in places]
        value = state.value.copy()
        value[:, :, places, 0] = transform(
            value[:, :, places, 0],
            mask=np.array([delta.mask for delta in deltas]),
            gain=np.array([delta.gain for delta in deltas]),
            neutral=np.array([delta.neutral for delta in deltas]),
            shift=np.array([delta.shift for delta in deltas]),
            blend=self.blend,
            value_range=self.value_range,
        )
        return replace(state, value=value)

    def apply(self, pipeline: Pipeline) -> Pipeline:
        """Return the pipeline with this patch for its site; the pipeline given stays as it is.

        Raises:
            OslerError: `patch-invalid` where the patch was fitted to another model or was revoked.
        """
        if self.model != pipeline.digest:
            raise patch_invalid(f"The patch {self.id} belongs to model {self.model[:12]}, not {pipeline.digest[:12]}.")
        if self.status == "revoked":
            raise patch_invalid(f"The patch {self.id} was revoked.")
        return pipeline.with_patch(self)

    def with_status(self, status: str, date: str, note: str = "") -> SitePatch:
        """Return the patch in another state, with the change in its history."""
        return replace(self, status=status, history=(*self.history, (date, status, note)))

    def diff(self, other: SitePatch) -> list[str]:
        """Return what differs, one line each, from this patch to `other`; dates and guards aside."""
        lines = [
            f"{name}: {getattr(self, name)} -> {getattr(other, name)}"
            for name in ("site", "model", "adapter", "settings", "blend", "shots", "status")
            if getattr(self, name) != getattr(other, name)
        ]
        for one in sorted(self.deltas.keys() | other.deltas.keys()):
            before, after = self.deltas.get(one), other.deltas.get(one)
            if before != after:
                lines.append(f"{one}: {before or 'unchanged'} -> {after or 'unchanged'}")
        return lines

    def to_json(self) -> str:
        """Return canonical JSON."""
        return json.dumps({"format": FORMAT, "id": self.id, **asdict(self)}, indent=1, sort_keys=True) + "\n"

    @classmethod
    def from_json(cls, text: str) -> SitePatch:
        """Read a patch.

        Raises:
            OslerError: `patch-invalid` where the text is no patch or was edited after it was made.
        """
        try:
            record = json.loads(text)
            form, identity = record.pop("format"), record.pop("id")
            patch = cls(**_typed(record))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise patch_invalid(f"The text is not a site patch ({type(error).__name__}).") from error
        if form != FORMAT or patch.id != identity:
            raise patch_invalid(f"The patch {identity} is of another format or was edited by hand.")
        return patch

    def save(self, path: Path) -> None:
        """Write the patch, whole or not at all."""
        write_atomically(path, self.to_json().encode())

    @classmethod
    def load(cls, path: Path) -> SitePatch:
        """Read the patch at `path`; see `from_json`."""
        try:
            return cls.from_json(path.read_text(encoding="utf-8"))
        except OslerError as error:
            raise patch_invalid(f"{path.name}: {error.message}", "Move the file away, or restore it.") from error


def _typed(record: dict[str, Any]) -> dict[str, Any]:
    value_range = record["value_range"]
    return record | {
        "deltas": {one: ConceptDelta(**delta) for one, delta in record["deltas"].items()},
        "guards": tuple(GuardOutcome(**guard) for guard in record["guards"]),
        "history": tuple(tuple(entry) for entry in record["history"]),
        "value_range": None if value_range is None else tuple(value_range),
    }


def support_digest(study_uids: Sequence[str]) -> str:
    """Return the SHA-256 that names a support set whatever the order of its studies."""
    return hashlib.sha256("\n".join(sorted(study_uids)).encode()).hexdigest()


def count_shots(y: Sequence[int], classes: Sequence[str]) -> dict[str, int]:
    """Return the number of support studies of each class."""
    counts: Mapping[int, int] = dict(zip(*np.unique(np.asarray(y), return_counts=True), strict=True))
    return {name: int(counts.get(number, 0)) for number, name in enumerate(classes)}
