"""The record of every change at a site: named, dated, diffable, revocable; stored weights never change."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from osler.adapt.changes import ConceptDelta, HeadChange, SiteCorrection, require_finite, transform
from osler.adapt.feature_changes import ProjectionChange, ResidualConcepts
from osler.bottleneck.pipeline import Pipeline
from osler.bottleneck.records import Array, ConceptState, Features, Output
from osler.files import write_atomically
from osler.seals import SealError, opened, written
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

FORMAT, FORMER = "osler-site-patch/3", "osler-site-patch/2"  # the former has no seal
STATUSES = ("proposed", "active", "revoked")
OPTIONAL = ("projection", "residual")  # read features; few patches have them


def patch_invalid(message: str, mend: str = "Fit the patch again with `osler adapt`.") -> OslerError:
    """Return the error for a patch that cannot be used."""
    return OslerError(Code.PATCH_INVALID, message, mend)


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
    """A change at one site: to its images or features, to concept values, to the head, or to several of them.

    Attributes:
        site: The site where it holds, and the only one.
        model: Digest of the pipeline that it was fitted to.
        bank: Digest of that pipeline's bank.
        adapter: Name of the adapter.
        settings: Its settings.
        deltas: What is done, by concept.
        blend: How much of that is applied, in [0, 1].
        value_range: Range of concept values, or None.
        corrections: Label-free corrections of images and features, in this order.
        head: What is added to the head, or None.
        projection: What is added to the vectors by which concepts are scored, or None; it comes before `deltas`.
        residual: Directions of the features that conclude beside the concepts, or None.
        author: Who fitted it, or empty.
        expires: ISO date of the last day on which it holds, or None.
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
    corrections: tuple[SiteCorrection, ...] = ()
    head: HeadChange | None = None
    author: str = ""
    expires: str | None = None
    shots: dict[str, int] = field(default_factory=dict)
    support: str = ""
    guards: tuple[GuardOutcome, ...] = ()
    status: str = "proposed"
    history: tuple[tuple[str, str, str], ...] = ()
    projection: ProjectionChange | None = None
    residual: ResidualConcepts | None = None

    def __post_init__(self) -> None:
        if self.status not in STATUSES or not 0 <= self.blend <= 1:
            raise patch_invalid(f"The patch for site {self.site!r} has a status or a blend out of range.")
        require_finite([number for delta in self.deltas.values() for number in delta.numbers], "concepts")
        if self.head is not None:
            require_finite(self.head.weights, "weights")
            require_finite(self.head.bias, "bias")
        for name, part in self._from_features().items():
            for numbers in part.values():
                require_finite(numbers, name)
        for day in (self.created, *([self.expires] if self.expires is not None else [])):
            _require_date(day)

    @cached_property
    def id(self) -> str:
        """Name of the patch: the start of a SHA-256 over all but its status and history."""
        record = {name: value for name, value in self._record().items() if name not in ("status", "history")}
        return hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()[:12]

    def _record(self) -> dict[str, Any]:
        # Patches that read no features keep the name that they had before there were others.
        held = asdict(self)
        return {name: held[name] for name in held if name not in OPTIONAL or held[name] is not None}

    def _from_features(self) -> dict[str, dict[str, Any]]:
        """Return the numbers of what is computed from features, by name."""
        found: dict[str, dict[str, Any]] = {}
        if self.projection is not None:
            found["projection"] = {"weights": self.projection.weights, "bias": self.projection.bias}
        if self.residual is not None:
            one = self.residual
            found["residual"] = {"directions": one.directions, "weights": one.weights, "bias": one.bias}
        return found

    @property
    def reads_features(self) -> bool:
        """Whether it looks at features beside concept values, so that values alone do not say what it concludes."""
        return self.projection is not None or self.residual is not None

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
        """One reviewable sentence for each concept that is changed, then for each change of the head."""
        concepts = tuple(self.deltas[one].sentence for one in sorted(self.deltas))
        parts = (self.projection, self.head, self.residual)
        return concepts + tuple(sentence for part in parts if part is not None for sentence in part.sentences)

    @property
    def changes_scorer(self) -> bool:
        """Whether it changes concept values."""
        return self._changes_values or self.projection is not None

    @property
    def _changes_values(self) -> bool:
        return bool(self.deltas) and self.blend > 0

    @property
    def changes_nothing(self) -> bool:
        """Whether the adapter decided to leave the site as it is."""
        return not self.kinds

    @property
    def kinds(self) -> tuple[str, ...]:
        """What it changes, of `preprocessing`, `scorer` and `head`."""
        changes = {
            "preprocessing": bool(self.corrections),
            "scorer": self.changes_scorer,
            "head": self.residual is not None or (self.head is not None and not self.head.changes_nothing),
        }
        return tuple(kind for kind, changed in changes.items() if changed)

    def holds(self, site: str | None) -> bool:
        """Whether it changes anything there."""
        return site == self.site and not self.changes_nothing

    def apply_images(self, images: Sequence[Array], site: str | None) -> Sequence[Array]:
        """Return the images as the encoder should see them at the patch's site; the very same anywhere else."""
        corrected: Sequence[Array] = self._corrected(images, "image", site)
        return corrected

    def apply_features(self, features: Features, site: str | None) -> Features:
        """Return the features as the scorer should see them at the patch's site; the very same anywhere else."""
        corrected: Features = self._corrected(features, "feature", site)
        return corrected

    def _corrected(self, batch: Any, stage: str, site: str | None) -> Any:
        if site == self.site and len(batch):
            for one in self.corrections:
                if one.stage == stage:
                    batch = one.match(batch)
        return batch

    def apply_state(self, state: ConceptState, site: str | None, features: Features | None = None) -> ConceptState:
        """Return the state as the head should see it at the patch's site; the very same state anywhere else.

        Args:
            state: What the scorer made of the features.
            site: Where they come from.
            features: They themselves; a patch that `reads_features` needs them.
        """
        if site != self.site:
            return state
        if self.projection is not None:
            state = self.projection.added(state, self._required(features))
        if not self._changes_values:
            return state
        places = [place for place, one in enumerate(state.ids) if one in self.deltas]
        deltas = [self.deltas[state.ids[place]] for place in places]
        value = state.value.copy()
        given = value[:, :, places, 0]
        mapped = np.stack([delta.mapped(given[:, :, c]) for c, delta in enumerate(deltas)], axis=2)
        if any(delta.knots for delta in deltas):
            mapped = (1 - self.blend) * given + self.blend * mapped
        value[:, :, places, 0] = transform(
            mapped,
            mask=np.array([delta.mask for delta in deltas]),
            gain=np.array([delta.gain for delta in deltas]),
            neutral=np.array([delta.neutral for delta in deltas]),
            shift=np.array([delta.shift for delta in deltas]),
            blend=self.blend,
            value_range=self.value_range,
        )
        return replace(state, value=value)

    def _required(self, features: Features | None) -> Features:
        if features is None:
            raise ValueError(f"The patch {self.id} reads features, and was given concept values alone")
        return features

    def apply_output(self, output: Output, site: str | None, features: Features | None = None) -> Output:
        """Return what the changed head concludes at the patch's site; the very same output anywhere else."""
        if site != self.site:
            return output
        if self.residual is not None:
            output = self.residual.added(output, self._required(features))
        if self.head is None:
            return output
        weights, bias = self.head.added(output.state.ids)
        # Beyond one step or one number a concept, a head is not linear in concepts, and none is changed.
        part = weights * output.state.static[:, None, :]
        contrib = None if output.contrib is None else output.contrib + part
        return replace(output, logits=output.logits + part.sum(axis=2) + bias, contrib=contrib)

    def apply_weights(self, weights: Array, ids: tuple[str, ...], site: str | None) -> Array:
        """Return the head's weights (K, C), in the order of `ids`, as they are at a site."""
        if site != self.site or self.head is None:
            return weights
        return np.asarray(weights + self.head.added(ids)[0])

    def apply(self, pipeline: Pipeline, *, on: str | None = None) -> Pipeline:
        """Return the pipeline with this patch for its site; the pipeline given stays as it is.

        Args:
            pipeline: The pipeline that it was fitted to.
            on: ISO date of the day (default: today).

        Raises:
            OslerError: `patch-invalid` where the patch was fitted to another model or bank, or was revoked; `patch-expired`.
        """
        self.require_of(pipeline, on=on)
        return pipeline.with_patch(self)

    def expired(self, on: str | None = None) -> bool:
        """Whether its last day lies before a day, today where none is named."""
        return self.expires is not None and self.expires < (on or date.today().isoformat())

    def require_of(self, pipeline: Pipeline, *, on: str | None = None) -> None:
        """Refuse to patch another model, or with a patch that is no longer in force; see `apply`."""
        if self.bank != pipeline.bank.digest:
            raise patch_invalid(
                f"The patch {self.id} was fitted with version {self.bank[:12]} of the concept bank, not "
                f"{pipeline.bank.digest[:12]}."
            )
        if self.model != pipeline.digest:
            raise patch_invalid(f"The patch {self.id} belongs to model {self.model[:12]}, not {pipeline.digest[:12]}.")
        if self.status == "revoked":
            raise patch_invalid(
                f"The patch {self.id} was revoked.", "Fit another with `osler adapt`, or apply it again."
            )
        self.require_in_force(on)

    def require_in_force(self, on: str | None = None) -> None:
        """Refuse a patch whose last day lies before a day (default: today).

        Raises:
            OslerError: `patch-expired`.
        """
        if self.expired(on):
            raise OslerError(
                Code.PATCH_EXPIRED,
                f"The patch {self.id} for site {self.site!r} held until {self.expires}.",
                "Fit a new one with `osler adapt`, on studies of today.",
            )

    def with_status(self, status: str, on: str, note: str = "") -> SitePatch:
        """Return the patch in another state, with the change in its history."""
        return replace(self, status=status, history=(*self.history, (on, status, note)))

    def diff(self, other: SitePatch) -> list[str]:
        """Return what differs, one line each, from this patch to `other`; dates and guards aside."""
        lines = [
            f"{name}: {getattr(self, name)} -> {getattr(other, name)}"
            for name in ("site", "model", "adapter", "settings", "blend", "shots", "expires", "status")
            if getattr(self, name) != getattr(other, name)
        ]
        for one in sorted(self.deltas.keys() | other.deltas.keys()):
            before, after = self.deltas.get(one), other.deltas.get(one)
            if before != after:
                lines.append(f"{one}: {before or 'unchanged'} -> {after or 'unchanged'}")
        if self.corrections != other.corrections:
            lines.append(f"preprocessing: {_named(self.corrections)} -> {_named(other.corrections)}")
        lines += [
            f"{name}: {_sized(getattr(self, name))} -> {_sized(getattr(other, name))}"
            for name in OPTIONAL
            if getattr(self, name) != getattr(other, name)
        ]
        return lines + _head_lines(self.head, other.head)

    def to_json(self) -> str:
        """Return canonical JSON."""
        return written({"format": FORMAT, "id": self.id, **self._record()}).decode()

    @classmethod
    def from_json(cls, text: str) -> SitePatch:
        """Read a patch.

        Raises:
            OslerError: `patch-invalid` where the text is no patch or was edited after it was made.
        """
        try:
            record = opened(text.encode(), FORMAT, FORMER)
            record.pop("format")
            identity = record.pop("id")
            patch = cls(**_typed(record))
        except SealError as error:
            raise patch_invalid("The patch was edited after it was made.") from error
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise patch_invalid(f"The text is not a site patch ({type(error).__name__}).") from error
        if patch.id != identity:
            raise patch_invalid(f"The patch {identity} was edited by hand.")
        return patch

    def save(self, path: Path) -> None:
        """Write the patch, whole or not at all."""
        write_atomically(path, self.to_json().encode())

    @classmethod
    def load(cls, path: Path) -> SitePatch:
        """Read the patch at `path`; see `from_json`."""
        try:
            return cls.from_json(path.read_text(encoding="utf-8"))
        except (OslerError, UnicodeDecodeError) as error:
            message = error.message if isinstance(error, OslerError) else "It is not text."
            raise patch_invalid(f"{path.name}: {message}", "Move the file away, or restore it.") from error


def _typed(record: dict[str, Any]) -> dict[str, Any]:
    value_range = record["value_range"]
    head, projection, residual = record["head"], record.get("projection"), record.get("residual")
    deltas = {one: {**delta, "knots": tuple(map(tuple, delta["knots"]))} for one, delta in record["deltas"].items()}
    return record | {
        "deltas": {one: ConceptDelta(**delta) for one, delta in deltas.items()},
        "corrections": tuple(map(SiteCorrection.from_record, record["corrections"])),
        "head": None if head is None else HeadChange.from_record(head),
        "projection": None if projection is None else ProjectionChange.from_record(projection),
        "residual": None if residual is None else ResidualConcepts.from_record(residual),
        "guards": tuple(GuardOutcome(**guard) for guard in record["guards"]),
        "history": tuple(tuple(entry) for entry in record["history"]),
        "value_range": None if value_range is None else tuple(value_range),
    }


def _require_date(day: str) -> None:
    try:
        date.fromisoformat(day)
    except (TypeError, ValueError) as error:
        raise patch_invalid(f"The patch bears {day!r}, which is no date.") from error


def _named(corrections: Sequence[SiteCorrection]) -> str:
    return ", ".join(f"{one.name} of {one.studies} studies" for one in corrections) or "none"


def _sized(part: ProjectionChange | ResidualConcepts | None) -> str:
    if part is None:
        return "none"
    held = part.weights if isinstance(part, ProjectionChange) else part.directions
    return f"{len(held)} vectors of {len(held[0]) if held else 0} numbers"


def _head_lines(before: HeadChange | None, after: HeadChange | None) -> list[str]:
    """Return the weights and biases that differ, the largest difference first."""
    if before == after:
        return []
    holder = before or after
    assert holder is not None
    weights = [
        np.zeros((len(holder.classes), len(holder.ids))) if one is None else one.added(holder.ids)[0]
        for one in (before, after)
    ]
    bias = [np.zeros(len(holder.classes)) if one is None else np.array(one.bias) for one in (before, after)]
    rows = [
        (abs(weights[1][k, c] - weights[0][k, c]), f"{name}, {one}: {weights[0][k, c]:+.3g} -> {weights[1][k, c]:+.3g}")
        for k, name in enumerate(holder.classes)
        for c, one in enumerate(holder.ids)
    ]
    rows += [
        (abs(bias[1][k] - bias[0][k]), f"{name}, bias: {bias[0][k]:+.3g} -> {bias[1][k]:+.3g}")
        for k, name in enumerate(holder.classes)
    ]
    return [f"head, {line}" for size, line in sorted(rows, key=lambda row: (-row[0], row[1])) if size]


def support_digest(study_uids: Sequence[str]) -> str:
    """Return the SHA-256 that names a support set whatever the order of its studies."""
    return hashlib.sha256("\n".join(sorted(study_uids)).encode()).hexdigest()


def count_shots(y: Sequence[int], classes: Sequence[str]) -> dict[str, int]:
    """Return the number of support studies of each class."""
    counts: Mapping[int, int] = dict(zip(*np.unique(np.asarray(y), return_counts=True), strict=True))
    return {name: int(counts.get(number, 0)) for number, name in enumerate(classes)}
