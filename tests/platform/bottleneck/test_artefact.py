"""A bottleneck survives the disk, and refuses to be what it is not."""

from __future__ import annotations

import errno
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from osler.bottleneck.artefact import find_encoder, load_bottleneck, save_bottleneck
from osler.bottleneck.calibration import Calibration
from osler.bottleneck.encoders.checkpoint import sha256_of
from osler.bottleneck.encoders.open_clip import OpenClipEncoder
from osler.bottleneck.pipeline import Pipeline
from osler.seals import written
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

CARD = "# A model\n\nFor research use.\n"


@pytest.fixture
def saved(make_pipeline: Callable[..., Pipeline], encoder: OpenClipEncoder, tmp_path: Path) -> Path:
    calibration = Calibration(1.7, "a", "2024-05-01", 80, {"pneumonia": 0.4})
    pipeline = replace(make_pipeline(encoder.width, encoder=encoder), calibration=calibration, notes={"seed": 3})
    return save_bottleneck(pipeline, tmp_path / "models" / "one", card=CARD)


def code_of(folder: Path) -> Code:
    with pytest.raises(OslerError) as caught:
        load_bottleneck(folder)
    return caught.value.code


def rewrite(folder: Path, change: Callable[[dict[str, object]], object]) -> None:
    record = json.loads((folder / "bottleneck.json").read_text())
    change(record)
    (folder / "bottleneck.json").write_bytes(written(record))


def test_it_survives_the_disk(
    saved: Path, make_pipeline: Callable[..., Pipeline], encoder: OpenClipEncoder, images: list[np.ndarray]
):
    first, second = make_pipeline(encoder.width, encoder=encoder), load_bottleneck(saved, encoder)
    np.testing.assert_array_equal(second.predict(images).logits, first.predict(images).logits)
    assert second.digest == first.digest
    assert second.calibration == Calibration(1.7, "a", "2024-05-01", 80, {"pneumonia": 0.4})
    assert second.notes == {"seed": 3}
    np.testing.assert_array_equal(second.source.mean, first.source.mean)
    assert second.bank == first.bank


def test_saving_again_gives_the_same_bytes_and_leaves_nothing_behind(saved: Path, encoder: OpenClipEncoder):
    before = {path.name: path.read_bytes() for path in saved.iterdir()}
    save_bottleneck(load_bottleneck(saved, encoder), saved, card=CARD)
    assert {path.name: path.read_bytes() for path in saved.iterdir()} == before
    assert [path.name for path in saved.parent.iterdir()] == ["one"]
    (saved / "encoder").mkdir()
    save_bottleneck(load_bottleneck(saved, encoder), saved, card=CARD)
    assert {path.name for path in saved.iterdir()} == before.keys() | {"encoder"}
    assert not any(path.suffix in (".pkl", ".pt", ".npy") for path in saved.iterdir())


def test_a_full_disk_leaves_the_old_model(saved: Path, encoder: OpenClipEncoder, monkeypatch: pytest.MonkeyPatch):
    before = {path.name: path.read_bytes() for path in saved.iterdir()}

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(Path, "write_bytes", full)
        with pytest.raises(OSError, match="No space"):
            save_bottleneck(load_bottleneck(saved, encoder), saved, card="# Another\n")
    assert {path.name: path.read_bytes() for path in saved.iterdir()} == before
    assert [path.name for path in saved.parent.iterdir()] == ["one"]


@pytest.mark.parametrize("name", ["bottleneck.safetensors", "bank.json", "card.md"])
def test_a_changed_or_missing_file_is_refused(saved: Path, name: str):
    path = saved / name
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert code_of(saved) is Code.MODEL_HASH_MISMATCH
    path.unlink()
    assert code_of(saved) is Code.MODEL_HASH_MISMATCH


def test_a_record_that_was_edited_is_refused(saved: Path):
    rewrite(saved, lambda record: record["parts"]["scorer"].update(normalised=False))
    assert code_of(saved) is Code.MODEL_HASH_MISMATCH


@pytest.mark.parametrize("kind", ["os", "..artefact", "nothing_here"])
def test_a_kind_cannot_name_another_module(saved: Path, kind: str):
    rewrite(saved, lambda record: record["parts"]["head"].update(kind=kind))
    assert code_of(saved) is Code.MODEL_INVALID


def test_a_bank_with_another_concept_is_refused(saved: Path):
    record = json.loads((saved / "bank.json").read_text().replace("concept_2", "concept_9"))
    record.pop("sha256")
    (saved / "bank.json").write_text(json.dumps(record))
    rewrite(saved, lambda record: record["files"].update({"bank.json": sha256_of(saved / "bank.json")}))
    assert code_of(saved) is Code.UNKNOWN_CONCEPT


def test_no_model_at_all(tmp_path: Path):
    assert code_of(tmp_path) is Code.MODEL_INVALID
    (tmp_path / "bottleneck.json").write_text("[]")
    assert code_of(tmp_path) is Code.MODEL_INVALID


def test_the_encoder_must_be_the_one_of_the_fit(
    saved: Path, make_encoder: Callable[..., OpenClipEncoder], tmp_path: Path, resnet_folder: Path
):
    other = make_encoder(tmp_path / "o", {"layers": [1, 1, 1, 1], "width": 8, "head_width": 16, "image_size": 96})
    with pytest.raises(OslerError) as caught:
        load_bottleneck(saved, other)
    assert caught.value.code is Code.MODEL_HASH_MISMATCH
    digest = load_bottleneck(saved).encoder_digest
    with pytest.raises(OslerError) as caught:
        find_encoder(digest, saved)
    assert caught.value.code is Code.MODEL_INVALID
    (saved / "encoder").symlink_to(resnet_folder)
    assert find_encoder(digest, saved) == saved / "encoder"


def test_without_an_encoder_images_are_refused(saved: Path, images: list[np.ndarray]):
    with pytest.raises(OslerError) as caught:
        load_bottleneck(saved).predict(images)
    assert caught.value.code is Code.PART_MISSING
