"""The reference profile of a site: how its headers and images were distributed when somebody called that normal.

Counts and quantiles only. A word is kept where at least five units share it, so that it cannot be about one of them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from osler_contracts.codes import Code
from osler_contracts.drift.bins import Cells, edges_of, finite_numbers, quantiles, unit_shares, words_of
from osler_contracts.drift.fields import FIELDS, Field
from osler_contracts.drift.observations import Observations
from osler_contracts.errors import OslerError

SCHEMA = 1
# Fewest units that share a word before it is written out.
LEAST_UNITS = 5
# Longest sample kept of a measure: its empirical distribution is off by at most half a thousandth then.
SAMPLE = 1000


@dataclass(frozen=True)
class FieldProfile:
    """How one field was distributed.

    Attributes:
        cells: How it is cut into cells.
        weights: Units in each cell, fractions where a unit's images differ; they sum to the number of units.
        sample: For a measure, ascending quantiles of it at (i + 0.5) / len; the numbers themselves where each unit has one
            image and they are no more than `SAMPLE`.
        measured: Units with a number.
    """

    cells: Cells
    weights: tuple[float, ...]
    sample: tuple[float, ...] = ()
    measured: int = 0

    @property
    def units(self) -> float:
        """Number of units."""
        return sum(self.weights)


@dataclass(frozen=True)
class Profile:
    """A reference profile.

    Attributes:
        site: Site that it is of.
        unit: What counts once: `patient` or `row`.
        units: How many of them.
        images: Number of images.
        fields: Distribution of each field.
        origin: What it was made from, such as the contract, the runs and the shifted dates; pseudonyms and figures only.
    """

    site: str
    unit: str
    units: int
    images: int
    fields: Mapping[str, FieldProfile]
    origin: Mapping[str, Any]

    @property
    def sha256(self) -> str:
        """Hash of the record."""
        return _hash(self._body())

    def _body(self) -> dict[str, Any]:
        return {
            "schema": SCHEMA,
            "site": self.site,
            "unit": self.unit,
            "units": self.units,
            "images": self.images,
            "origin": dict(self.origin),
            "fields": {name: asdict(field) for name, field in self.fields.items()},
        }

    def to_json(self) -> str:
        """Return the profile as a JSON record with its hash."""
        return json.dumps(self._body() | {"sha256": self.sha256}, indent=1, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Profile:
        """Read a profile back.

        Raises:
            OslerError: `profile-invalid` for another schema, or a record that was changed or cut off.
        """
        try:
            record = json.loads(text)
            stated = record.pop("sha256")
            if record["schema"] != SCHEMA or stated != _hash(record):
                raise ValueError
            fields = {name: _field(held) for name, held in record["fields"].items() if name in FIELDS}
            facts = {name: record[name] for name in ("site", "unit", "units", "images", "origin")}
            return cls(**facts, fields=fields)
        except (ValueError, KeyError, TypeError, AttributeError):
            raise OslerError(
                Code.PROFILE_INVALID,
                "The reference profile is of another version, or was changed after it was made.",
                "Make it again with `osler drift profile`.",
            ) from None


def make_profile(observations: Observations, *, site: str, origin: Mapping[str, Any] | None = None) -> Profile:
    """Make the profile of what was observed.

    Raises:
        OslerError: `empty-source` where nothing was.
    """
    if not observations.images:
        raise OslerError(Code.EMPTY_SOURCE, "There is nothing to make a profile of.", "Ingest some studies first.")
    fields = {name: profile_field(FIELDS[name], observations) for name in FIELDS if name in observations.columns}
    return Profile(site, observations.unit, observations.count, observations.images, fields, dict(origin or {}))


def profile_field(field: Field, observations: Observations) -> FieldProfile:
    """Return the distribution of one field."""
    sample: tuple[float, ...] = ()
    measured = 0
    if field.number:
        numbers, weights, measured = finite_numbers(field, observations)
        cells = Cells(edges=edges_of(numbers, weights))
        if measured:
            size = min(measured, SAMPLE)
            sample = tuple(float(x) for x in quantiles(numbers, weights, (np.arange(size) + 0.5) / size))
    else:
        cells = Cells(words=words_of(field, observations, LEAST_UNITS))
    return FieldProfile(cells, weights_in(field, cells, observations), sample, measured)


def weights_in(field: Field, cells: Cells, observations: Observations) -> tuple[float, ...]:
    """Return how many units lie in each cell."""
    placed = cells.place(observations.columns[field.name])
    return tuple(float(x) for x in unit_shares(observations, placed, len(cells.labels)).sum(axis=0))


def _field(record: Mapping[str, Any]) -> FieldProfile:
    cells = Cells(tuple(record["cells"]["words"]), tuple(record["cells"]["edges"]))
    if len(record["weights"]) != len(cells.labels):
        raise ValueError
    return FieldProfile(cells, tuple(record["weights"]), tuple(record["sample"]), int(record["measured"]))


def _hash(body: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
