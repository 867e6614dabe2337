"""What a comparison answers: which field moved, from what to what, since when, and how sure that is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

from osler_contracts.drift.fields import FIELDS
from osler_contracts.drift.onset import Onset


class Verdict(StrEnum):
    """What is said of a field, the gravest first.

    `moved`: chance does not explain the difference, and it is large enough to matter. `slight`: chance does not explain
    it, but it is too small to matter. `too-few`: nothing was found, and a large move (`LARGE`) could well have been missed.
    `steady`: nothing was found, and a large move would have been. `not-compared`: one side did not look for the field.
    """

    MOVED = "moved"
    SLIGHT = "slight"
    TOO_FEW = "too-few"
    STEADY = "steady"
    NOT_COMPARED = "not-compared"


@dataclass(frozen=True)
class Change:
    """What changed most about a field.

    Attributes:
        kind: `median`, `range` (the 5th and the 95th percentile), `share` (of units), or `new`: the share of a word that
            fewer than five units of the reference had.
        of: For a share, the word or cell that it is of.
        before: Figure of the reference; two for a range.
        after: The same of the batch.
    """

    kind: str
    of: str
    before: tuple[float, ...]
    after: tuple[float, ...]


@dataclass(frozen=True)
class Since:
    """When a move began.

    Attributes:
        onset: The arrival, counted from 0 over the units compared, with its interval.
        arrivals: How many were compared.
        run: Run that brought that arrival, None for a bare table of headers.
        started: When that run started, ISO 8601 in UTC.
        earliest: The same for the first arrival of the interval.
        latest: The same for the last arrival of the interval.
        study: Pseudonymous UID of that arrival's first study.
    """

    onset: Onset
    arrivals: int
    run: int | None = None
    started: str | None = None
    earliest: str | None = None
    latest: str | None = None
    study: str | None = None


@dataclass(frozen=True)
class FieldResult:
    """The comparison of one field.

    Attributes:
        name: Name of the field, see `osler_contracts.drift.fields`.
        verdict: The answer.
        psi: Population stability index.
        psi_interval: 95% interval of the true one.
        psi_threshold: What chance exceeds at the level, for this field alone.
        jsd: Jensen-Shannon divergence in nats.
        jsd_threshold: See `psi_threshold`.
        ks: Kolmogorov-Smirnov distance, None for a vocabulary or where one side has no numbers.
        ks_threshold: See `psi_threshold`.
        p: Chance of a difference as great where nothing moved: of JSD for a vocabulary, of the less likely of JSD and KS,
            doubled, for a measure.
        p_adjusted: The same over all fields together (Benjamini-Hochberg).
        detectable: Smallest true PSI that would be found four times of five.
        null: How the chance was worked out: `chi-square`, `drawn`, or `constant` where there is only one value.
        change: What changed most.
        since: Since when, for a field that moved.
    """

    name: str
    verdict: Verdict
    psi: float = 0.0
    psi_interval: tuple[float, float] = (0.0, 0.0)
    psi_threshold: float = 0.0
    jsd: float = 0.0
    jsd_threshold: float = 0.0
    ks: float | None = None
    ks_threshold: float | None = None
    p: float = 1.0
    p_adjusted: float = 1.0
    detectable: float = 0.0
    null: str = "constant"
    change: Change | None = None
    since: Since | None = None


@dataclass(frozen=True)
class DriftReport:
    """The comparison of a batch with a reference.

    Attributes:
        site: Site that both are of.
        level: Rate of false discoveries that is accepted.
        unit: What counts once: `patient` or `row`.
        reference: Facts of the reference: its hash, units, images and origin.
        batch: Facts of the batch: units, images and where it came from.
        fields: The fields, the gravest first.
    """

    site: str
    level: float
    unit: str
    reference: Mapping[str, Any]
    batch: Mapping[str, Any]
    fields: tuple[FieldResult, ...] = field(default=())

    def with_verdict(self, verdict: Verdict) -> tuple[FieldResult, ...]:
        """Return the fields of a verdict."""
        return tuple(result for result in self.fields if result.verdict is verdict)

    @property
    def moved(self) -> tuple[str, ...]:
        """Names of the fields that moved."""
        return tuple(result.name for result in self.with_verdict(Verdict.MOVED))

    @property
    def answer(self) -> Verdict:
        """The answer as a whole; `too-few` where that holds for most of what was compared."""
        compared = [one for one in self.fields if one.verdict is not Verdict.NOT_COMPARED]
        if self.moved:
            return Verdict.MOVED
        few = sum(one.verdict is Verdict.TOO_FEW for one in compared)
        varying = sum(one.null != "constant" for one in compared)
        if not self.batch.get("units") or 2 * few > varying:
            return Verdict.TOO_FEW
        return Verdict.SLIGHT if self.with_verdict(Verdict.SLIGHT) else Verdict.STEADY

    def to_dict(self) -> dict[str, Any]:
        """Return the report as a JSON record."""
        return {
            "schema": 1,
            "site": self.site,
            "answer": str(self.answer),
            "moved": list(self.moved),
            "level": self.level,
            "unit": self.unit,
            "reference": dict(self.reference),
            "batch": dict(self.batch),
            "fields": [asdict(one) | {"words": FIELDS[one.name].words} for one in self.fields],
        }

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> DriftReport:
        """Read a report back. Raises `KeyError`, `TypeError` or `ValueError` for what is none."""
        if record["schema"] != 1:
            raise ValueError(record["schema"])
        facts = {name: record[name] for name in ("site", "level", "unit", "reference", "batch")}
        return cls(**facts, fields=tuple(_result(one) for one in record["fields"] if one["name"] in FIELDS))


def _result(record: Mapping[str, Any]) -> FieldResult:
    values = {name: value for name, value in record.items() if name != "words"}
    values["verdict"] = Verdict(values["verdict"])
    values["psi_interval"] = tuple(values["psi_interval"])
    if values["change"] is not None:
        change = values["change"]
        values["change"] = Change(change["kind"], change["of"], tuple(change["before"]), tuple(change["after"]))
    if values["since"] is not None:
        values["since"] = Since(**(values["since"] | {"onset": Onset(**values["since"]["onset"])}))
    return FieldResult(**values)
