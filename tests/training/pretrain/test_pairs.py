"""Pairs come from sites and nuisances that no experiment uses, are cached, and are labelled by their words alone."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from osler.bottleneck.encoders.open_clip import OpenClipEncoder
from osler_contracts.errors import OslerError
from osler_knowledge.propose import build_bank
from osler_training.phantom.digest import phantom_digest
from osler_training.phantom.nuisance import HELD_OUT_NUISANCES, MIMIC, TRAINING_NUISANCES
from osler_training.phantom.parameters import DIAGNOSES
from osler_training.phantom.plan import StudyPlan
from osler_training.phantom.sites import NAMED_SITES, SiteProfile
from osler_training.phantom.study import PhantomStudy, render_study
from osler_training.pretrain import pairs
from osler_training.pretrain.pairs import Pairs, render_pairs, statements
from osler_training.pretrain.recipe import PretrainRecipe, pretrain

COUNT, SETTINGS = 16, {"seed": 5, "render_size": 32, "side": 32, "wordings": 2}


def rendered(cache: Path, **changed: Any) -> Pairs:
    return render_pairs(COUNT, **{**SETTINGS, **changed}, cache=cache, workers=1, progress=print)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pretrain") / "cache"
    rendered(folder)
    return folder


@pytest.fixture
def no_rendering(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("rendered again")

    monkeypatch.setattr(pairs, "ProcessPoolExecutor", refuse)


def test_no_pair_shows_a_nuisance_or_a_site_of_the_experiments(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[StudyPlan, SiteProfile]] = []

    def watched(plan: StudyPlan, site: SiteProfile, size: int, **others: Any) -> PhantomStudy:
        seen.append((plan, site))
        return render_study(plan, site, size, **others)

    monkeypatch.setattr(pairs, "render_study", watched)
    for number in range(80):
        pairs._pair(number, **SETTINGS)
    nuisances = Counter(plan.nuisance for plan, _ in seen)
    assert not nuisances.keys() & {one.name for one in (*HELD_OUT_NUISANCES, MIMIC)}
    assert nuisances.keys() == {None, *(one.name for one in TRAINING_NUISANCES)}
    assert 0.35 < nuisances[None] / len(seen) < 0.65
    named = {site.name for sites in NAMED_SITES.values() for site in sites}
    assert not named & {site.name for _, site in seen}
    assert len({site.name for _, site in seen}) == len(seen), "as many sites as pairs"
    assert Counter(plan.diagnosis for plan, _ in seen) == dict.fromkeys(DIAGNOSES, 10)


def test_training_and_held_out_nuisances_have_nothing_in_common() -> None:
    training, held_out = ({one.name for one in some} for some in (TRAINING_NUISANCES, HELD_OUT_NUISANCES))
    assert not training & held_out
    means = [
        {change for one in some for change in (one.beam, one.process) if change}
        for some in (TRAINING_NUISANCES, HELD_OUT_NUISANCES)
    ]
    assert not means[0] & means[1]


@pytest.mark.usefixtures("no_rendering")
def test_pairs_are_read_back_from_the_cache_and_are_what_one_process_renders(cache: Path) -> None:
    kept = rendered(cache)
    assert kept.images.shape == (COUNT, 32, 32)
    assert kept.images.dtype == np.uint8
    for number in (0, 7, COUNT - 1):
        image, texts = pairs._pair(number, **SETTINGS)
        assert np.array_equal(kept.images[number], image)
        assert kept.reports[number] == texts
        assert len(texts) == 2


@pytest.mark.usefixtures("no_rendering")
@pytest.mark.parametrize("changed", [{"seed": 6}, {"side": 48}, {"wordings": 3}, {"render_size": 48}])
def test_another_setting_is_not_served_from_the_cache(cache: Path, changed: dict[str, int]) -> None:
    with pytest.raises(AssertionError, match="rendered again"):
        rendered(cache, **changed)


@pytest.mark.usefixtures("no_rendering")
def test_pairs_of_another_simulator_are_not_served_from_the_cache(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pairs, "phantom_digest", lambda: "another")
    with pytest.raises(AssertionError, match="rendered again"):
        rendered(cache)


def test_statements_come_from_the_words_of_the_first_report() -> None:
    bank = build_bank().subset(("kerley_b_lines", "perihilar_haze", "pacemaker"))
    reports = [
        [
            "FINDINGS: Kerley B lines are seen. Perihilar haze is present.",
            "FINDINGS: A pacemaker projects over the chest.",
        ],
        ["FINDINGS: No Kerley B lines. A pacemaker projects over the left chest.", "FINDINGS: Nothing to report."],
        ["FINDINGS: Possible Kerley B lines.", "FINDINGS: No Kerley B lines."],
        ["FINDINGS: Nothing to report.", "FINDINGS: Nothing to report."],
    ]
    stated = statements(reports, bank)
    assert stated.dtype == np.int8
    assert stated.tolist() == [[1, 1, 0], [0, 0, 1], [1, 0, 0], [0, 0, 0]]


def tiny_recipe() -> PretrainRecipe:
    """The shipped recipe, made as small as it works."""
    shipped = PretrainRecipe.load()
    vision = {**shipped.model["vision_cfg"], "layers": [1, 1, 1, 1], "width": 8, "head_width": 16, "image_size": 32}
    text = {**shipped.model["text_cfg"], "width": 16, "heads": 2, "layers": 1}
    training = {"epochs": 1, "batch": 8, "bfloat16": False}
    changed = {
        **{name: SETTINGS[name] for name in ("seed", "render_size", "wordings")},
        "pairs": COUNT,
        "image_size": 32,
        "vocabulary": 120,
        "model": {"embed_dim": 16, "vision_cfg": vision, "text_cfg": text},
        "training": training,
    }
    return PretrainRecipe.model_validate({"name": shipped.name, **changed})


@pytest.mark.usefixtures("no_rendering")
def test_a_recipe_becomes_a_folder_that_loads_as_any_encoder_does(cache: Path, tmp_path: Path) -> None:
    recipe = tiny_recipe()
    made = [pretrain(recipe, tmp_path / name, cache, workers=1, progress=print) for name in ("one", "two")]
    assert made[0].digest == made[1].digest, "same recipe, same weights"
    encoder = OpenClipEncoder.from_folder(tmp_path / "one")
    assert encoder.encode([np.full((40, 40), 0.5, np.float32)]).pooled.shape == (1, 16)
    assert encoder.encode_text(["Kerley B lines are seen."]).shape == (1, 16)
    card = (tmp_path / "one" / "card.md").read_text(encoding="utf-8")
    assert f"{COUNT} simulated radiographs" in card
    assert phantom_digest()[:16] in card
    config = json.loads((tmp_path / "one" / "open_clip_config.json").read_text(encoding="utf-8"))
    words = (tmp_path / "one" / "vocabulary.txt").read_text(encoding="utf-8").split()
    assert config["model_cfg"]["text_cfg"]["vocab_size"] == len(words) <= 120
    assert "vocab_size" not in recipe.model["text_cfg"], "the recipe itself is left alone"


@pytest.mark.parametrize("text", ["- a list", "name: x\nunknown: 1", "{"])
def test_what_is_no_recipe_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "recipe.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(OslerError, match=r"recipe\.yaml is not a pretraining recipe"):
        PretrainRecipe.load(tmp_path / "recipe.yaml")
