"""Whatever is wrong with a recipe of a bench is refused with its line, before anything is fitted."""

from __future__ import annotations

from importlib.resources import files

import pytest

from osler_contracts.codes import Code
from osler_contracts.errors import OslerError
from osler_training.adaptation.plan import cells_of, fits_of
from osler_training.adaptation.recipe import AdaptRecipe
from osler_training.shift.lines import parse_recipe, read_recipe
from osler_training.shift.plan import seeds_of

from .conftest import RECIPE


def parsed(text: str) -> AdaptRecipe:
    """Parse a recipe of a bench."""
    recipe = parse_recipe(text, "recipe.yaml", AdaptRecipe).recipe
    assert isinstance(recipe, AdaptRecipe)
    return recipe


@pytest.mark.parametrize(
    ("old", "new", "line", "words"),
    [
        ("draws: 6", "drawn: 6", "draws: 6", "there is no such entry"),
        ("draws: 6", "draws: 0", "draws: 6", "greater than or equal to 1"),
        ("shots: [1, 2, 4, 8]", "shots: [4, 2]", "shots:", "shots are different numbers, ascending"),
        ("shots: [1, 2, 4, 8]", "shots: []", "shots:", "at least 1 item"),
        ("draws: 6", "streams: [natural, sorted]", "draws: 6", "'natural' or 'balanced'"),
        ("rival: logistic_shots", "rival: nobody", "", "rival names nobody, which adapters does not have"),
        ("draws: 6", "planted: {abroad: [round_nucleus]}", "", "planted names abroad, which data does not have"),
        ("  none: []\n", "", "", "preprocessing needs `none: []`"),
        ("  none: []\n", "  none: [feature_moments]\n", "", "preprocessing needs `none: []`"),
        ("draws: 6", "examined: [bottleneck]", "", "a bench of adaptation knows no examined"),
        ("draws: 6", "images: 64", "", "a bench of adaptation knows no images"),
        ("draws: 6", "wrong_labels: 1", "", "would leave no shot of a class"),
        ("draws: 6", "standard: concept_lda", "", "standard names concept_lda, which needs labels"),
    ],
)
def test_a_wrong_entry_is_refused_with_its_line(old: str, new: str, line: str, words: str) -> None:
    text = RECIPE.replace(old, new)
    with pytest.raises(OslerError) as refused:
        parsed(text)
    assert refused.value.code is Code.USAGE
    assert words in str(refused.value)
    if line:
        number = next(n for n, one in enumerate(RECIPE.splitlines(), 1) if one.startswith(line))
        assert f"line {number} " in str(refused.value)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("  site_correction:\n", "  site_corection:\n", "There is no adapter 'site_corection'"),
        ("  concept_lda:\n", "  concept_lda: {options: {towards: sideways}}\n", "towards"),
        ("  concept_lda:\n", "  concept_lda: {options: {magic: 1}}\n", "magic"),
    ],
)
def test_an_unknown_adapter_or_setting_is_refused(old: str, new: str, words: str) -> None:
    with pytest.raises(OslerError, match=words) as refused:
        parsed(RECIPE.replace(old, new))
    assert refused.value.code is Code.USAGE


def test_adapters_may_be_a_list_or_stand_twice_under_other_names() -> None:
    lined = parsed(RECIPE[: RECIPE.index("adapters:")] + "adapters: [tti_reading, concept_lda]\n")
    assert list(lined.adapters) == ["tti_reading", "concept_lda"]
    twice = parsed(RECIPE.replace("  concept_lda:\n", "  twice: {adapter: concept_lda, options: {min_shots: 2}}\n"))
    assert twice.adapters["twice"].adapter == "concept_lda"


def test_cells_are_models_by_targets_by_preprocessings() -> None:
    recipe = parsed(RECIPE)
    assert [fit.name for fit in fits_of(recipe)] == ["home--3--phantom_clip--bottleneck"]
    assert [(cell.target, cell.preprocessing) for cell in cells_of(recipe)] == [("away", "none"), ("away", "moments")]
    assert len({cell.name for cell in cells_of(recipe)}) == 2
    few = parsed(RECIPE.replace("held_out_least: 1}}}", "held_out_least: 1}}, preprocessing: [moments]}"))
    assert [cell.preprocessing for cell in cells_of(few)] == ["moments"]


def test_every_shipped_bench_can_be_read() -> None:
    names = [
        one.name.removesuffix(".yaml")
        for one in files("osler_training.recipes").iterdir()
        if one.name.startswith("adapt_") and one.name.endswith(".yaml")
    ]
    assert {"adapt_cells", "adapt_skin", "adapt_chest", "adapt_phantoms", "adapt_phantoms_marker"} <= set(names)
    for name in names:
        recipe = read_recipe(name, AdaptRecipe).recipe
        assert isinstance(recipe, AdaptRecipe)
        assert recipe.name == name
        assert recipe.draws * len(seeds_of(recipe)) >= 100  # each seed draws halves of its own
        assert recipe.phantom is ("phantom" in name)
        assert all(source.root.startswith("${") for source in recipe.data.values()), "a machine's path in a recipe"
