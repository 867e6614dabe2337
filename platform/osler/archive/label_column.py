"""Which label of a site holds the class, and which class a label's value means: sites spell both in their own way."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import lru_cache

from osler.archive.records import StudyRecord
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

USUAL = ("label", "diagnosis", "finding", "class", "label_coarse")
SHOWN = 12  # values that a refusal names


@lru_cache(4096)
def folded(text: str) -> str:
    """Return a name without case, plural s, and kinds of spaces: `Pneumonia `, `PNEUMONIA` and `pneumonia` are one."""
    return re.sub(r"[\W_]+", "_", text.casefold()).strip("_").removesuffix("s")


def class_of(value: str | None, classes: Sequence[str], names: Mapping[str, str]) -> int:
    """Return the index of the class that a label's value means, -1 where it is none of them.

    Args:
        value: The value.
        classes: Names of the classes.
        names: Class by value, for sites that use other words.
    """
    if value is None:
        return -1
    renamed = {folded(own): name for own, name in names.items()}
    known = {folded(name): k for k, name in enumerate(classes)}
    return known.get(folded(renamed.get(folded(value), value)), -1)


def choose_column(
    studies: Sequence[StudyRecord], classes: Sequence[str], names: Mapping[str, str], asked: str | None
) -> str:
    """Return the label that holds the class: the one that was asked for, or the one with most values that are classes.

    Equal ones go by the usual names, then by the alphabet. Only names are compared; no prediction is looked at.

    Raises:
        OslerError: `nothing-eligible` where no study has a label whose value is a class.
    """
    if strangers := sorted(set(names.values()) - set(classes)):
        raise OslerError(
            Code.USAGE, f"The model has no class {', '.join(strangers)}.", f"Its classes are {', '.join(classes)}."
        )
    columns = sorted({name for study in studies for name in study.labels})
    matching = [next((one for one in columns if folded(one) == folded(asked)), asked)] if asked else columns
    counts = {
        column: sum(class_of(study.labels.get(column), classes, names) >= 0 for study in studies) for column in matching
    }
    rank = {name: place for place, name in enumerate(USUAL)}
    best = min(counts, key=lambda one: (-counts[one], rank.get(one, len(rank)), one), default=None)
    if best is None or not counts[best]:
        raise OslerError(
            Code.NOTHING_ELIGIBLE,
            f"No study has a label that is one of {', '.join(classes)}. {_seen(studies, matching if asked else columns)}",
            "Name the label with --label and other words by --map VALUE=CLASS, or ingest labels with `osler ingest --labels`.",
        )
    return best


def _seen(studies: Sequence[StudyRecord], columns: Sequence[str]) -> str:
    """Say which values labels have; those of many values may be free text and are named alone."""
    told = []
    for column in columns[:SHOWN]:
        values = Counter(study.labels[column] for study in studies if column in study.labels)
        few = len(values) <= SHOWN and all(len(value) <= 40 for value in values)
        told.append(f"{column} ({', '.join(sorted(values)) if few and values else f'{len(values)} values'})")
    return f"Labels are: {'; '.join(told)}." if told else "The studies have no labels."
