"""The cells of a recipe: every source, seed, encoder, preprocessing and method that it asks for."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from osler_training.shift.recipe import ShiftRecipe


@dataclass(frozen=True, order=True)
class Cell:
    """One fit.

    Attributes:
        source: Site to learn at.
        seed: Seed of split, fit and bootstrap.
        encoder: Name of the encoder in the recipe.
        preprocessing: Name of the preprocessing.
        method: Name of the method's entry.
    """

    source: str
    seed: int
    encoder: str
    preprocessing: str
    method: str

    @property
    def name(self) -> str:
        """Name of its folder."""
        return "--".join(str(one) for one in asdict(self).values())


def cells_of(recipe: ShiftRecipe) -> list[Cell]:
    """Return the cells in the recipe's order."""
    return [
        Cell(source, seed, encoder, preprocessing, method)
        for source in recipe.source
        for seed in seeds_of(recipe)
        for encoder in recipe.encoders
        for preprocessing in recipe.preprocessing
        for method, entry in recipe.methods.items()
        if encoder in (entry.encoders or recipe.encoders)
        and preprocessing in (entry.preprocessing or recipe.preprocessing)
    ]


def seeds_of(recipe: ShiftRecipe) -> range:
    """Return the seeds."""
    return range(recipe.seed, recipe.seed + recipe.seeds)
