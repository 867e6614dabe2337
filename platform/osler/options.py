"""Options that a recipe or a command names, made into the frozen dataclass that declares them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from osler_contracts.codes import Code
from osler_contracts.errors import OslerError


def parse_options(kind: type, holder: str, options: Mapping[str, Any]) -> Any:
    """Return a `kind` with these options.

    Args:
        kind: A frozen dataclass.
        holder: What the errors call it.
        options: Values by name.

    Raises:
        OslerError: `usage` where there is no such option, or one is out of range.
    """
    from pydantic import TypeAdapter, ValidationError

    known = sorted(field.name for field in fields(kind) if field.init)
    if strangers := sorted(options.keys() - set(known)):
        raise OslerError(
            Code.USAGE,
            f"The {holder} has no option {', '.join(strangers)}.",
            f"Use {', '.join(known)}." if known else "It has none.",
        )
    try:
        return TypeAdapter(kind).validate_python(dict(options))
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
        raise OslerError(Code.USAGE, f"Options of {holder} are wrong: {wrong}.", "Correct the recipe.") from error
