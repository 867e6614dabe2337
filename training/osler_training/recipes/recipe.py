"""Recipes: the declarative files that say what an experiment is. Unknown keys and impossible values are refused."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from osler.bottleneck.encoders.catalogue import DEFAULT
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1)]
Methods = dict[str, dict[str, Any]]


class Recipe(BaseModel):
    """What all recipes share.

    Attributes:
        name: Name of the experiment.
        seed: Every random number follows from it.
        classes: Findings to tell apart; the nuisance goes with the first.
        reference_diagnoses: Diagnoses of the studies that groundings learn from, in equal parts; they need not be the
            classes alone.
        not_mentioned: What a report's silence on a concept means.
        encoder: A shipped encoder by its name (`phantom_clip`, trained on phantoms; `imagenet_lite0`, trained on
            photographs, of the extra `imagenet`), or the folder of another.
        encoder_sha256: SHA-256 of the encoder's weights; needed where its folder records none.
        methods: Options of each method by its name.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    seed: int
    classes: Annotated[tuple[str, ...], Field(min_length=2)]
    reference_diagnoses: Annotated[tuple[str, ...], Field(min_length=2)]
    not_mentioned: Literal["absent", "unknown"] = "absent"
    encoder: str = DEFAULT
    encoder_sha256: str | None = None
    methods: Methods

    def with_encoder(self, encoder: str | None) -> Self:
        """Return the recipe with another encoder, where one is named."""
        return self if encoder is None else self.model_copy(update={"encoder": encoder, "encoder_sha256": None})

    @model_validator(mode="after")
    def _methods_exist(self) -> Self:
        from osler_training.fit.methods import parse_options

        for name, options in self.methods.items():
            parse_options(name, options)
        return self


class SplitShares(BaseModel):
    """Shares of a site's patients; they sum to 1."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    train: Share = 0.5
    select: Share = 0.15
    calibrate: Share = 0.15
    test: Share = 0.2

    @model_validator(mode="after")
    def _sum_to_one(self) -> Self:
        if abs(sum(self.model_dump().values()) - 1) > 1e-9:
            raise ValueError("the shares of the splits must sum to 1")
        return self


class DemoRecipe(Recipe):
    """The demonstration.

    Attributes:
        label: Name of the label that holds the class.
        render_size: Rows and columns of the phantom radiographs.
        source_studies: Studies of hospital A with one of the classes, the same number of each.
        target_studies: The same of hospital B.
        reference_studies: Studies with reports from other sites, for grounding.
        later_studies: Studies of hospital C, which nothing is fitted or measured on: for whoever tries adaptation out.
        nuisance: Name of the nuisance that goes with the first class at A and with the others at B, or `held_out` for the
            one that the seed draws from those that the encoder never saw.
        confounding: 1: always.
        splits: Shares of A's patients.
        support_share: Share of B's patients from whom support is drawn; the rest are B's test.
        shots: Support studies of each class.
        draws: Support draws.
        created: ISO date that patches carry.
        spoiled: Spoiled files for each sound one.
    """

    label: str = "finding"
    render_size: Count = 512
    source_studies: Count
    target_studies: Count
    reference_studies: Count
    later_studies: Annotated[int, Field(ge=0)] = 0
    nuisance: str = "held_out"
    confounding: Share = 1.0
    splits: SplitShares = SplitShares()
    support_share: Share = 0.3
    shots: Count = 4
    draws: Annotated[int, Field(ge=20)] = 20
    created: str
    spoiled: Share = 0.05


class Arm(BaseModel):
    """One kind of nuisance in a sweep, with what is run on it.

    Attributes:
        name: Name of the arm.
        nuisance: `held_out`: one for each seed, drawn from those that the encoder never saw; `mimic`: the one that looks like a
            concept.
        levels: Confounding in training.
        methods: Methods to run, all where empty.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    nuisance: Literal["held_out", "mimic"]
    levels: Annotated[tuple[Share, ...], Field(min_length=1)]
    methods: tuple[str, ...] = ()


class AdaptRule(BaseModel):
    """Adaptation of the leading method to hospital B, where the nuisance goes with every class but the first.

    Attributes:
        levels: Levels of confounding at which it is done.
        patients: Studies of hospital B.
        support_share: Share of its patients from whom support is drawn; the rest are its test.
        shots: Support studies of each class.
        draws: Support draws.
        tolerances: By name of a variant, how much accuracy at the source may fall if the patch were not gated, as a fraction.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    levels: Annotated[tuple[Share, ...], Field(min_length=1)] = (1.0,)
    patients: Count = 400
    support_share: Share = 0.3
    shots: Count = 4
    draws: Annotated[int, Field(ge=20)] = 20
    tolerances: Annotated[dict[str, Share], Field(min_length=1)] = {"tti_reading": 0.005}


class SweepRecipe(Recipe):
    """A sweep over confounding.

    Attributes:
        seeds: Number of seeds.
        patients: Patients of each seed, in equal parts of each class.
        reference_studies: Studies with reports from randomised sites, for grounding.
        render_size: Rows and columns of the rendering, before it is brought to the encoder's size.
        splits: Shares of the patients.
        arms: Nuisances.
        lead: The method whose lead is reported.
        adaptation: How the leading method, a bottleneck, is adapted to hospital B; None for not at all.
    """

    seeds: Count = 5
    patients: Count
    reference_studies: Count
    render_size: Count = 256
    splits: SplitShares = SplitShares()
    arms: Annotated[tuple[Arm, ...], Field(min_length=1)]
    lead: str = "bottleneck_prior"
    adaptation: AdaptRule | None = None

    @model_validator(mode="after")
    def _arms_name_methods(self) -> Self:
        named = {method for arm in self.arms for method in arm.methods} | {self.lead}
        if strangers := named - set(self.methods):
            raise ValueError(f"no options are given for {', '.join(sorted(strangers))}")
        return self

    def methods_of(self, arm: Arm) -> Methods:
        """Return the options of the methods that an arm runs."""
        return {name: self.methods[name] for name in arm.methods or self.methods}


R = TypeVar("R", bound=Recipe)


def load_recipe(kind: type[R], path: Path | str) -> R:
    """Read a recipe from a file, or a shipped one by its bare name.

    Raises:
        OslerError: `source-missing` where there is no such file; `usage` where it is not such a recipe.
    """
    shipped = files("osler_training.recipes") / f"{path}.yaml"
    try:
        text = (Path(path) if Path(path).suffix else shipped).read_text(encoding="utf-8")
        record = yaml.safe_load(text)
        return kind.model_validate(record)
    except FileNotFoundError as error:
        raise OslerError(
            Code.SOURCE_MISSING, f"There is no recipe {path}.", "Name a YAML file or a shipped recipe."
        ) from error
    except yaml.YAMLError as error:
        raise OslerError(Code.USAGE, f"The recipe {path} is not YAML.", "Correct its syntax.") from error
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, one['loc'])) or 'recipe'}: {one['msg']}" for one in error.errors())
        raise OslerError(Code.USAGE, f"The recipe {path} is not valid: {wrong}.", "Correct these entries.") from error
