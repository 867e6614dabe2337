"""The methods that experiments compare: a module each, with `Options` (a dataclass) and `fit(problem, options, seed=...)`.

A new method is a new module here; recipes name it by the module's name. One that copes with features that are NaN says
`MISSING_FEATURES = True`.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Mapping
from dataclasses import is_dataclass
from importlib import import_module
from typing import Any, get_type_hints

from pydantic import TypeAdapter, ValidationError

from osler_contracts.codes import Code
from osler_contracts.errors import OslerError
from osler_training.fit.checks import check_problem
from osler_training.fit.problem import Classifier, Problem


def method_names() -> list[str]:
    """Return the names of all methods."""
    return [module.name for module in pkgutil.iter_modules(__path__)]


def parse_options(name: str, options: Mapping[str, Any]) -> Any:
    """Return the `Options` of a method from a recipe's entries.

    Raises:
        OslerError: `usage` where there is no such method or option.
    """
    if name not in method_names():
        raise OslerError(Code.USAGE, f"There is no method {name!r}.", f"Use one of {', '.join(method_names())}.")
    kind = import_module(f"{__name__}.{name}").Options
    if strangers := unknown_options(kind, options):
        raise OslerError(
            Code.USAGE,
            f"The method {name!r} has no option {', '.join(strangers)}.",
            f"Use {', '.join(sorted(get_type_hints(kind)))}.",
        )
    try:
        return TypeAdapter(kind).validate_python(dict(options))
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
        raise OslerError(Code.USAGE, f"Options of {name!r} are wrong: {wrong}.", "Correct the recipe.") from error


def unknown_options(kind: type, options: Mapping[str, Any]) -> list[str]:
    """Return the keys, nested ones by dotted name, that a dataclass and its own do not have."""
    hints = get_type_hints(kind)
    strangers = sorted(set(options) - set(hints))
    for key, value in options.items():
        if is_dataclass(hints.get(key)) and isinstance(value, Mapping):
            strangers += [f"{key}.{one}" for one in unknown_options(hints[key], value)]
    return strangers


def fit_method(name: str, problem: Problem, options: Mapping[str, Any], *, seed: int) -> Classifier:
    """Fit a method on a problem; see `parse_options` and `check_problem` for what is refused."""
    parsed = parse_options(name, options)
    method = import_module(f"{__name__}.{name}")
    check_problem(problem, missing_features=getattr(method, "MISSING_FEATURES", False))
    fitted: Classifier = method.fit(problem, parsed, seed=seed)
    return fitted
