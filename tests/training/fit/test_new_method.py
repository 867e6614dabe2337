"""The worked example of CONTRIBUTING.md runs as it is printed: a new method is one file."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from sklearn.neighbors import NearestCentroid

from osler_training.fit import methods
from osler_training.fit.bottleneck import BottleneckClassifier
from osler_training.fit.methods import fit_method, method_names, parse_options

World = Callable[..., Any]
PAGE = Path(__file__).parents[3] / "CONTRIBUTING.md"


def block(language: str) -> str:
    """Return the first block of that language under the heading of methods."""
    section = PAGE.read_text(encoding="utf-8").split("## A new method")[1]
    found = re.search(rf"```{language}\n(.*?)```", section, re.DOTALL)
    assert found is not None
    return found[1]


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """The recipe's entry, once the printed module lies among the methods."""
    entries = yaml.safe_load(block("yaml"))["methods"]
    (name,) = entries
    assert name not in method_names()
    (tmp_path / f"{name}.py").write_text(block("python"), encoding="utf-8")
    monkeypatch.setattr(methods, "__path__", [*methods.__path__, str(tmp_path)])
    yield {"name": name, **entries[name]}
    sys.modules.pop(f"{methods.__name__}.{name}", None)
    vars(methods).pop(name, None)


def test_the_printed_method_is_short_and_becomes_known_by_its_file(recipe: dict[str, Any]) -> None:
    assert len(block("python").splitlines()) <= 45
    assert recipe["name"] in method_names()
    options = parse_options(recipe["name"], recipe["options"])
    assert (options.sharpness, options.grounding.Cs) == (20.0, (1.0, 10.0))


def test_it_is_fitted_by_the_recipe_and_is_the_nearest_mean(planted: World, recipe: dict[str, Any]) -> None:
    world = planted(3)
    classifier = fit_method(recipe["name"], world.problem, recipe["options"], seed=0)
    assert isinstance(classifier, BottleneckClassifier)
    pipeline, train = classifier.pipeline, world.problem.train
    values, test = (pipeline.scorer.score(one.features, pipeline.bank).static for one in (train, world.test))
    want = NearestCentroid().fit(values, train.y).predict(test)
    np.testing.assert_array_equal(classifier.probabilities(world.test).argmax(axis=1), want)
    assert (want == world.test.y).mean() > 0.7
    output = pipeline.predict_features(world.test.features)
    np.testing.assert_allclose(output.contrib.sum(axis=-1) + pipeline.head.bias, output.logits, atol=1e-9)
