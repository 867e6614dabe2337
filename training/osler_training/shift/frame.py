"""The frame of an experiment's page: its folder, its head, and the document around its sections."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from osler_contracts.codes import Code
from osler_contracts.errors import OslerError
from osler_training.experiments.resumable import read_json
from osler_training.shift.cell import REFUSED
from osler_training.shift.markup import NOTICE, STYLE, code, escape
from osler_training.shift.table import TABLE
from osler_training.shift.track import RUNS

PHANTOM = '<p class="warn">Phantoms: every image is a drawing. Nothing here says how a model does on patients.</p>'


class RunFolder:
    """What an experiment left in its folder.

    Args:
        folder: The folder.
        command: The command that fills such folders.

    Raises:
        OslerError: `source-missing` where it holds no table.
    """

    def __init__(self, folder: Path, command: str) -> None:
        if not (folder / TABLE).is_file():
            raise OslerError(Code.SOURCE_MISSING, f"{folder} holds no table.", f"Name the folder of `{command}`.")
        self.folder = folder
        self.table: dict[str, Any] = read_json(folder / TABLE)
        self.lab: dict[str, Any] = read_json(folder / "lab.json")
        self.recipe: dict[str, Any] = self.lab["recipe"]

    @cached_property
    def runs(self) -> dict[str, Any]:
        """What MLflow calls it; empty where it was not logged."""
        path = self.folder / RUNS
        return dict(read_json(path)) if path.is_file() else {}

    @cached_property
    def refused(self) -> list[dict[str, Any]]:
        """Cells that do not apply, with their reasons."""
        return self.each_cell(REFUSED)

    def each_cell(self, name: str) -> list[dict[str, Any]]:
        """Return a file of every cell that has it."""
        return [read_json(path) for path in sorted(self.folder.glob(f"cells/*/{name}"))]


def head(run: RunFolder, traced: Mapping[str, str], told: str = "") -> str:
    """Return title, notices, and what an experiment can be traced by.

    Args:
        run: The experiment.
        traced: What it can be traced by beside its recipe, bank, encoders and MLflow run, as HTML.
        told: What else stands there, as HTML.
    """
    recipe, lab = run.recipe, run.lab
    notes = "".join(f"<li>{escape(one)}</li>" for one in recipe["notes"])
    every = {
        "Recipe": f"{escape(recipe['name'])} {code(lab['digest'])}",
        "Bank": f"{escape(lab['bank']['name'])}, version {lab['bank']['version']} {code(lab['bank']['digest'])}",
        "Encoders": ", ".join(f"{escape(name)} {code(digest)}" for name, digest in lab["encoders"].items()),
        "MLflow": f"parent run {code(run.runs['parent'], 32)} of experiment {escape(run.runs['experiment'])}, "
        f"{len(run.runs['cells'])} nested runs"
        if run.runs
        else "not logged",
        **traced,
    }
    listed = "".join(f"<dt>{name}</dt><dd>{value}</dd>" for name, value in every.items())
    return (
        f"<header><h1>{escape(recipe['name'])}: {escape(' or '.join(recipe['classes']))}</h1>"
        f'<p class="notice">{NOTICE}</p>{PHANTOM if recipe["phantom"] else ""}<dl>{listed}</dl>{told}'
        f"{f'<ul>{notes}</ul>' if notes else ''}</header>"
    )


def document(title: str, parts: Sequence[str]) -> str:
    """Return a page that needs nothing from elsewhere; parts are HTML already, and empty ones are left out."""
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{STYLE}</style></head>\n'
        f"<body><main>\n{''.join(one for one in parts if one)}</main></body></html>\n"
    )
