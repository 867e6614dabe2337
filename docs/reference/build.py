"""Builds the API reference from the docstrings, as pages that need no server and no network: `make reference`.

Run as `python docs/reference/build.py [FOLDER [MODULE ...]]`; without modules, all that others may build on. A module that cannot
be imported, a public name without a docstring, and a name in `__all__` that is not there end it with code 1.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import shutil
import sys
import warnings
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from types import ModuleType

from pdoc import doc, render

HERE = Path(__file__).parent
OUT = HERE.parents[1] / "build" / "reference"
# From the ground up, as the front page tells them.
FLOORS = {
    "osler_contracts": "Clauses on headers and pixels, error codes, splits. Knows nothing of the rest.",
    "osler_knowledge": "Corpora, retrieval, concept banks with their priors, reading of reports. Knows no images.",
    "osler": "What runs in a hospital: DICOM in and out, archive, bottleneck, adapters, explanations, the HTTP API.",
    "osler_training": "Data sets, phantoms, fitting, the shift lab, the adaptation bench.",
}
# What pdoc says of names that a module imports for types alone, and looks for where a dataclass inherits a field.
NOT_OURS = "Error parsing type annotation"
# The command line is told by its own --help; migrations are run, never called.
LEFT_OUT = ("osler.cli", "osler_training.cli", "osler.database.migrations")


def modules() -> Iterator[str]:
    """Yield the names of all public modules, packages before what they hold."""
    for floor in FLOORS:
        yield floor
        for _, name, _ in pkgutil.walk_packages(importlib.import_module(floor).__path__, f"{floor}."):
            hidden = any(part.startswith("_") for part in name.split("."))
            if not hidden and not any(name == one or name.startswith(f"{one}.") for one in LEFT_OUT):
                yield name


def silent(module: ModuleType) -> Iterator[str]:
    """Yield the public functions, classes and methods that a module defines and that say nothing of themselves."""
    for name, value in vars(module).items():
        if name.startswith("_") or getattr(value, "__module__", None) != module.__name__:
            continue
        if not (inspect.isclass(value) or inspect.isfunction(value)):
            continue
        if not (value.__doc__ or "").strip():
            yield f"{module.__name__}.{name}"
        if inspect.isclass(value):
            yield from _silent_methods(value)


def _silent_methods(kind: type) -> Iterator[str]:
    for name, value in vars(kind).items():
        plain = value.__func__ if isinstance(value, (classmethod, staticmethod)) else value
        told = isinstance(plain, property) or (inspect.isfunction(plain) and plain.__name__ != "<lambda>")
        # What a class above tells, as of a protocol, holds for what fulfils it.
        if told and not name.startswith("_") and not inspect.getdoc(getattr(kind, name)):
            yield f"{kind.__module__}.{kind.__qualname__}.{name}"


def _whole(name: str) -> ModuleType:
    """Import a module, and what it imports on first use only."""
    module = importlib.import_module(name)
    for one in getattr(module, "__all__", ()):
        if hasattr(module, one):
            vars(module).setdefault(one, getattr(module, one))
    return module


def build(out: Path, names: list[str]) -> list[str]:
    """Write the pages of modules into a new folder.

    Returns:
        What is wrong with the docstrings, a line each.
    """
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    render.configure(
        docformat="google",
        show_source=False,
        template_directory=HERE / "templates",
        footer_text=f"Osler {metadata.version('osler')}: research use only, not a medical device",
    )
    render.env.globals["floors"] = FLOORS
    wrong = []
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("ignore")
        warnings.filterwarnings("always", module="pdoc")
        told = {name: doc.Module(_whole(name)) for name in names}
        for name, module in told.items():
            wrong += [f"{one} has no docstring" for one in silent(module.obj)]
            page = out / f"{name.replace('.', '/')}.html"
            page.parent.mkdir(parents=True, exist_ok=True)
            page.write_text(render.html_module(module, told), encoding="utf-8")
    (out / "index.html").write_text(render.html_index(told), encoding="utf-8")
    (out / "search.js").write_text(render.search_index(told), encoding="utf-8")
    return wrong + [text for one in heard if not (text := str(one.message)).startswith(NOT_OURS)]


def main(words: list[str]) -> int:
    """Build, and say where it is or what is wrong; return the exit code."""
    out = Path(words[0]) if words else OUT
    wrong = build(out, words[1:] or list(modules()))
    for line in wrong:
        print(line, file=sys.stderr)
    if not wrong:
        print(f"{out / 'index.html'}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
