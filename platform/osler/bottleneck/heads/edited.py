"""A head that a person edited: named lists of pruned links, on top of a head that stays as it was fitted (M3)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from importlib import import_module
from typing import Any, Literal, get_args

import numpy as np

from osler.bottleneck.pipeline import Pipeline, kind_of
from osler.bottleneck.protocols import Head, Record, Tensors
from osler.bottleneck.records import Array, ConceptState, Features, Output, columns
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

Op = Literal["prune", "prune_normalise"]


@dataclass(frozen=True)
class Step:
    """One link that is cut.

    Attributes:
        finding: The class.
        concept: The concept that shall not speak for or against it.
        op: `prune` sets the weight to zero; `prune_normalise` then scales the class's other weights until they add up, by
            amount, to what they did.
    """

    finding: str
    concept: str
    op: Op = "prune"


@dataclass(frozen=True)
class HeadEdit:
    """What somebody changed, and why.

    Attributes:
        name: What it is called; it can be taken back by it.
        steps: The links that are cut, one after the other.
        reason: A sentence, for review.
        created: ISO date.
    """

    name: str
    steps: tuple[Step, ...]
    reason: str = ""
    created: str = ""


@dataclass(frozen=True, eq=False)
class EditedHead:
    """A head with weights, and edits of them.

    Attributes:
        base: The head as it was fitted; its bias and residual stay.
        classes: Names of the classes, in the order of the logits.
        edits: In the order in which they were made; no two of one name.
    """

    base: Head
    classes: tuple[str, ...]
    edits: tuple[HeadEdit, ...]

    def __post_init__(self) -> None:
        weights = self.base.weights()
        if weights is None or len(weights) != len(self.classes):
            raise _invalid(f"The head has no weights of {len(self.classes)} classes.", "Edit a head that is linear.")
        names = [edit.name for edit in self.edits]
        if len(set(names)) != len(names):
            raise _invalid(f"Two edits are called {max(names, key=names.count)!r}.", "Give each edit its own name.")
        for step in (step for edit in self.edits for step in edit.steps):
            if step.finding not in self.classes or step.op not in get_args(Op):
                raise _invalid(
                    f"An edit asks for {step.op!r} of the class {step.finding!r}.",
                    f"Use {' or '.join(get_args(Op))}, and one of {', '.join(self.classes)}.",
                )
            columns(self.base.ids, (step.concept,), "head")

    @property
    def ids(self) -> tuple[str, ...]:
        """The concepts, in the order of the columns."""
        return self.base.ids

    @property
    def bias(self) -> Array:
        """Bias of the head as it was fitted (K,)."""
        return np.asarray(getattr(self.base, "bias", np.zeros(len(self.classes))))

    @cached_property
    def _weights(self) -> Array:
        weights = np.array(self.base.weights())
        for edit in self.edits:
            for step in edit.steps:
                row = weights[self.classes.index(step.finding)]
                before = np.abs(row).sum()
                row[self.ids.index(step.concept)] = 0.0
                if step.op == "prune_normalise" and row.any():  # what nothing is left of cannot be scaled
                    row *= before / np.abs(row).sum()
        return weights

    def weights(self) -> Array:
        """Weights (K, C), edited."""
        return self._weights

    def predict(self, state: ConceptState, features: Features) -> Output:
        """Conclude with the edited weights; `contrib`, the bias and a residual sum to the logits.

        Raises:
            OslerError: `unknown-concept`.
        """
        output = self.base.predict(state, features)
        contrib = self._weights[:, columns(self.ids, state.ids, "head")][None] * state.static[:, None]
        fitted = output.logits if output.residual_logits is None else output.logits - output.residual_logits
        logits = contrib.sum(axis=-1) + self.bias
        return replace(output, logits=output.logits + (logits - fitted), contrib=contrib)

    def to_artefact(self) -> tuple[Tensors, Record]:
        """Return what to store: the head as it was fitted, and the edits."""
        tensors, record = self.base.to_artefact()
        edits = [asdict(edit) for edit in self.edits]
        return tensors, {"base": {"kind": kind_of(self.base), **record}, "classes": list(self.classes), "edits": edits}

    @classmethod
    def from_artefact(cls, tensors: Mapping[str, Array], record: Mapping[str, Any]) -> EditedHead:
        """Build the head from what was stored."""
        kind = record["base"]["kind"]
        if not kind.isidentifier():
            raise ValueError("A kind is the name of a module")
        base = import_module(f"osler.bottleneck.heads.{kind}").HEAD.from_artefact(tensors, record["base"])
        edits = tuple(_read(edit) for edit in record["edits"])
        return cls(base, tuple(record["classes"]), edits)


def edit(pipeline: Pipeline, change: HeadEdit) -> Pipeline:
    """Return the pipeline with its head edited; the one given stays as it is.

    It is another model, with another digest: patches of the one given are not its own, and what was calibrated should be
    calibrated again.

    Raises:
        OslerError: `model-invalid` where the head has no weights, the name is taken, or a class or an operation is none of
            its own; `unknown-concept`.
    """
    head = pipeline.head
    former = head if isinstance(head, EditedHead) else EditedHead(head, pipeline.classes, ())
    return replace(pipeline, head=replace(former, edits=(*former.edits, change)), patches={})


def revert(pipeline: Pipeline, name: str) -> Pipeline:
    """Return the pipeline without the edit of that name; without its last one it is the model that was fitted.

    Raises:
        OslerError: `model-invalid` where it has no such edit.
    """
    head = pipeline.head
    edits = head.edits if isinstance(head, EditedHead) else ()
    left = tuple(one for one in edits if one.name != name)
    if not isinstance(head, EditedHead) or left == edits:
        made = ", ".join(one.name for one in edits) or "none"
        raise _invalid(f"The head has no edit {name!r}.", f"Its edits are: {made}.")
    return replace(pipeline, head=replace(head, edits=left) if left else head.base, patches={})


def _read(record: Mapping[str, Any]) -> HeadEdit:
    return HeadEdit(**{**record, "steps": tuple(Step(**step) for step in record["steps"])})


def _invalid(message: str, mend: str) -> OslerError:
    return OslerError(Code.MODEL_INVALID, message, mend)


HEAD = EditedHead
