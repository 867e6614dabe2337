"""A stage of an encoder has a folder of its own: written, opened by its kind, checked, and found by a saved bottleneck."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from osler.bottleneck.artefact import ENCODER, find_encoder, load_bottleneck, save_bottleneck
from osler.bottleneck.encoders.catalogue import encoder_folder, open_encoder
from osler.bottleneck.encoders.checkpoint import shipped_encoder_folder
from osler.bottleneck.encoders.open_clip import OpenClipEncoder
from osler.bottleneck.encoders.stage import StageEncoder, write_folder
from osler.bottleneck.pipeline import Pipeline
from osler.bottleneck.protocols import Encoder
from osler.bottleneck.scorers.spatial import SpatialScorer
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError
from osler_knowledge.bank import ConceptBank

Images = list[np.ndarray]
STAGE = 3


@pytest.fixture(scope="module")
def folder(resnet_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of the third stage of a tiny network, which is copied into it."""
    made = tmp_path_factory.mktemp("stage") / "third"
    write_folder(made, resnet_folder, STAGE, card="# Third stage\n")
    return made


def test_what_is_opened_gives_what_was_written(folder: Path, resnet_folder: Path, images: Images) -> None:
    opened, plain = open_encoder(folder), open_encoder(resnet_folder)
    assert isinstance(opened, StageEncoder)
    assert isinstance(opened, Encoder)
    assert isinstance(plain, OpenClipEncoder)
    assert (opened.name, opened.stage, opened.golden_checked) == ("third", STAGE, True)
    assert opened.digest == encoder_folder(folder).digest == StageEncoder(plain, STAGE).digest
    seen, direct = (one.encode(images, tokens=True) for one in (opened, StageEncoder(plain, STAGE)))
    np.testing.assert_array_equal(seen.pooled, direct.pooled)
    np.testing.assert_array_equal(seen.tokens, direct.tokens)
    assert seen.grid == direct.grid == opened.grid


def test_a_shipped_encoder_is_named_and_not_copied(tmp_path: Path) -> None:
    made = write_folder(tmp_path / "shipped", "phantom_clip", 2, card="# Second stage\n")
    assert sorted(path.name for path in (tmp_path / "shipped").iterdir()) == ["card.md", "encoder.json", "hashes.json"]
    part = OpenClipEncoder.from_folder(shipped_encoder_folder("phantom_clip"))
    assert made.digest == StageEncoder(part, 2).digest


def changed(folder: Path, copy: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    """Return a copy of the folder whose record of hashes was changed."""
    shutil.copytree(folder, copy)
    record = json.loads((copy / "hashes.json").read_text())
    change(record)
    (copy / "hashes.json").write_text(json.dumps(record))
    return copy


@pytest.mark.parametrize("what", ["embedding", "mean_token"])
def test_another_embedding_or_another_token_is_refused(folder: Path, tmp_path: Path, what: str) -> None:
    def shift(record: dict[str, Any]) -> None:
        record["golden"][what][0] += 0.1

    with pytest.raises(OslerError) as caught:
        open_encoder(changed(folder, tmp_path / "copy", shift))
    assert caught.value.code is Code.MODEL_HASH_MISMATCH


def test_another_encoder_below_or_another_stage_is_refused(folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    config = json.loads((copy / "encoder.json").read_text())
    config["model_cfg"]["stage"] = 2
    (copy / "encoder.json").write_text(json.dumps(config))
    with pytest.raises(OslerError, match=r"encoder\.json") as caught:
        open_encoder(copy)
    assert caught.value.code is Code.MODEL_HASH_MISMATCH
    for name, wrong in (("outside", {"name": "../resnet", "digest": "a"}), ("nothing", None)):
        damaged = tmp_path / name
        shutil.copytree(folder, damaged)
        config["model_cfg"]["part"] = wrong
        (damaged / "encoder.json").write_text(json.dumps(config))
        (damaged / "hashes.json").write_text(json.dumps({"files": {}}))
        with pytest.raises(OslerError) as caught:
            open_encoder(damaged)
        assert caught.value.code is Code.MODEL_INVALID
    with pytest.raises(OslerError) as caught:
        open_encoder(folder, sha256="0" * 64)
    assert caught.value.code is Code.MODEL_HASH_MISMATCH


def test_what_has_no_stages_gets_no_folder(tmp_path: Path) -> None:
    with pytest.raises(OslerError, match="no stages") as caught:
        write_folder(tmp_path / "none", "imagenet_lite0", 3, card="")
    assert caught.value.code is Code.MODEL_INVALID
    assert not (tmp_path / "none").exists()


def test_a_bottleneck_on_it_is_loaded_from_disk_alone(
    folder: Path,
    tmp_path: Path,
    images: Images,
    make_bank: Callable[[int], ConceptBank],
    make_pipeline: Callable[..., Pipeline],
) -> None:
    encoder, bank, draw = open_encoder(folder), make_bank(4), np.random.default_rng(0)
    tokens = encoder.encode(images[:1], tokens=True).tokens
    assert tokens is not None
    width = tokens.shape[2]
    drawn, ends = (draw.normal(size=(4, width)), draw.normal(size=4)), np.tile([-2.0, 2.0], (4, 1))
    scorer = SpatialScorer(bank.ids, *drawn, ends, attention="uniform", normalised=False)
    plain = make_pipeline(width, 4)
    pipeline = replace(plain, encoder=encoder, encoder_digest=encoder.digest, scorer=scorer)
    saved = save_bottleneck(pipeline, tmp_path / "model", card="# Model\n")
    shutil.copytree(folder, saved / ENCODER)
    loaded = load_bottleneck(saved, open_encoder(find_encoder(pipeline.encoder_digest, saved)))
    expected, found = (one.predict(images) for one in (pipeline, loaded))
    np.testing.assert_array_equal(found.logits, expected.logits)
    np.testing.assert_array_equal(found.state.maps, expected.state.maps)
