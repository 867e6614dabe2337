"""The recipe of a shift experiment: sites, splits, encoders, corrections and methods, all refused or taken as a whole."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, field_validator, model_validator

from osler_contracts.codes import Code
from osler_contracts.errors import OslerError
from osler_training.recipes.recipe import Count, SplitShares

Scalar = str | int | float | bool
NONE = "none"  # the preprocessing that corrects nothing
OWN = "source"  # the reference is the source itself


class Strict(BaseModel):
    """Unknown keys are refused, and nothing changes after it is read."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class SiteSource(Strict):
    """Where the images of a site are.

    Attributes:
        dataset: Name of a data set's adapter.
        root: Its folder; `${NAME}` stands for an environment variable, so that no machine's path is in a recipe.
        options: Options of the adapter.
        where: By column of the table, the values that are kept.
        stain: A planted stain: factors of the densities of haematoxylin, eosin and the rest.
    """

    dataset: str
    root: str
    options: dict[str, Any] = {}
    where: dict[str, tuple[Scalar, ...]] = {}
    stain: tuple[PositiveFloat, PositiveFloat, PositiveFloat] | None = None

    @field_validator("where", mode="before")
    @classmethod
    def _one_is_a_list(cls, value: Any) -> Any:
        if not isinstance(value, Mapping):
            return value
        return {key: one if isinstance(one, list | tuple) else (one,) for key, one in value.items()}

    def folder(self) -> Path:
        """Return the root with its environment variables.

        Raises:
            OslerError: `usage` where one is not set.
        """
        missing = [name for name in re.findall(r"\$\{(\w+)\}", self.root) if name not in os.environ]
        if missing:
            raise OslerError(
                Code.USAGE,
                f"The environment variable {', '.join(missing)} of root {self.root!r} is not set.",
                f"Set it, such as `export {missing[0]}=FOLDER`, or write the folder into the recipe.",
            )
        return Path(re.sub(r"\$\{(\w+)\}", lambda found: os.environ[found[1]], self.root))


class ConfoundRule(Strict):
    """The confounded split of M1: in training a class goes with one value of an attribute, in the second test with the other.

    Attributes:
        attribute: Column of the source's table.
        values: The value of each class in training: a text, several, or `{low: .., high: ..}` for numbers.
        sizes: Images of each class in train, select, calibrate, id_test and ood_test.
        exceptions: Images of each class with the other value, beside those, in train, select or calibrate: without any, a
            group is a class, and methods that know groups have nothing to work with.
    """

    attribute: str
    values: Annotated[tuple[str | tuple[str, ...] | dict[str, float], ...], Field(min_length=2)]
    sizes: dict[str, Count]
    exceptions: dict[str, Count] = {}


class EncoderEntry(Strict):
    """An encoder.

    Attributes:
        path: Shipped name or folder; empty stands for the entry's own name.
        sha256: SHA-256 of the weights; needed where the folder records none.
        digest: Digest that the encoder must have; a recipe that names it refuses the features of another.
    """

    path: str = ""
    sha256: str | None = None
    digest: str | None = None


class MethodEntry(Strict):
    """A method with its options, under a name of the recipe's own: one method may stand there several times.

    Attributes:
        method: Name of the method's module; empty stands for the entry's own name.
        options: Its options.
        encoders: The encoders that it is run on; empty for all.
        preprocessing: The preprocessings that it is run under; empty for all.
        family: What it counts as in the report; empty stands for its method.
    """

    method: str = ""
    options: dict[str, Any] = {}
    encoders: tuple[str, ...] = ()
    preprocessing: tuple[str, ...] = ()
    family: str = ""


class ShiftRecipe(Strict):
    """A shift experiment.

    Attributes:
        name: Name of the experiment.
        seed: First seed; every random number follows from it.
        seeds: Number of seeds, which follow each other.
        task: Task whose shipped bank is used; `bank` names a file instead.
        bank: A bank's file.
        classes: Findings to tell apart.
        phantom: Whether the images are phantoms, as every page will say.
        data: Sites by name.
        source: Site to learn at, or several, each in turn.
        targets: Sites to be carried to; empty for all others but the reference.
        reference: Site whose concepts ground; `source` for the training part of the source itself.
        labels_from: What a reference knows of concepts: its `annotations`, or its `reports`.
        splits: Shares of the source's patients, or `part` for the set's own parts (val is halved for select and calibrate).
        smallest_class: A class with fewer images in any part or site is refused.
        absent_at_target: Whether a target may lack classes.
        constant_concepts: What becomes of concepts that the reference answers always alike.
        concepts: Concepts to use; empty for all that the reference knows.
        confound: By source, its confounded split, instead of targets.
        groups: Column of the sources' tables whose values, with the class, make the groups of group DRO; empty for the
            attribute of a confounded split, else for the sites of a source that holds several.
        encoders: Encoders by name.
        preprocessing: By name, a list of corrections, each a name or `{name: options}`.
        methods: Methods by name.
        baseline: Names of the entries of `methods` among whose rows the paired baseline is chosen, on the source alone;
            `linear_probe` where nothing is said and there is one.
        examined: Bottlenecks of which interventions, leakage and sparsity are measured too (M19), some seconds a cell.
        images: Side in pixels of the images that methods trained on pixels receive; None for none.
        replicates: Replicates of the bootstrap over patients.
        goal_metric: Metric of the curve and of the paired differences.
        notes: What a reader must know, printed on the page.
    """

    name: Annotated[str, Field(pattern=r"^[\w.-]+$")]
    seed: int = 20
    seeds: Count = 1
    task: Literal["blood-cell", "dermoscopy", "chest-radiograph"] | None = None
    bank: Path | None = None
    classes: Annotated[tuple[str, ...], Field(min_length=2)]
    phantom: bool = False
    data: Annotated[dict[str, SiteSource], Field(min_length=1)]
    source: Annotated[tuple[str, ...], Field(min_length=1)]
    targets: tuple[str, ...] = ()
    reference: str = OWN
    labels_from: Literal["annotations", "reports"] = "annotations"
    splits: SplitShares | Literal["part"] = SplitShares()
    smallest_class: Count = 5
    absent_at_target: bool = False
    constant_concepts: Literal["refuse", "leave_out"] = "refuse"
    concepts: tuple[str, ...] = ()
    confound: dict[str, ConfoundRule] = {}
    groups: str = ""
    encoders: Annotated[dict[str, EncoderEntry], Field(min_length=1)]
    preprocessing: Annotated[dict[str, tuple[str | dict[str, dict[str, Any]], ...]], Field(min_length=1)] = {NONE: ()}
    methods: Annotated[dict[str, MethodEntry], Field(min_length=1)]
    baseline: tuple[str, ...] = ()
    examined: tuple[str, ...] = ()
    images: Count | None = None
    replicates: Annotated[int, Field(ge=20)] = 1000
    goal_metric: str = "balanced_accuracy"
    notes: tuple[str, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _short_forms(cls, record: Any) -> Any:
        """Let `linear_probe:` and a list of encoders stand for entries without anything to say."""
        if not isinstance(record, dict):
            return record
        record = dict(record)
        if isinstance(record.get("source"), str):
            record["source"] = [record["source"]]
        for key in ("encoders", "methods"):
            value = record.get(key)
            if isinstance(value, list) and all(isinstance(one, str) for one in value):
                record[key] = {one: {} for one in value}
            elif isinstance(value, dict):
                record[key] = {name: {} if entry is None else entry for name, entry in value.items()}
        if "linear_probe" in (record.get("methods") or ()):
            record.setdefault("baseline", ["linear_probe"])
        return record

    @model_validator(mode="after")
    def _hangs_together(self) -> Self:
        if (self.task is None) == (self.bank is None):
            raise ValueError("name either a task or a bank")
        if len(set(self.classes)) < len(self.classes):
            raise ValueError("a class is named twice")
        named = {"source": self.source, "targets": self.targets}
        if self.reference != OWN:
            named["reference"] = (self.reference,)
        for entry, sites in named.items():
            if strangers := sorted(set(sites) - set(self.data)):
                raise ValueError(f"{entry} names {', '.join(strangers)}, which data does not have")
        if self.reference in (*self.source, *self.targets):
            raise ValueError("the reference is also tested at: split it by `where`, or ground on the source's own part")
        if strangers := sorted(set(self.confound) - set(self.source)):
            raise ValueError(f"confound names {', '.join(strangers)}, which is no source")
        for entry, names in {"baseline": self.baseline, "examined": self.examined}.items():
            if strangers := sorted(set(names) - set(self.methods)):
                raise ValueError(f"{entry} names {', '.join(strangers)}, which methods does not have")
        if spaced := [
            one for one in (*self.data, *self.encoders, *self.preprocessing, *self.methods) if not _plain(one)
        ]:
            raise ValueError(f"names are letters, digits, _ . and -: {', '.join(map(repr, spaced))}")
        return self

    @model_validator(mode="after")
    def _slots_exist(self) -> Self:
        from osler_training.fit.methods import parse_options

        for name, entry in self.methods.items():
            parse_options(entry.method or name, entry.options)
            for key, known in (("encoders", self.encoders), ("preprocessing", self.preprocessing)):
                if strangers := sorted(set(getattr(entry, key)) - set(known)):
                    raise ValueError(
                        f"method {name} names {key} {', '.join(strangers)}, which the recipe does not have"
                    )
        return self

    def targets_of(self, source: str) -> tuple[str, ...]:
        """Return the sites that a model of a source is carried to."""
        if source in self.confound:
            return ()
        return tuple(
            one for one in self.data if one not in (source, self.reference) and one in (self.targets or self.data)
        )

    @property
    def banked(self) -> str:
        """Name of the entry that gives the bank."""
        return "bank" if self.bank else "task"

    @property
    def digest(self) -> str:
        """SHA-256 of the recipe's values."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()


def _plain(name: str) -> bool:
    return re.fullmatch(r"[\w.-]+", name) is not None
