"""Every adapter meets the same draws; what was planted is mended and counted; a patch stays at its site."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import pytest

from osler.adapt.adapter import fit_patch, patch_of
from osler.adapt.changes import ConceptDelta
from osler.adapt.patch import SitePatch
from osler.bottleneck.pipeline import Pipeline
from osler.bottleneck.records import Features, Support
from osler_contracts.errors import OslerError
from osler_training.adaptation import cell as cells
from osler_training.adaptation.cell import RIGHT, TIMES, Bout, is_done, read_right, run_cell
from osler_training.adaptation.model import remember, remembering
from osler_training.adaptation.recipe import AdaptRecipe, made
from osler_training.adaptation.table import make_table

from .conftest import World

Recipes = Callable[..., AdaptRecipe]
Bouts = Callable[..., Bout]
CASES = 90


@dataclass(frozen=True)
class Probe:
    """An adapter that notes what it was given and masks one concept; `wrong` says what else it does."""

    wrong: str = ""

    name: ClassVar[str] = "probe"
    needs_labels: ClassVar[bool] = True
    seen: ClassVar[list[Support]] = []

    def fit(self, pipeline: Pipeline, support: Support, *, created: str) -> SitePatch:
        """Mask the first concept at the site, or at the source."""
        self.seen.append(support)
        if self.wrong == "crash":
            raise ZeroDivisionError("nobody foresaw this")
        one = pipeline.bank.ids[0]
        delta = ConceptDelta(neutral=float(pipeline.neutral[0]), mask=True, sentence=f"masked {one}")
        patch = patch_of(self, pipeline, support, created=created, reason="as told", deltas={one: delta})
        return replace(patch, site="home") if self.wrong == "source" else patch


@pytest.fixture
def probing(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Lets the entry `probe` of a recipe stand for the probe."""

    def use(wrong: str = "") -> None:
        Probe.seen.clear()
        monkeypatch.setattr(cells, "made", lambda name, entry: Probe(wrong) if name == "probe" else made(name, entry))

    return use


def with_probe(recipe: AdaptRecipe) -> AdaptRecipe:
    """The recipe with the probe as its only adapter, which no module names."""
    return recipe.model_copy(update={"adapters": {"probe": SimpleNamespace(adapter="", options={})}, "rival": ""})


def record(recipe: AdaptRecipe, bout: Bout, folder: Path) -> dict[str, Any]:
    """Run a cell of one stream."""
    key = {
        "source": "home",
        "seed": 3,
        "encoder": "e",
        "method": "m",
        "target": bout.arena.site,
        "preprocessing": "none",
    }
    return run_cell(recipe, {"cell": key}, [bout], folder)


def test_standardisation_wins_where_moments_were_moved_and_not_where_they_match(
    recipe_of: Recipes, bout_of: Bouts, tmp_path: Path
) -> None:
    recipe = recipe_of(streams=("natural",))
    for moved in (True, False):
        bout = bout_of(moved=moved)
        found = record(recipe, bout, tmp_path / str(moved))
        right = read_right(tmp_path / str(moved), CASES)
        before, after = right["natural/before"].mean(), right["natural/site_correction/0"].mean()
        assert right["natural/site_correction/0"].shape == (1, CASES)  # it needs no labels, and is fitted once
        if moved:
            assert after > before + 0.1
        else:
            assert abs(after - before) < 0.03
        row = next(row for row in found["rows"] if row["adapter"] == "site_correction")
        assert row["kinds"] == {"preprocessing": 1.0, "scorer": 0.0, "head": 0.0}
        assert (row["n"], row["draws"], row["unchanged"]) == (0, 1, 0.0)
        heads = [row for row in found["rows"] if row["adapter"] == "concept_lda"]
        assert [row["n"] for row in heads] == [1, 4]
        assert all(row["kinds"]["head"] == 1.0 and row["draws"] == 6 for row in heads)


def test_predictions_are_those_of_the_pipeline_itself(
    recipe_of: Recipes, bout_of: Bouts, world: World, tmp_path: Path
) -> None:
    bout = bout_of()
    record(recipe_of(streams=("natural",)), bout, tmp_path / "cell")
    right = read_right(tmp_path / "cell", CASES)
    text = (tmp_path / "cell" / "patches" / "natural--logistic_shots--4.json").read_text()
    patch = SitePatch.from_json(text)
    adapted = patch.apply(world.pipeline, on=patch.created)
    logits = adapted.predict_features(bout.arena.test.features, site="away").logits
    assert ((logits.argmax(1) == bout.arena.test.y) == right["natural/logistic_shots/4"][0]).all()


def test_every_adapter_meets_the_same_supports_and_the_pool_of_the_stream(
    recipe_of: Recipes, bout_of: Bouts, probing: Callable[..., None], tmp_path: Path
) -> None:
    bout = bout_of(draws=5, shots=(1, 4))
    probing()
    record(with_probe(recipe_of(streams=("natural",))), bout, tmp_path / "one")
    first = [(one.study_uids, one.y) for one in Probe.seen]
    assert [len(uids) for uids, _ in first] == [3] * 5 + [12] * 5
    expected = [tuple(bout.uids[row] for row in rows) for n in (1, 4) for rows in bout.supports[n]]
    assert [uids for uids, _ in first] == expected
    assert all(one.unlabelled is bout.unlabelled for one in Probe.seen)
    assert all(one.y is not None and (one.features.pooled == bout.pool.pooled[rows]).all()
               for one, rows in zip(Probe.seen, [*bout.supports[1], *bout.supports[4]], strict=True))  # fmt: skip


def test_a_planted_concept_among_the_masked_is_counted(
    recipe_of: Recipes, bout_of: Bouts, probing: Callable[..., None], world: World, tmp_path: Path
) -> None:
    masked, other = world.pipeline.bank.ids[:2]
    probing()
    recipe = with_probe(recipe_of(streams=("natural",), planted={"away": (masked, other)}))
    row = record(recipe, bout_of(shots=(1,)), tmp_path / "cell")["rows"][0]
    assert row["planted"] == {masked: 6, other: 0}
    assert row["edits"]["masked"] == 1.0
    assert row["concept_auroc"] is not None


def test_a_patch_that_reaches_the_source_is_refused(
    recipe_of: Recipes, bout_of: Bouts, probing: Callable[..., None], tmp_path: Path
) -> None:
    probing("source")
    row = record(with_probe(recipe_of(streams=("natural",))), bout_of(shots=(1,)), tmp_path / "cell")["rows"][0]
    assert row["unchanged"] == 1.0
    assert list(row["refused"]) == ["patch-invalid"]
    assert row["refused"]["patch-invalid"]["draws"] == 6
    assert "changed predictions at 'home'" in row["refused"]["patch-invalid"]["message"]


def test_a_crash_is_told_counts_as_no_change_and_is_tried_again(
    recipe_of: Recipes, bout_of: Bouts, probing: Callable[..., None], tmp_path: Path
) -> None:
    probing("crash")
    found = record(with_probe(recipe_of(streams=("natural",))), bout_of(shots=(1,)), tmp_path / "cell")
    assert found["failed"] == {"natural/probe/1: ZeroDivisionError: nobody foresaw this": 6}
    assert not is_done(tmp_path / "cell")
    right = read_right(tmp_path / "cell", CASES)
    assert (right["natural/probe/1"] == right["natural/before"]).all()
    record(recipe_of(streams=("natural",)), bout_of(shots=(1,)), tmp_path / "cell")
    assert is_done(tmp_path / "cell")


def test_an_adapter_that_refuses_leaves_the_site_and_says_why(
    recipe_of: Recipes, bout_of: Bouts, tmp_path: Path
) -> None:
    recipe = recipe_of(streams=("natural",), adapters={"concept_lda": {"options": {"min_shots": 2}}}, rival="")
    rows = record(recipe, bout_of(shots=(1, 4)), tmp_path / "cell")["rows"]
    (one,) = rows[0]["refused"].values()
    assert one["message"].startswith("The support has too few studies of 3 of 3 classes (neutrophil 1")
    assert one["draws"] == 6
    assert rows[0]["unchanged"] == 1.0
    assert rows[1]["refused"] == {}


def test_a_cell_is_the_same_bit_by_bit_seconds_aside(recipe_of: Recipes, bout_of: Bouts, tmp_path: Path) -> None:
    for name in ("one", "two"):
        record(recipe_of(streams=("natural",)), bout_of(), tmp_path / name)
    one, two = ({path.name: path.read_bytes() for path in (tmp_path / name).rglob("*") if path.is_file()}
                for name in ("one", "two"))  # fmt: skip
    assert {name for name in one if one[name] != two[name]} <= {TIMES}
    assert RIGHT in one


def test_a_scorer_remembers_batches_and_stays_what_it_is(world: World) -> None:
    plain = world.pipeline.scorer.score.scorer  # type: ignore[attr-defined]
    pipeline = remembering(replace(world.pipeline, scorer=plain))
    assert type(pipeline.scorer) is type(plain)
    assert pipeline.digest == replace(world.pipeline, scorer=plain).digest
    batch = np.random.default_rng(9).normal(size=(80, 6))
    state = pipeline.scorer.score(Features(batch), pipeline.bank)
    assert (state.value == plain.score(Features(batch), pipeline.bank).value).all()
    remember(pipeline, Features(batch.copy()))
    kept = pipeline.scorer.score(Features(batch), pipeline.bank)
    assert pipeline.scorer.score(Features(batch.copy()), pipeline.bank) is kept  # found by what is in it
    batch[-1, -1] += 1e-9
    changed = pipeline.scorer.score(Features(batch.copy()), pipeline.bank)
    assert changed is not kept


def test_support_of_the_source_is_refused_by_the_bench_as_anywhere(bout_of: Bouts, world: World) -> None:
    from osler.adapt.adapters import parse_adapter

    bout = bout_of(shots=(1,))
    support = replace(bout.support(bout.supports[1][0]), site="home")
    with pytest.raises(OslerError, match="nothing to adapt to"):
        fit_patch(parse_adapter("concept_lda"), world.pipeline, support, created="2025-01-01")


def test_the_table_compares_with_no_change_and_with_the_best_label_free(
    recipe_of: Recipes, bout_of: Bouts, tmp_path: Path
) -> None:
    recipe = recipe_of(streams=("natural",), preprocessing={"none": ()})
    bout = bout_of()
    name = "home--3--phantom_clip--bottleneck--away--none"
    record(recipe, bout, tmp_path / "cells" / name)
    (tmp_path / "halves").mkdir()
    cases = {"y": bout.arena.test.y.tolist(), "patients": list(range(CASES))}
    (tmp_path / "halves" / "away--3.json").write_text(json.dumps(cases))
    table = make_table(recipe, tmp_path)
    rows = {(row["adapter"], row["n"]): row for row in table["rows"]}
    right = read_right(tmp_path / "cells" / name, CASES)
    before = right["natural/before"].mean()  # classes are equally common here
    assert rows["no change", 0]["value"] == pytest.approx(before)
    assert rows["site_correction", 0]["gain"]["no_change"]["value"] == pytest.approx(
        right["natural/site_correction/0"].mean() - before
    )
    assert table["label_free"][0]["adapter"] == "site_correction"
    best = right["natural/site_correction/0"].mean()
    shots = rows["logistic_shots", 1]
    each = right["natural/logistic_shots/1"].mean(1)
    assert shots["gain"]["label_free"]["value"] == pytest.approx(each.mean() - best)
    assert shots["harmed"]["no_change"]["share"] == pytest.approx((each < before - 0.01).mean())
    assert shots["harmed"]["label_free"]["share"] == pytest.approx((each < best - 0.01).mean())
    assert shots["harmed"]["no_change"]["draws"] == 6
    pooled = {(row["adapter"], row["n"]): row for row in table["pooled"]}
    for key, row in rows.items():
        assert pooled[key]["value"] == pytest.approx(row["value"])
        assert pooled[key]["cells"] == 1
    overtaken = {row["adapter"]: row["n"] for row in table["overtaken"] if row["target"] == "away"}
    assert {row["adapter"]: row["n"] for row in table["overtaken"] if row["target"] is None} == overtaken
    means = {n: rows["logistic_shots", n]["value"] for n in (1, 4)}
    ahead = [n for n in (4, 1) if means[n] > rows["site_correction", 0]["value"]]
    assert overtaken["site_correction"] == (None if 4 not in ahead else min(ahead))


def test_as_many_labels_are_wrong_as_the_recipe_says_the_same_for_everybody() -> None:
    y = np.repeat(np.arange(3), 4)
    support = Support(Features(np.zeros((12, 2))), y, "b")
    found = [cells.mislabelled(support, 1, 3, seed=(20, 4, draw)) for draw in range(50)]
    assert all((one.y != y).sum() == 1 and set(one.y) <= {0, 1, 2} for one in found)
    assert len({tuple(one.y) for one in found}) > 10
    np.testing.assert_array_equal(cells.mislabelled(support, 1, 3, seed=(20, 4, 0)).y, found[0].y)
    assert cells.mislabelled(support, 0, 3, seed=(20, 4, 0)) is support
    np.testing.assert_array_equal(support.y, y)


def test_adapters_are_compared_with_the_standard_and_the_rival_on_the_same_draws(
    recipe_of: Recipes, bout_of: Bouts, tmp_path: Path
) -> None:
    recipe = recipe_of(streams=("natural",), preprocessing={"none": ()}, standard="site_correction")
    bout = bout_of()
    name = "home--3--phantom_clip--bottleneck--away--none"
    record(recipe, bout, tmp_path / "cells" / name)
    (tmp_path / "halves").mkdir()
    cases = {"y": bout.arena.test.y.tolist(), "patients": list(range(CASES))}
    (tmp_path / "halves" / "away--3.json").write_text(json.dumps(cases))
    found = {(row["adapter"], row["n"], row["against"]): row for row in make_table(recipe, tmp_path)["paired"]}
    assert not any(adapter == against for adapter, _, against in found)
    each = {name: one.mean(1) for name, one in read_right(tmp_path / "cells" / name, CASES).items()}
    ours = each["natural/concept_lda/4"]
    for against, key in (("site_correction", "site_correction/0"), ("logistic_shots", "logistic_shots/4")):
        theirs, row = each[f"natural/{key}"], found["concept_lda", 4, against]
        assert row["value"] == pytest.approx((ours - theirs).mean())
        assert row["harmed"]["share"] == pytest.approx((ours < theirs - 0.01 - 1e-9).mean())
        assert row["ci_low"] <= row["value"] <= row["ci_high"]
