"""Measurements as an encoder: what caches, scorers and stored models need of one."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from osler.bottleneck.artefact import find_encoder, load_bottleneck, save_bottleneck
from osler.bottleneck.encoders.catalogue import MEASURING, encoder_folder, open_encoder
from osler.bottleneck.encoders.lazy import LazyEncoder
from osler.bottleneck.encoders.morphometry import MorphometryEncoder
from osler.bottleneck.feature_cache import FeatureCache
from osler.bottleneck.pipeline import Pipeline
from osler.bottleneck.protocols import Encoder
from osler.bottleneck.scorers.measured import MeasuredScorer, Standard
from osler.morphometry import white_cell
from osler.morphometry.golden import golden_cell
from osler.morphometry.smear import SmearParameters
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError
from osler_knowledge.bank import ConceptBank


def cell(lobes: int, number: int) -> np.ndarray:
    """Draw a cell (110, 110, 3) of one or two lobes, its size by number."""
    y, x = np.mgrid[0:110, 0:110] - 54.5
    image = np.broadcast_to([0.97, 0.93, 0.88], (110, 110, 3)).copy()
    image[np.hypot(x, y) <= 30 + 2 * (number % 5)] = (0.86, 0.66, 0.70)
    centres = ((0.0, 0.0),) if lobes == 1 else ((-12.0, 0.0), (12.0, 0.0))
    for centre_x, centre_y in centres:
        image[np.hypot(x - centre_x, y - centre_y) <= (18 if lobes == 1 else 11) + number % 3 * 0.5] = (0.3, 0.2, 0.5)
    return image.astype(np.float32)


@pytest.fixture(scope="module")
def cells() -> list[np.ndarray]:
    return [cell(1 + number % 2, number) for number in range(24)]


def test_it_opens_by_name_and_keeps_the_protocol():
    encoder = open_encoder("white_cell_morphometry")
    assert isinstance(encoder, Encoder)
    assert isinstance(encoder, MorphometryEncoder)
    assert encoder.golden_checked
    assert encoder.digest == encoder_folder("white_cell_morphometry").digest == MorphometryEncoder().digest
    features = encoder.encode([golden_cell(), np.ones((40, 40, 3))], tokens=True)
    assert features.pooled.shape == (2, encoder.width)
    assert features.pooled.dtype == np.float32
    assert features.tokens is None
    assert np.isfinite(features.pooled[0]).all()
    assert np.isnan(features.pooled[1]).all()
    assert encoder.encode([]).pooled.shape == (0, encoder.width)


def test_the_digest_covers_parameters_and_the_version_of_the_code(monkeypatch: pytest.MonkeyPatch):
    plain = MorphometryEncoder().digest
    assert MorphometryEncoder(SmearParameters(reach=2.0)).digest != plain
    monkeypatch.setattr(white_cell, "RULE_SET", replace(white_cell.RULE_SET, version=10_000))
    assert MorphometryEncoder().digest != plain
    with pytest.raises(OslerError) as caught:
        open_encoder(MEASURING[0])
    assert caught.value.code is Code.MODEL_HASH_MISMATCH


def test_a_code_that_measures_otherwise_is_noticed_at_loading(tmp_path: Path):
    folder = Path(shutil.copytree(encoder_folder(MEASURING[0]).path, tmp_path / "own"))
    record = json.loads((folder / "hashes.json").read_text(encoding="utf-8"))
    record["golden"]["embedding"][0] += 1
    (folder / "hashes.json").write_text(json.dumps(record), encoding="utf-8")
    with pytest.raises(OslerError) as caught:
        open_encoder(folder)
    assert caught.value.code is Code.MODEL_HASH_MISMATCH


@pytest.mark.parametrize("damage", ["edited", "without card", "hash of weights"])
def test_a_folder_that_is_not_what_it_records_is_refused(damage: str, tmp_path: Path):
    folder = Path(shutil.copytree(encoder_folder(MEASURING[0]).path, tmp_path / "own"))
    if damage == "edited":
        config = (folder / "encoder.json").read_text(encoding="utf-8")
        (folder / "encoder.json").write_text(config.replace('"reach": 2.6', '"reach": 2.9'), encoding="utf-8")
    elif damage == "without card":
        (folder / "card.md").unlink()
    with pytest.raises(OslerError) as caught:
        open_encoder(folder, sha256="0" * 64 if damage == "hash of weights" else None)
    assert caught.value.code is Code.MODEL_HASH_MISMATCH


@pytest.mark.parametrize("name", MEASURING)
def test_every_shipped_folder_opens_and_its_card_lists_every_measurement(name: str):
    encoder = open_encoder(name)
    assert isinstance(encoder, MorphometryEncoder)
    assert encoder.golden_checked
    assert encoder.digest == encoder_folder(name).digest
    assert (encoder_folder(name).path / "card.md").read_text(encoding="utf-8").endswith(encoder.rules.table())
    assert np.isfinite(encoder.encode([encoder.rules.golden()]).pooled).all()


def test_rules_that_nobody_wrote_are_refused(tmp_path: Path):
    folder = Path(shutil.copytree(encoder_folder(MEASURING[0]).path, tmp_path / "own"))
    config = (folder / "encoder.json").read_text(encoding="utf-8")
    (folder / "encoder.json").write_text(config.replace('"white cell of', '"crystal ball of'), encoding="utf-8")
    (folder / "hashes.json").unlink()
    with pytest.raises(OslerError) as caught:
        open_encoder(folder)
    assert caught.value.code is Code.MODEL_INVALID


def test_the_cache_of_features_keeps_measurements_and_what_could_not_be_measured(tmp_path: Path):
    images, read = [golden_cell(), np.ones((40, 40, 3))], []

    def reader(number: int) -> np.ndarray:
        read.append(number)
        return images[number]

    cache = FeatureCache(tmp_path, MorphometryEncoder())
    first, second = (cache.features(["aa", "bb"], reader).pooled for _ in range(2))
    assert read == [0, 1]
    np.testing.assert_array_equal(first, second)
    assert np.isnan(second[1]).all()


def test_the_measured_scorer_reads_concepts_from_measurements_with_gaps(
    cells: list[np.ndarray], make_bank: Callable[[int], ConceptBank]
):
    encoder, bank = MorphometryEncoder(), make_bank(2)
    features = encoder.encode(cells)
    assert np.isfinite(features.pooled).all()
    standard = Standard.of(features.pooled[:16])
    x = standard.apply(features.pooled)
    truth = np.array([[number % 2, number % 5 > 2] for number in range(len(cells))])
    fits = [LogisticRegression(C=10).fit(x[:16], truth[:16, column]) for column in (0, 1)]
    weights, intercept = np.vstack([one.coef_ for one in fits]), np.concatenate([one.intercept_ for one in fits])
    scorer = MeasuredScorer(bank.ids, weights, intercept, standard)
    np.testing.assert_array_equal(scorer.score(features, bank).static[16:] > 0.5, truth[16:].astype(bool))
    lost = scorer.score(encoder.encode([np.ones((40, 40, 3))]), bank)
    np.testing.assert_allclose(lost.static[0], 1 / (1 + np.exp(-intercept)))


def test_a_stored_model_finds_it_and_predicts_as_before(
    cells: list[np.ndarray], make_pipeline: Callable[..., Pipeline], tmp_path: Path
):
    encoder = open_encoder(MEASURING[0])
    pipeline = replace(make_pipeline(encoder.width), encoder=encoder, encoder_digest=encoder.digest)
    folder = save_bottleneck(pipeline, tmp_path / "model", card="# A model\n")
    digest = load_bottleneck(folder).encoder_digest
    again = load_bottleneck(folder, LazyEncoder(find_encoder(digest, folder), digest))
    logits = again.predict(cells[:2]).logits
    assert np.isfinite(logits).all()
    np.testing.assert_allclose(logits, pipeline.predict(cells[:2]).logits, atol=1e-6)
