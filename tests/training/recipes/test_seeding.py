"""What a new installation is given: always the same study, and a recipe that makes a model quickly."""

from __future__ import annotations

from io import BytesIO

from pydicom import dcmread

from osler_training.demo.seeding import phantom_study
from osler_training.recipes.recipe import DemoRecipe, load_recipe


def test_the_phantom_study_is_the_same_each_time_and_whole() -> None:
    study, objects = phantom_study()
    assert (study, objects) == phantom_study()
    assert objects
    for uid, data in objects.items():
        film = dcmread(BytesIO(data))
        assert (str(film.StudyInstanceUID), str(film.SOPInstanceUID)) == (study, uid)
        assert film.pixel_array.size > 0


def test_the_model_of_a_new_installation_is_small_and_fitted_with_a_prior() -> None:
    recipe, demo = load_recipe(DemoRecipe, "services"), load_recipe(DemoRecipe, "demo")
    assert "bottleneck_prior" in recipe.methods
    assert recipe.source_studies * 3 < demo.source_studies
    assert recipe.seed != demo.seed
