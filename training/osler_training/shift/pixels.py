"""Methods that are trained on pixels: whether the recipe keeps any, and that no row claims a correction they do not see."""

from __future__ import annotations

from importlib import import_module

from osler.bottleneck.corrections import parse_correction
from osler_contracts.codes import Code
from osler_training.shift.features import chosen_corrections
from osler_training.shift.lines import RecipeFile


def check_pixels(file: RecipeFile) -> None:
    """Check what methods on pixels need.

    Raises:
        OslerError: `part-missing` with the line where the recipe keeps no images; `usage` where a method on pixels stands
            under a correction of features or images, which it would be tested without.
    """
    recipe = file.recipe
    for name, entry in recipe.methods.items():
        if not is_on_pixels(entry.method or name):
            continue
        if recipe.images is None:
            raise file.refusal(
                Code.PART_MISSING,
                f"{name} is trained on pixels, and the recipe keeps none.",
                "Add a line `images: 96`, the side in pixels, or leave the method out.",
                *("methods", name),
            )
        for preprocessing in entry.preprocessing or recipe.preprocessing:
            stages = {parse_correction(*one).stage for one in chosen_corrections(recipe, preprocessing)}
            if stages - {"probability"}:
                raise file.refusal(
                    Code.USAGE,
                    f"{name} takes pixels as they are, and {preprocessing} would not reach it.",
                    f"Name the preprocessings that it may have, such as `{name}: {{preprocessing: [none]}}`.",
                    *("methods", name),
                )


def is_on_pixels(method: str) -> bool:
    """Return whether a method is trained on pixels instead of features."""
    return bool(getattr(import_module(f"osler_training.fit.methods.{method}"), "ON_PIXELS", False))
