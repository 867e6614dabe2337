"""The cells of a bench: every source, seed, encoder, method, preprocessing and target that a recipe asks for."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from osler_training.adaptation.recipe import AdaptRecipe
from osler_training.shift.plan import seeds_of


@dataclass(frozen=True, order=True)
class Fit:
    """A model of a source.

    Attributes:
        source: Site to learn at.
        seed: Seed of splits, fit, draws and bootstrap.
        encoder: Name of the encoder in the recipe.
        method: Name of the method's entry.
    """

    source: str
    seed: int
    encoder: str
    method: str

    @property
    def name(self) -> str:
        """Name of its folder."""
        return "--".join(str(one) for one in asdict(self).values())


@dataclass(frozen=True, order=True)
class Cell:
    """A model carried to a target under one preprocessing.

    Attributes:
        fit: The model.
        target: The site.
        preprocessing: Name of the preprocessing.
    """

    fit: Fit
    target: str
    preprocessing: str

    @property
    def name(self) -> str:
        """Name of its folder."""
        return f"{self.fit.name}--{self.target}--{self.preprocessing}"

    @property
    def key(self) -> dict[str, str | int]:
        """The columns that name it in a table."""
        return {**asdict(self.fit), "target": self.target, "preprocessing": self.preprocessing}


def fits_of(recipe: AdaptRecipe) -> list[Fit]:
    """Return the models in the recipe's order."""
    return [
        Fit(source, seed, encoder, method)
        for source in recipe.source
        for seed in seeds_of(recipe)
        for encoder in recipe.encoders
        for method, entry in recipe.methods.items()
        if encoder in (entry.encoders or recipe.encoders)
    ]


def cells_of(recipe: AdaptRecipe) -> list[Cell]:
    """Return the cells in the recipe's order, `none` among the preprocessings of every model."""
    return [
        Cell(fit, target, preprocessing)
        for fit in fits_of(recipe)
        for target in recipe.targets_of(fit.source)
        for preprocessing in recipe.preprocessing
        if preprocessing in (recipe.methods[fit.method].preprocessing or recipe.preprocessing)
    ]
