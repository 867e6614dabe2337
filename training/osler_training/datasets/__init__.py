"""Data sets: a module each that reads the layout its owners distribute. The module's name is the data set's name.

Such a module holds `SUMMARY: str` and `read(root, *, ...) -> Images`; its keyword arguments are the options. `HELPERS`
names the modules here that are no data sets.
"""

from __future__ import annotations

import inspect
import pkgutil
from importlib import import_module
from pathlib import Path
from typing import Any

from pydantic import ValidationError, validate_call

from osler_contracts.codes import Code
from osler_contracts.errors import OslerError
from osler_training.datasets.images import Images

__all__ = ["Images", "dataset_names", "open_dataset"]

HELPERS = frozenset({"concept_maps", "confounded", "images", "labels", "reading", "stain", "tables"})


def dataset_names() -> list[str]:
    """Return the names of all data sets."""
    return [module.name for module in pkgutil.iter_modules(__path__) if module.name not in HELPERS]


def open_dataset(name: str, root: Path, /, **options: Any) -> Images:
    """Read a data set.

    Args:
        name: One of `dataset_names()`.
        root: Folder as its owners distribute it; of `archive`, the workspace.
        options: See the `read` of the module.

    Raises:
        OslerError: `usage` where there is no such data set or option; what the data set itself refuses.
    """
    if name not in dataset_names():
        raise OslerError(Code.USAGE, f"There is no data set {name!r}.", f"Use one of {', '.join(dataset_names())}.")
    read = import_module(f"{__name__}.{name}").read
    known = inspect.signature(read).parameters.values()
    options_of = {one.name for one in known if one.kind is one.KEYWORD_ONLY}
    if strangers := sorted(set(options) - options_of):
        raise OslerError(
            Code.USAGE,
            f"The data set {name!r} has no option {', '.join(strangers)}.",
            f"Use {', '.join(sorted(options_of))}.",
        )
    try:
        images: Images = validate_call(read)(Path(root), **options)
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
        raise OslerError(Code.USAGE, f"Options of {name!r} are wrong: {wrong}.", "Correct them.") from None
    return images
