"""Adapters. A module here is an adapter; it names its class, a frozen dataclass of settings, `ADAPTER`."""

from __future__ import annotations

import pkgutil
from collections.abc import Mapping
from importlib import import_module
from typing import Any

from osler.adapt.adapter import Adapter
from osler.options import parse_options
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

RECOMMENDED = "anchored_committee"  # what `osler adapt` and the dashboard fit where nobody names another


def adapter_names() -> list[str]:
    """Return the names of all adapters."""
    return [module.name for module in pkgutil.iter_modules(__path__)]


def parse_adapter(name: str, options: Mapping[str, Any] | None = None) -> Adapter:
    """Return an adapter from a recipe's entries.

    Raises:
        OslerError: `usage` where there is no such adapter or setting, or a setting is out of range.
    """
    if name not in adapter_names():
        raise OslerError(Code.USAGE, f"There is no adapter {name!r}.", f"Use one of {', '.join(adapter_names())}.")
    made: Adapter = parse_options(import_module(f"{__name__}.{name}").ADAPTER, f"adapter {name!r}", options or {})
    return made
