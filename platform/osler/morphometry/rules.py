"""What a set of measuring rules is: named quantities with units, taken from an image; and which sets there are.

A new set is a module with `RULE_SET` and a line in `MODULES`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Literal, Protocol, Self

import numpy as np

from osler.bottleneck.records import Array
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

# By the text that an encoder's folder names its rules with.
MODULES: Mapping[str, str] = {
    "white cell of a stained smear": "osler.morphometry.white_cell",
    "lungs and heart of a frontal chest radiograph": "osler.morphometry.chest_measurements",
    "lesion of a dermoscopic image": "osler.morphometry.lesion_measurements",
}


@dataclass(frozen=True)
class Measurement:
    """A quantity that is measured.

    Attributes:
        unit: Its unit in UCUM, as DICOM has units (PS3.3, Measurement Units Code Sequence): `1` for a ratio.
        take: How it is taken from what was found in an image; its name and its docstring are the measurement's.
    """

    unit: str
    take: Callable[[Any], float]

    @property
    def name(self) -> str:
        """Name, as a column would have it."""
        return self.take.__name__

    @property
    def meaning(self) -> str:
        """How it is measured."""
        return inspect.getdoc(self.take) or ""


@dataclass(frozen=True)
class Reading:
    """What was measured on an image.

    Attributes:
        values: One value a measurement (M,); NaN where it could not be measured.
        measurements: The measurements, in the order of the values.
        failure: Why nothing was found to measure, or empty.
        reasons: Name to why it could not be measured, where something else could.
    """

    values: Array
    measurements: tuple[Measurement, ...]
    failure: str = ""
    reasons: Mapping[str, str] | None = None

    @classmethod
    def nothing(cls, measurements: tuple[Measurement, ...], failure: str) -> Reading:
        """Return a reading without a single value, and why."""
        return cls(np.full(len(measurements), np.nan), measurements, failure)

    @property
    def unmeasured(self) -> tuple[str, ...]:
        """Names of the measurements that could not be taken."""
        return tuple(one.name for one, value in zip(self.measurements, self.values, strict=True) if np.isnan(value))

    def to_record(self) -> dict[str, object]:
        """Return it as JSON: name to value and unit, null where it could not be measured, and why."""
        taken = {
            one.name: {"value": None if np.isnan(value) else float(value), "unit": one.unit}
            for one, value in zip(self.measurements, self.values, strict=True)
        }
        record: dict[str, object] = {
            "measurements": taken,
            "unmeasured": list(self.unmeasured),
            "failure": self.failure,
        }
        return record | ({"reasons": dict(self.reasons)} if self.reasons else {})


class Parameters(Protocol):
    """What a segmentation goes by."""

    @property
    def longest(self) -> int:
        """Images are shrunk to this longer side in pixels."""
        ...

    def to_record(self) -> dict[str, Any]:
        """Return what a digest covers."""
        ...

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Self:
        """Read what `to_record` wrote."""
        ...


@dataclass(frozen=True)
class RuleSet:
    """Rules that measure one kind of image.

    Attributes:
        name: What they measure; the key of `MODULES`.
        version: Raised whenever a measurement is taken differently: the digest of the encoder covers it.
        measurements: What is measured, in the order of the columns.
        parameters: Class of the parameters; its defaults are those of the shipped encoder.
        measure: Measures an image in [0, 1].
        golden: Draws the test image whose measurements loading checks.
        channels: Whether images have `colour` or are `grey`.
    """

    name: str
    version: int
    measurements: tuple[Measurement, ...]
    parameters: type[Any]
    measure: Callable[[Array, Any], Reading]
    golden: Callable[[], Array]
    channels: Literal["colour", "grey"]

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the measurements."""
        return tuple(one.name for one in self.measurements)

    def configuration(self, parameters: Parameters) -> dict[str, Any]:
        """Return what the digest of an encoder covers: version, measurements with their units, parameters."""
        named = {one.name: one.unit for one in self.measurements}
        model_cfg = {
            "rules": self.name,
            "version": self.version,
            "measurements": named,
            "parameters": parameters.to_record(),
        }
        preprocess_cfg = {"size": parameters.longest, "channels": self.channels, "input_range": [0.0, 1.0]}
        return {"model_cfg": model_cfg, "preprocess_cfg": preprocess_cfg}

    def table(self) -> str:
        """Return the measurements as rows of a Markdown table: name, unit, how it is taken."""
        rows = (f"| `{one.name}` | {one.unit} | {' '.join(one.meaning.split())} |" for one in self.measurements)
        return "\n".join(("| measurement | unit (UCUM) | how it is taken |", "| --- | --- | --- |", *rows)) + "\n"


def rule_set(name: str) -> RuleSet:
    """Return a set of rules by its name.

    Raises:
        OslerError: `model-invalid` where there is none.
    """
    if name not in MODULES:
        raise OslerError(
            Code.MODEL_INVALID, f"Osler has no rules for {name!r}.", f"Use rules for one of: {'; '.join(MODULES)}."
        )
    rules: RuleSet = import_module(MODULES[name]).RULE_SET
    return rules
