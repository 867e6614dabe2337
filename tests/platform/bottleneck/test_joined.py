"""Encoders and scorers side by side: each part sees and says what it would alone."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from osler.bottleneck.artefact import find_encoder, load_bottleneck, save_bottleneck
from osler.bottleneck.encoders.catalogue import encoder_folder, open_encoder
from osler.bottleneck.encoders.joined import JoinedEncoder, write_folder
from osler.bottleneck.encoders.lazy import LazyEncoder
from osler.bottleneck.pipeline import Pipeline
from osler.bottleneck.protocols import Encoder
from osler.bottleneck.records import Features
from osler.bottleneck.scorers.joined import JoinedScorer, Part
from osler.bottleneck.scorers.logistic import LogisticScorer
from osler.bottleneck.scorers.margin import MarginScorer
from osler.morphometry.golden import golden_cell
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError
from osler_knowledge.bank import ConceptBank

MEASURED = "white_cell_morphometry"


@pytest.fixture(scope="module")
def folder(resnet_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder that joins a tiny network and the measurements of cells."""
    made = tmp_path_factory.mktemp("joined") / "both"
    write_folder(made, [resnet_folder, MEASURED], card="# Both\n")
    return made


def test_features_are_those_of_the_parts_side_by_side(folder: Path, resnet_folder: Path):
    cells = [golden_cell(), np.ones((40, 40, 3), np.float32)]
    joined, parts = open_encoder(folder), [open_encoder(resnet_folder), open_encoder(MEASURED)]
    assert isinstance(joined, JoinedEncoder)
    assert isinstance(joined, Encoder)
    features = joined.encode(cells, tokens=True)
    assert features.tokens is None
    assert features.pooled.shape == (2, joined.width)
    for part, (start, stop) in zip(parts, joined.columns, strict=True):
        np.testing.assert_array_equal(features.pooled[:, start:stop], part.encode(cells).pooled)
    assert joined.columns[-1][1] == joined.width


def test_the_digest_is_that_of_the_folder_and_covers_every_part_and_their_order(folder: Path, resnet_folder: Path):
    joined = open_encoder(folder)
    assert joined.digest == encoder_folder(folder).digest
    assert open_encoder(f"{resnet_folder}+{MEASURED}").digest == joined.digest
    assert open_encoder(f"{MEASURED}+{resnet_folder}").digest != joined.digest
    assert open_encoder(f"{MEASURED}+{MEASURED}").digest != joined.digest


def test_a_stored_model_finds_it_beside_itself(folder: Path, make_pipeline: Callable[..., Pipeline], tmp_path: Path):
    encoder = open_encoder(folder)
    pipeline = replace(make_pipeline(encoder.width), encoder=encoder, encoder_digest=encoder.digest)
    stored = save_bottleneck(pipeline, tmp_path / "model", card="# A model\n")
    shutil.copytree(folder, stored / "encoder")
    found = find_encoder(encoder.digest, stored)
    again = load_bottleneck(stored, LazyEncoder(found, encoder.digest)).predict([golden_cell()])
    np.testing.assert_array_equal(again.logits, pipeline.predict([golden_cell()]).logits)


@pytest.mark.parametrize("damage", ["another part", "a part outside", "one part", "no parts"])
def test_a_folder_whose_parts_are_not_those_that_were_joined_is_refused(damage: str, folder: Path, tmp_path: Path):
    own = Path(shutil.copytree(folder, tmp_path / "own"))
    config = json.loads((own / "encoder.json").read_text(encoding="utf-8"))
    parts = config["model_cfg"]["parts"]
    if damage == "another part":
        parts[0]["digest"] = "0" * 64
    elif damage == "a part outside":
        parts[0]["name"] = "../both/parts/resnet"
    elif damage == "one part":
        parts.pop()
    else:
        del config["model_cfg"]["parts"]
    (own / "encoder.json").write_text(json.dumps(config), encoding="utf-8")
    (own / "hashes.json").unlink()
    with pytest.raises(OslerError) as caught:
        open_encoder(own)
    assert caught.value.code is (Code.MODEL_HASH_MISMATCH if damage == "another part" else Code.MODEL_INVALID)


def test_two_parts_of_one_name_are_refused(resnet_folder: Path, tmp_path: Path):
    with pytest.raises(OslerError, match="same name"):
        write_folder(tmp_path / "twice", [resnet_folder, resnet_folder], card="# Twice\n")


def parts_of(ids: tuple[str, ...]) -> tuple[MarginScorer, LogisticScorer]:
    draw = np.random.default_rng(1)
    first, second = ids[::2], ids[1::2]
    limits = np.tile([-1.0, 1.0], (len(first), 1))
    return (
        MarginScorer(first, draw.normal(size=(len(first), 4)), np.zeros(len(first)), limits),
        LogisticScorer(second, draw.normal(size=(len(second), 3)), np.zeros(len(second)), normalised=False),
    )


def test_each_part_says_what_it_would_alone_in_any_order_of_the_bank(make_bank: Callable[[int], ConceptBank]):
    bank = make_bank(5)
    margin, logistic = parts_of(bank.ids)
    joined = JoinedScorer((Part(margin, 0, 4), Part(logistic, 4, 7)))
    pooled = np.random.default_rng(2).normal(size=(6, 7))
    asked = bank.subset([bank.ids[place] for place in (3, 0, 1, 4)])
    state = joined.score(Features(pooled), asked)
    for scorer, own in ((margin, pooled[:, :4]), (logistic, pooled[:, 4:])):
        known = tuple(one for one in asked.ids if one in scorer.ids)
        alone = scorer.score(Features(own), bank.subset(known))
        places = [asked.ids.index(one) for one in known]
        np.testing.assert_array_equal(state.static[:, places], alone.static)
        wanted = np.full(alone.static.shape, np.nan) if alone.prob is None else alone.prob[:, 0]
        np.testing.assert_array_equal(state.prob[:, 0, places], wanted)
    assert joined.value_range is None
    assert JoinedScorer((Part(logistic, 0, 3),)).value_range == (0.0, 1.0)


def test_clamping_is_the_parts_own(make_bank: Callable[[int], ConceptBank]):
    bank = make_bank(4)
    margin, logistic = parts_of(bank.ids)
    joined = JoinedScorer((Part(margin, 0, 4), Part(logistic, 4, 7)))
    state = joined.score(Features(np.ones((2, 7))), bank)
    clamped = joined.clamp(state, np.ones((2, 4), bool), np.full((2, 4), 0.25))
    np.testing.assert_allclose(clamped.static, np.tile([-0.5, 0.25, -0.5, 0.25], (2, 1)))
    assert clamped.clamped.all()
    assert not state.clamped.any()


def test_what_could_not_be_measured_is_filled_for_one_part_alone(make_bank: Callable[[int], ConceptBank]):
    bank = make_bank(4)
    margin, logistic = parts_of(bank.ids)
    fill = np.array([0.5, -1.0, 2.0])
    joined = JoinedScorer((Part(margin, 0, 4), Part(logistic, 4, 7, fill)))
    pooled = np.ones((1, 7))
    hole, filled = pooled.copy(), pooled.copy()
    hole[0, 5], filled[0, 5] = np.nan, -1.0
    values = [joined.score(Features(one), bank).static for one in (hole, filled)]
    np.testing.assert_array_equal(*values)
    again = JoinedScorer.from_artefact(*joined.to_artefact())
    np.testing.assert_array_equal(again.score(Features(hole), bank).static, values[0])


def test_parts_that_do_not_fit_are_refused(make_bank: Callable[[int], ConceptBank]):
    margin, logistic = parts_of(make_bank(4).ids)
    for parts in (
        (),
        (Part(margin, 0, 4), Part(margin, 0, 4)),
        (Part(margin, 4, 4),),
        (Part(logistic, 4, 7, np.array([0.0, np.nan, 0.0])),),
        (Part(logistic, 4, 7, np.zeros(2)),),
    ):
        with pytest.raises(OslerError) as caught:
            JoinedScorer(parts)
        assert caught.value.code is Code.MODEL_INVALID
    with pytest.raises(OslerError, match="reads 7 columns"):
        JoinedScorer((Part(margin, 0, 4), Part(logistic, 4, 7))).score(Features(np.ones((1, 5))), make_bank(4))
