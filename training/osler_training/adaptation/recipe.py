"""The recipe of an adaptation bench: a shift experiment's sites and models, and the adapters, shots and draws tried on them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from osler_training.recipes.recipe import Count
from osler_training.shift.recipe import NONE, ShiftRecipe, Strict

Stream = Literal["natural", "balanced"]
UNUSED = ("confound", "examined", "images", "baseline")


class AdapterEntry(Strict):
    """An adapter with its options, under a name of the recipe's own: one adapter may stand there several times.

    Attributes:
        adapter: Name of the adapter's module; empty stands for the entry's own name.
        options: Its settings.
    """

    adapter: str = ""
    options: dict[str, Any] = Field(default_factory=dict)


class AdaptRecipe(ShiftRecipe):
    """An adaptation bench. What it inherits means what it means there; `methods` are the bottlenecks to adapt.

    Attributes:
        adapters: Adapters by name.
        shots: Labelled studies of each class in a support.
        draws: Supports that are drawn, the same for every adapter and preprocessing.
        streams: Mixes of the unlabelled pool: `natural` as it is, `balanced` with each class equally often.
        other_classes: Whether the unlabelled pool holds the site's images of other classes too.
        least_test: Fewest test studies of each class; a smaller class gives the rest to the pool, or the site is refused.
        harm: How much worse than no change counts as harm, as a fraction of balanced accuracy.
        rival: Adapter to be overtaken by, such as logistic regression on the shots: from which n is it ahead?
        standard: Adapter that needs no labels, with which every other is compared on the same draws; empty for none.
        wrong_labels: Shots of every support whose label is changed to another class, for adapters to stand.
        planted: By target, the concepts that the phantom's makers confounded; how often each is masked is reported.
    """

    adapters: Annotated[dict[str, AdapterEntry], Field(min_length=1)]
    shots: Annotated[tuple[Count, ...], Field(min_length=1)] = (1, 2, 4, 8, 16)
    draws: Count = 100
    streams: Annotated[tuple[Stream, ...], Field(min_length=1)] = ("natural", "balanced")
    other_classes: bool = False
    least_test: Count = 8
    harm: Annotated[float, Field(ge=0, lt=1)] = 0.01
    rival: str = ""
    standard: str = ""
    wrong_labels: Annotated[int, Field(ge=0)] = 0
    planted: dict[str, tuple[str, ...]] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _short_adapters(cls, record: Any) -> Any:
        """Let a list, or a name without anything to say, stand for adapters with their own settings."""
        if not isinstance(record, Mapping):
            return record
        record, value = dict(record), record.get("adapters")
        if isinstance(value, list) and all(isinstance(one, str) for one in value):
            record["adapters"] = {one: {} for one in value}
        elif isinstance(value, dict):
            record["adapters"] = {name: {} if entry is None else entry for name, entry in value.items()}
        return record

    @field_validator("shots")
    @classmethod
    def _ascending(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if list(value) != sorted(set(value)):
            raise ValueError("shots are different numbers, ascending")
        return value

    @model_validator(mode="after")
    def _bench_hangs_together(self) -> Self:
        if unused := [name for name in UNUSED if name in self.model_fields_set and getattr(self, name)]:
            raise ValueError(f"a bench of adaptation knows no {', '.join(unused)}")
        if NONE not in self.preprocessing or self.preprocessing[NONE]:
            raise ValueError(f"preprocessing needs `{NONE}: []`, against which every gain is measured")
        for role in ("rival", "standard"):
            if getattr(self, role) not in ("", *self.adapters):
                raise ValueError(f"{role} names {getattr(self, role)}, which adapters does not have")
        if self.wrong_labels and self.shots[0] <= self.wrong_labels:
            raise ValueError(
                f"{self.wrong_labels} wrong labels would leave no shot of a class where it has {self.shots[0]}"
            )
        if strangers := sorted(set(self.planted) - set(self.data)):
            raise ValueError(f"planted names {', '.join(strangers)}, which data does not have")
        for name, entry in self.adapters.items():
            if made(name, entry).needs_labels and name == self.standard:
                raise ValueError(f"standard names {name}, which needs labels")
        return self


def made(name: str, entry: AdapterEntry) -> Any:
    """Return the adapter of an entry.

    Raises:
        OslerError: `usage` where there is no such adapter or setting.
    """
    from osler.adapt.adapters import parse_adapter

    return parse_adapter(entry.adapter or name, entry.options)
