"""Label-free site corrections. A module here is a correction; it names its class, a frozen dataclass of options, `CORRECTION`.

A correction measures a batch and brings it to the statistics of the source (see `protocols.Correction`). None of them sees a
label, all are deterministic, and what a batch of n usable studies says weighs `n / (n + kappa)` against the source.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Mapping
from importlib import import_module
from typing import Any

from osler.bottleneck.protocols import Correction
from osler.options import parse_options
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError


def correction_names() -> list[str]:
    """Return the names of all corrections."""
    return [module.name for module in pkgutil.iter_modules(__path__)]


def parse_correction(name: str, options: Mapping[str, Any] | None = None) -> Correction:
    """Return a correction from a recipe's entries.

    Raises:
        OslerError: `usage` where there is no such correction or option, or an option is out of range.
    """
    if name not in correction_names():
        raise OslerError(
            Code.USAGE, f"There is no correction {name!r}.", f"Use some of {', '.join(correction_names())}."
        )
    made: Correction = parse_options(
        import_module(f"{__name__}.{name}").CORRECTION, f"correction {name!r}", options or {}
    )
    return made
