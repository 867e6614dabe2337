"""Confounded splits of real images (M1 protocol): a class goes with a value of an attribute, and at the end with another.

In `train`, `select`, `calibrate` and `id_test` class k is seen with value k only; in `ood_test` with the value of the next
class, which for two classes is the reverse. A few `exceptions` of the reverse may stand in the first three: what methods that
know groups live on. A patient is in one split at most.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from osler.files import write_atomically
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError
from osler_training.datasets.images import Images

FORMAT = "osler-confounded/1"
SPLITS = ("train", "select", "calibrate", "id_test", "ood_test")
MAY_EXCEPT = SPLITS[:3]
EXCEPT = "exceptions of "
# The scarce side first; exceptions come last, so that they change nothing else.
_FILLED = ("ood_test", "id_test", "calibrate", "select", "train", *(EXCEPT + name for name in MAY_EXCEPT))
Rows = NDArray[np.intp]


@dataclass(frozen=True)
class Band:
    """Numbers from `low` to `high`, both ends among them; None leaves an end open."""

    low: float | None = None
    high: float | None = None


Value = str | Sequence[str] | Band | Mapping[str, float]


@dataclass(frozen=True, eq=False)
class ConfoundedSplit(Mapping[str, Rows]):
    """Row indices by split, ascending, with what they came from.

    Attributes:
        rows: Row indices of each of `SPLITS`.
        record: The protocol as JSON: classes, attribute, values, sizes, seed, counts, keys of the rows, digest.
    """

    rows: Mapping[str, Rows]
    record: Mapping[str, Any]

    @property
    def digest(self) -> str:
        """SHA-256 of the protocol and of which image is in which split."""
        return str(self.record["digest"])

    def __getitem__(self, split: str) -> Rows:
        return self.rows[split]

    def __iter__(self) -> Iterator[str]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    def save(self, path: Path) -> None:
        """Write the record as JSON; it names images by the hash of their content and nobody."""
        write_atomically(path, (json.dumps(self.record, indent=1) + "\n").encode())


def confound(
    images: Images,
    classes: Sequence[str],
    attribute: str,
    values: Sequence[Value],
    sizes: Mapping[str, int],
    seed: int,
    exceptions: Mapping[str, int] | None = None,
) -> ConfoundedSplit:
    """Draw a confounded split.

    Args:
        images: The images; those that have none of the classes or values are left aside.
        classes: The classes (K of them, two or more).
        attribute: Column of `images.table`, such as sex, age, view or site.
        values: The value that goes with each class in training: a text, several texts, or a `Band` of numbers (also as
            `{"low": .., "high": ..}`).
        sizes: Images of each class in each of `SPLITS`.
        seed: Seed of the draw. The order of the rows does not matter.
        exceptions: Images of each class with the reversed value, beside those of `sizes`, in some of `MAY_EXCEPT`. Without any, the
            same seed draws the same rows.

    Raises:
        OslerError: `usage` where classes, values or sizes do not fit together; `support-insufficient`, with the counts,
            where there are too few images.
    """
    _check(images, classes, attribute, values, sizes)
    exceptions = dict(exceptions or {})
    if set(exceptions) - set(MAY_EXCEPT) or min(exceptions.values(), default=1) < 1:
        raise _usage(f"The exceptions are {exceptions}.", f"Give positive numbers for some of {', '.join(MAY_EXCEPT)}.")
    side = _sides(images, classes, attribute, values)
    patients = linked_patients(images)
    wanted = {**sizes, **{EXCEPT + name: count for name, count in exceptions.items()}}
    chosen = _fill(images, side, patients, wanted, np.random.default_rng(seed))
    short = {split: need for split, (_, need) in chosen.items() if need.any()}
    if short:
        raise OslerError(
            Code.SUPPORT_INSUFFICIENT,
            f"There are too few images for {', '.join(short)}; of {_counted(side, patients, classes)} "
            f"{_wanted(short, classes, wanted)}.",
            "Ask for smaller sizes, or give more images.",
        )
    none = np.array([], np.intp)
    rows = {
        split: np.sort(np.concatenate([chosen[split][0], chosen.get(EXCEPT + split, (none, none))[0]]))
        for split in SPLITS
    }
    record: dict[str, Any] = {
        "format": FORMAT,
        "classes": list(classes),
        "attribute": attribute,
        "values": [asdict(one) if isinstance(one, Band) else one for one in map(_value, values)],
        "sizes": {split: int(sizes[split]) for split in SPLITS},
        **({"exceptions": {split: int(count) for split, count in exceptions.items()}} if exceptions else {}),
        "seed": seed,
        "patients_known": float(
            images.table["patient_known"].to_numpy(bool)[np.concatenate(list(rows.values()))].mean()
        ),
        "keys": {split: sorted(images.table["key"].iloc[index]) for split, index in rows.items()},
    }
    return ConfoundedSplit(rows, record | {"digest": _digest(record)})


def load_split(path: Path, images: Images) -> ConfoundedSplit:
    """Read a saved split and find its rows again.

    Raises:
        OslerError: `table-invalid` where the file is no split or was changed; `image-missing` where images are not there.
    """
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        digest, body = record["digest"], {key: value for key, value in record.items() if key != "digest"}
        sound = record["format"] == FORMAT and tuple(record["keys"]) == SPLITS and digest == _digest(body)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise _unsound(path) from error
    if not sound:
        raise _unsound(path)
    first = {key: row for row, key in reversed(list(enumerate(images.keys)))}
    lost = sum(key not in first for keys in record["keys"].values() for key in keys)
    if lost:
        raise OslerError(
            Code.IMAGE_MISSING, f"{lost} images of the split {path.name} are not there.", "Give the same data sets."
        )
    rows = {split: np.sort(np.array([first[key] for key in keys], np.intp)) for split, keys in record["keys"].items()}
    return ConfoundedSplit(rows, record)


def linked_patients(images: Images) -> Rows:
    """Return a number of each image's patient (n,); patients who share an image file count as one."""
    patients, keys = (pd.factorize(images.table[name])[0] for name in ("patient", "key"))
    count = int(patients.max(initial=-1)) + 1
    size = count + int(keys.max(initial=-1)) + 1
    graph = coo_array((np.ones(len(images)), (patients, count + keys)), shape=(size, size))
    return np.asarray(connected_components(graph, directed=False)[1][patients], np.intp)


def _check(
    images: Images, classes: Sequence[str], attribute: str, values: Sequence[Value], sizes: Mapping[str, int]
) -> None:
    if len(classes) < 2 or len(set(classes)) != len(classes) or len(values) != len(classes):
        raise _usage(f"There are {len(classes)} classes and {len(values)} values.", "Give a value for each class.")
    if attribute not in images.table.columns:
        raise _usage(
            f"The images have no attribute {attribute!r}.", f"Use one of {', '.join(map(str, images.table.columns))}."
        )
    if set(sizes) != set(SPLITS) or min(sizes.values()) < 1:
        raise _usage(f"The sizes are {dict(sizes)}.", f"Give a positive number for each of {', '.join(SPLITS)}.")
    if absent := [one for one in classes if not (images.table["label"] == one).any()]:
        raise _usage(f"No image has the class {', '.join(absent)}.", "Check the classes against the labels.")


def _sides(images: Images, classes: Sequence[str], attribute: str, values: Sequence[Value]) -> NDArray[np.intp]:
    """Return class and side of each image (n, 2): side 0 with its own value, 1 with the next one's; -1 for neither."""
    count = len(classes)
    y = images.table["label"].map({name: k for k, name in enumerate(classes)}).fillna(-1).to_numpy(np.intp)
    value = values_of(images, attribute, values)
    side = np.where(value == y, 0, np.where(value == (y + 1) % count, 1, -1))
    side[(y < 0) | (value < 0) | images.table["key"].duplicated().to_numpy()] = -1  # the same file twice adds nothing
    return np.stack([y, side], axis=1)


def values_of(images: Images, attribute: str, values: Sequence[Value]) -> Rows:
    """Return which of the values each image has (n,), -1 where it has none of them.

    Raises:
        OslerError: `usage` where an image has two at once.
    """
    member = np.stack([_has(images.table[attribute], _value(one)) for one in values], axis=1)
    if (member.sum(1) > 1).any():
        raise _usage("Some images have two of the values at once.", "Give values that exclude each other.")
    return np.where(member.any(1), member.argmax(1), -1)


def _value(value: Value) -> str | list[str] | Band:
    if isinstance(value, Mapping):
        if strangers := set(value) - {"low", "high"}:
            raise _usage(f"A band has no {', '.join(sorted(strangers))}.", "Give low, high or both.")
        return Band(**value)
    return value if isinstance(value, str | Band) else [str(one) for one in value]


def _has(column: pd.Series[Any], value: str | list[str] | Band) -> NDArray[np.bool_]:
    if not isinstance(value, Band):
        return column.astype(str).isin([value] if isinstance(value, str) else value).to_numpy(bool)
    numbers = pd.to_numeric(column, errors="coerce").to_numpy(float)
    low, high = (-np.inf if value.low is None else value.low), (np.inf if value.high is None else value.high)
    return np.asarray((numbers >= low) & (numbers <= high))  # NaN is in no band


def _fill(
    images: Images, side: Rows, patients: Rows, sizes: Mapping[str, int], rng: np.random.Generator
) -> dict[str, tuple[Rows, Rows]]:
    """Return the rows of each split and what each class still lacks in it (K,)."""
    # Sorted by key, so that neither the order of the rows nor the numbering of patients enters the draw.
    order = np.argsort(images.table["key"].to_numpy(str), kind="stable")
    order = order[side[order, 1] >= 0]
    members: dict[int, list[int]] = {}
    for row in order:
        members.setdefault(int(patients[row]), []).append(int(row))
    queue = [list(members)[i] for i in rng.permutation(len(members))]
    wanted = {patient: {int(side[row, 1]) for row in rows} for patient, rows in members.items()}
    classes = int(side[:, 0].max()) + 1
    free, filled = set(queue), {}
    for split in (name for name in _FILLED if name in sizes):
        here = int(split == "ood_test" or split.startswith(EXCEPT))
        need = np.full(classes, sizes[split], np.intp)
        taken: list[int] = []
        # Those who serve this side alone go first: who serves both is kept for the side that runs short.
        for patient in sorted((one for one in queue if one in free), key=lambda one: len(wanted[one])):
            mine = [row for row in members[patient] if side[row, 1] == here and need[side[row, 0]] > 0]
            if not mine:
                continue
            free.discard(patient)
            for row in mine:
                if need[side[row, 0]] > 0:
                    need[side[row, 0]] -= 1
                    taken.append(row)
        filled[split] = (np.array(taken, np.intp), need)
    return filled


def _counted(side: Rows, patients: Rows, classes: Sequence[str]) -> str:
    counts = Counter((int(k), int(s)) for k, s in side if s >= 0)
    people = {cell: len(np.unique(patients[(side[:, 0] == cell[0]) & (side[:, 1] == cell[1])])) for cell in counts}
    words = ("its own value", "the reversed value")
    return ", ".join(
        f"{name} with {words[s]} there are {counts[k, s]} (patients: {people.get((k, s), 0)})"
        for k, name in enumerate(classes)
        for s in (0, 1)
    )


def _wanted(short: Mapping[str, Rows], classes: Sequence[str], sizes: Mapping[str, int]) -> str:
    lacks = [
        f"{split} lacks {need[k]} of {sizes[split]} {name}"
        for split, need in short.items()
        for k, name in enumerate(classes)
        if need[k]
    ]
    return "and " + ", ".join(lacks)


def _digest(record: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()


def _usage(message: str, mend: str) -> OslerError:
    return OslerError(Code.USAGE, message, mend)


def _unsound(path: Path) -> OslerError:
    return OslerError(Code.TABLE_INVALID, f"{path.name} is no saved split, or it was changed.", "Draw the split anew.")
