"""The flat table that metrics read: what one model predicted of one set of studies, with the truth (methods, part 1).

A table knows nothing of methods. It is saved as Parquet beside a JSON head that names split, bank and model, so that anyone
can score it again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from osler.bottleneck.records import Array, BoolArray
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError
from osler_training.evaluate.metrics import Labels

FORMAT = "osler-records/1"
TABLE, HEAD = "predictions.parquet", "predictions.json"
_TEXTS = ("study", "patient", "site")


@dataclass(frozen=True, eq=False)
class Records:
    """Predictions of one model on n studies.

    Attributes:
        classes: Names of the classes (K).
        y: True class of each study (n,).
        prob: Class probabilities (n, K).
        studies: Identifiers of the studies (n,), none twice.
        patients: Pseudonyms of their patients (n,); intervals draw patients.
        sites: Where each study comes from (n,).
        attributes: One column an attribute (sex, view, scanner ...), n rows; a missing value is NaN or empty.
        concepts: Identifiers of the concepts (C), in the bank's order; none for a black box.
        concept_value: What the head received (n, C), or None.
        concept_prob: Concept probabilities (n, C), or None where the values are no probabilities.
        concept_truth: What annotators saw (n, C) in {0, 1, NaN}, or None.
        head: What else a reader needs, as JSON: `method`, `seed`, `split_digest`, `bank_digest`, `encoder_digest`,
            `concept_thresholds` by concept ...
    """

    classes: tuple[str, ...]
    y: Labels
    prob: Array
    studies: tuple[str, ...]
    patients: tuple[str, ...]
    sites: tuple[str, ...]
    attributes: pd.DataFrame = field(default_factory=pd.DataFrame)
    concepts: tuple[str, ...] = ()
    concept_value: Array | None = None
    concept_prob: Array | None = None
    concept_truth: Array | None = None
    head: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        n = len(self.y)
        if self.prob.shape != (n, len(self.classes)) or not np.isfinite(self.prob).all():
            raise _invalid(
                f"Probabilities of {n} studies and {len(self.classes)} classes have shape {self.prob.shape}."
            )
        if n and not (self.y.min() >= 0 and self.y.max() < len(self.classes)):
            raise _invalid("A true class is none of the classes.")
        for name, texts in (("studies", self.studies), ("patients", self.patients), ("sites", self.sites)):
            if len(texts) != n:
                raise _invalid(f"There are {len(texts)} {name} for {n} rows.")
        if len(set(self.studies)) != n:
            raise _invalid("A study has two rows.")
        if len(self.attributes.columns) and len(self.attributes) != n:
            raise _invalid(f"There are {len(self.attributes)} rows of attributes for {n} studies.")
        for name in ("concept_value", "concept_prob", "concept_truth"):
            array = getattr(self, name)
            if array is not None and array.shape != (n, len(self.concepts)):
                raise _invalid(f"{name} has shape {array.shape}, expected {(n, len(self.concepts))}.")
        truth = self.concept_truth
        if truth is not None and not np.isin(truth[~np.isnan(truth)], (0, 1)).all():
            raise _invalid("The truth of a concept is neither 0, 1 nor missing.")

    def __len__(self) -> int:
        return len(self.y)

    def rows(self, index: NDArray[np.intp] | BoolArray) -> Records:
        """Return some of the studies."""
        index = np.arange(len(self))[index]

        def some(array: Array | None) -> Array | None:
            return None if array is None else array[index]

        return replace(
            self,
            y=self.y[index],
            prob=self.prob[index],
            studies=tuple(self.studies[i] for i in index),
            patients=tuple(self.patients[i] for i in index),
            sites=tuple(self.sites[i] for i in index),
            attributes=self.attributes.iloc[index].reset_index(drop=True) if len(self.attributes) else self.attributes,
            concept_value=some(self.concept_value),
            concept_prob=some(self.concept_prob),
            concept_truth=some(self.concept_truth),
        )

    def at(self, site: str) -> Records:
        """Return the studies of one site."""
        return self.rows(np.array([one == site for one in self.sites], bool))

    def attribute(self, name: str) -> NDArray[np.str_]:
        """Return one attribute as text (n,), empty where it is missing.

        Raises:
            OslerError: `part-missing`.
        """
        if name == "site":
            return np.array(self.sites, str)
        if name not in self.attributes:
            raise _missing(f"The table has no attribute {name!r}.", ["site", *map(str, self.attributes.columns)])
        column = self.attributes[name]
        return np.array(["" if pd.isna(one) else str(one) for one in column], str)

    def concept_score(self) -> Array:
        """Return what ranks studies by concept (n, C): probabilities where there are some, otherwise values.

        Raises:
            OslerError: `part-missing` where the table has neither.
        """
        scores = self.concept_prob if self.concept_prob is not None else self.concept_value
        if scores is None:
            raise _missing("The table has no concepts.", ["the record of a bottleneck"])
        return scores

    def truth(self) -> Array:
        """Return the concept truth (n, C).

        Raises:
            OslerError: `part-missing` where nobody annotated concepts.
        """
        if self.concept_truth is None:
            raise _missing("Nobody annotated the concepts of these studies.", ["a set with annotated concepts"])
        return self.concept_truth

    def table(self) -> pd.DataFrame:
        """Return the flat table, one row a study."""
        parts = {"study": self.studies, "patient": self.patients, "site": self.sites}
        frames = [
            pd.DataFrame({**parts, "y": [self.classes[k] for k in self.y]}),
            self.attributes.reset_index(drop=True).add_prefix("attribute:"),
            pd.DataFrame(self.prob, columns=[f"prob:{one}" for one in self.classes]),
        ]
        frames += [
            pd.DataFrame(array, columns=[f"{name}:{one}" for one in self.concepts])
            for name in ("concept_value", "concept_prob", "concept_truth")
            if (array := getattr(self, name)) is not None
        ]
        return pd.concat([one for one in frames if len(one.columns)], axis=1)

    def save(self, folder: Path) -> Path:
        """Write table and head into a folder, which is made, and return it."""
        folder.mkdir(parents=True, exist_ok=True)
        self.table().to_parquet(folder / TABLE, index=False)
        head = {
            "format": FORMAT,
            "classes": list(self.classes),
            "concepts": list(self.concepts),
            "studies": len(self),
            "table_sha256": _sha256(folder / TABLE),
            "head": dict(self.head),
        }
        (folder / HEAD).write_text(json.dumps(head, indent=1, sort_keys=True) + "\n", encoding="utf-8")
        return folder

    @classmethod
    def load(cls, folder: Path) -> Records:
        """Read what `save` wrote.

        Raises:
            OslerError: `source-missing` where a file is not there; `table-invalid` where they are damaged or do not belong
                together.
        """
        for name in (TABLE, HEAD):
            if not (folder / name).is_file():
                raise OslerError(
                    Code.SOURCE_MISSING, f"There is no {name}.", "Name a folder that holds saved predictions."
                )
        try:
            head = json.loads((folder / HEAD).read_text(encoding="utf-8"))
            known = isinstance(head, dict) and head["format"] == FORMAT
        except (ValueError, KeyError) as error:
            raise _invalid(f"{HEAD} cannot be read.") from error
        if not known or head.get("table_sha256") != _sha256(folder / TABLE):
            raise _invalid(f"{TABLE} is not the table that {HEAD} describes.")
        return cls._of_table(pd.read_parquet(folder / TABLE), head)

    @classmethod
    def _of_table(cls, table: pd.DataFrame, head: Mapping[str, Any]) -> Records:
        classes, concepts = tuple(head["classes"]), tuple(head["concepts"])
        place = {name: k for k, name in enumerate(classes)}

        def block(name: str) -> Array | None:
            wanted = [f"{name}:{one}" for one in concepts]
            return table[wanted].to_numpy(float) if wanted and wanted[0] in table else None

        own = [name for name in table.columns if name.startswith("attribute:")]
        study, patient, site = (tuple(table[name].astype(str)) for name in _TEXTS)
        return cls(
            classes=classes,
            y=np.array([place[name] for name in table["y"]], np.intp),
            prob=table[[f"prob:{one}" for one in classes]].to_numpy(float),
            studies=study,
            patients=patient,
            sites=site,
            attributes=table[own].rename(columns=lambda name: name.removeprefix("attribute:")),
            concepts=concepts,
            concept_value=block("concept_value"),
            concept_prob=block("concept_prob"),
            concept_truth=block("concept_truth"),
            head=head["head"],
        )


def same_studies(first: Records, second: Records) -> tuple[Records, Records]:
    """Return two tables with their rows in one order, so that what they say can be compared study by study.

    Raises:
        OslerError: `table-invalid` where they do not hold the same studies, classes and truth.
    """
    if first.classes != second.classes or set(first.studies) != set(second.studies):
        raise _invalid("The two tables do not hold the same studies and classes.")
    place = {study: i for i, study in enumerate(second.studies)}
    second = second.rows(np.array([place[study] for study in first.studies], np.intp))
    if not np.array_equal(first.y, second.y) or first.patients != second.patients:
        raise _invalid("The two tables do not agree on classes or patients.")
    return first, second


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _invalid(said: str) -> OslerError:
    return OslerError(Code.TABLE_INVALID, said, "Save the predictions again with `Records.save`.")


def _missing(said: str, known: Sequence[str]) -> OslerError:
    return OslerError(Code.PART_MISSING, said, f"Use {', '.join(known)}.")
