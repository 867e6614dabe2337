"""Settings that a person wrote as YAML: read under a limit, held to a model, and refused in words that name the line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from osler_contracts.errors import OslerError, from_os_error

Settings = TypeVar("Settings", bound=BaseModel)
Refuse = Callable[[str], OslerError]  # from what is wrong, as the end of a sentence, to the error


def parse_settings(content: bytes, model: type[Settings], refuse: Refuse) -> Settings:
    """Return settings from their text; an empty text says nothing, and leaves every setting at its default.

    Args:
        content: The text, UTF-8.
        model: What it may say.
        refuse: Makes the error.

    Raises:
        OslerError: What `refuse` makes, where the text is no YAML or says what the model does not allow.
    """
    try:
        values = yaml.safe_load(content.decode())
    # Beside its own errors it lets through those of a date that there is not (ValueError) and of endless brackets.
    except (yaml.YAMLError, ValueError, RecursionError):
        raise refuse("it is not YAML") from None
    try:
        return model.model_validate({} if values is None else values)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "the file"
        raise refuse(f"{place}: {first['msg'].removeprefix('Value error, ')}") from None  # it quotes the text


def read_settings(path: Path, model: type[Settings], refuse: Refuse, *, largest: int) -> Settings:
    """Return settings from a file of at most `largest` bytes; see `parse_settings`.

    Raises:
        OslerError: As `parse_settings`; `unreadable` and the like as the disk fails.
    """
    try:
        with path.open("rb") as stream:
            content = stream.read(largest + 1)
    except OSError as error:
        raise from_os_error(error) from None
    if len(content) > largest:
        raise refuse("it is too large")
    return parse_settings(content, model, refuse)
