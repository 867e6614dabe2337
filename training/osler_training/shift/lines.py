"""Reading a recipe so that every complaint names the line to change."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from osler_contracts.codes import Code
from osler_contracts.errors import OslerError
from osler_training.shift.recipe import ShiftRecipe

Key = tuple[str | int, ...]


@dataclass(frozen=True)
class RecipeFile:
    """A recipe with where its entries stand.

    Attributes:
        recipe: The recipe.
        path: What it was read from.
        lines: Line of each entry, from 1, by its keys.
    """

    recipe: ShiftRecipe
    path: str
    lines: Mapping[Key, int]

    def refusal(self, code: Code, message: str, mend: str, *key: str | int) -> OslerError:
        """Return the error of an entry, which names its line and its keys."""
        return OslerError(code, f"{self.path}, {place(self.lines, key)}: {message}", mend)


def read_recipe(path: Path | str, kind: type[ShiftRecipe] = ShiftRecipe) -> RecipeFile:
    """Read a recipe from a file, or a shipped one by its bare name.

    Args:
        path: The file or the name.
        kind: What it is a recipe of: an experiment that asks for more has a class of its own.

    Raises:
        OslerError: `source-missing` where there is no such file; `usage`, with the line, where it is not such a recipe.
    """
    shipped = files("osler_training.recipes") / f"{path}.yaml"
    try:
        text = (Path(path) if Path(path).suffix else shipped).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise OslerError(
            Code.SOURCE_MISSING, f"There is no recipe {path}.", "Name a YAML file or a shipped recipe."
        ) from error
    return parse_recipe(text, str(path), kind)


def parse_recipe(text: str, path: str, kind: type[ShiftRecipe] = ShiftRecipe) -> RecipeFile:
    """Parse a recipe; see `read_recipe` for what is refused."""
    try:
        record = yaml.safe_load(text)
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        raise OslerError(Code.USAGE, f"{path}{line}: this is not YAML.", "Correct its syntax.") from error
    lines = dict(_lines(node, ()))
    try:
        return RecipeFile(kind.model_validate(record), path, lines)
    except ValidationError as error:
        wrong = "; ".join(f"{place(lines, one['loc'])}: {_words(one)}" for one in error.errors())
        raise OslerError(Code.USAGE, f"{path} is not valid: {wrong}.", "Correct these lines.") from error
    except OslerError as error:
        raise OslerError(error.code, f"{path}: {error.message}", error.mend) from error


def place(lines: Mapping[Key, int], key: Key) -> str:
    """Return `line 12 (data.jtsc)` of an entry, or of the nearest entry around it that is written there."""
    name = ".".join(map(str, key)) or "recipe"
    for end in range(len(key), 0, -1):
        if key[:end] in lines:
            return f"line {lines[key[:end]]} ({name})"
    return f"line 1 ({name})"


def _lines(node: yaml.Node | None, key: Key) -> list[tuple[Key, int]]:
    found: list[tuple[Key, int]] = []
    if isinstance(node, yaml.MappingNode):
        for name, value in node.value:
            inner = (*key, str(name.value))
            found += [(inner, name.start_mark.line + 1), *_lines(value, inner)]
    elif isinstance(node, yaml.SequenceNode):
        for number, value in enumerate(node.value):
            inner = (*key, number)
            found += [(inner, value.start_mark.line + 1), *_lines(value, inner)]
    return found


def _words(error: Any) -> str:
    if error["type"] == "extra_forbidden":
        return "there is no such entry"
    return str(error["msg"]).removeprefix("Value error, ")
