"""The methods that experiments compare: a module each, with `Options` (a dataclass) and `fit(problem, options, seed=...)`.

A new method is a new module here; recipes name it by the module's name.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Mapping
from importlib import import_module
from typing import Any

from pydantic import TypeAdapter, ValidationError

from osler_contracts.codes import Code
from osler_contracts.errors import OslerError
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
    if strangers := set(options) - set(kind.__dataclass_fields__):
        raise OslerError(
            Code.USAGE,
            f"The method {name!r} has no option {', '.join(sorted(strangers))}.",
            f"Use {', '.join(sorted(kind.__dataclass_fields__))}.",
        )
    try:
        return TypeAdapter(kind).validate_python(dict(options))
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
        raise OslerError(Code.USAGE, f"Options of {name!r} are wrong: {wrong}.", "Correct the recipe.") from error


def fit_method(name: str, problem: Problem, options: Mapping[str, Any], *, seed: int) -> Classifier:
    """Fit a method on a problem; see `parse_options` for what is refused."""
    parsed = parse_options(name, options)
    fitted: Classifier = import_module(f"{__name__}.{name}").fit(problem, parsed, seed=seed)
    return fitted
