"""What every correction must keep: the identity at the source, the order of a batch, small and empty batches, the disk."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import load, save

from osler.bottleneck.artefact import load_bottleneck, save_bottleneck
from osler.bottleneck.correction import FittedCorrection, SiteStatistics, through_stage
from osler.bottleneck.corrections import correction_names, parse_correction
from osler.bottleneck.encoders.open_clip import OpenClipEncoder
from osler.bottleneck.pipeline import Pipeline
from osler.bottleneck.protocols import Correction
from osler.bottleneck.records import Features
from osler.seals import written
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

DrawBatch = Callable[[str, int], Any]
DrawImages = Callable[..., list[np.ndarray]]
# Beside the defaults of those that are not here.
OPTIONS: dict[str, list[dict[str, Any]]] = {
    "feature_moments": [{}, {"robust": True}],
    "coral": [{}, {"shrinkage": 0.1}],
    "image_moments": [{}, {"transfer": "quantiles"}],
    "stain_matching": [{}, {"white": "fixed"}],
    "object_scale": [{}],
    "prior_shift": [{}],
}
EVERY = [(name, options) for name in correction_names() for options in OPTIONS.get(name, [{}])]


def rows(batch: Any, index: np.ndarray) -> Any:
    """Return some rows of a batch."""
    if isinstance(batch, (Features, np.ndarray)):
        return batch.rows(index) if isinstance(batch, Features) else batch[index]
    return [batch[int(place)] for place in index]


def same_batch(got: Any, wanted: Any, tolerance: float) -> None:
    """Compare two batches, number by number."""
    assert len(got) == len(wanted)
    if isinstance(got, Features):
        got, wanted = got.pooled, wanted.pooled
    for one, other in zip(got, wanted, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=tolerance)


@pytest.fixture(params=EVERY, ids=lambda one: "-".join([one[0], *map(str, one[1].values())]), scope="module")
def correction(request: pytest.FixtureRequest) -> Correction:
    return parse_correction(*request.param)


@pytest.fixture(params=EVERY, ids=lambda one: "-".join([one[0], *map(str, one[1].values())]), scope="module")
def fitted(request: pytest.FixtureRequest, draw_batch: DrawBatch) -> FittedCorrection:
    name, options = request.param
    return FittedCorrection.at_source(name, draw_batch(parse_correction(name).stage, 0), options)


def test_each_fills_its_slot(correction: Correction):
    assert isinstance(correction, Correction)
    assert correction.stage in ("image", "feature", "probability")


def test_statistics_of_the_source_leave_any_batch_as_it_is(correction: Correction, draw_batch: DrawBatch):
    reference = correction.measure(draw_batch(correction.stage, 0))
    other = draw_batch(correction.stage, 5)
    # Eight bits of a grey value are the rounding of images.
    same_batch(correction.match(other, reference, reference), other, 1 / 255 if correction.stage == "image" else 1e-6)


@settings(max_examples=3, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 99))
def test_the_order_of_a_batch_is_nothing(fitted: FittedCorrection, seed: int, draw_batch: DrawBatch):
    batch = draw_batch(fitted.stage, seed)
    order = np.random.default_rng(seed).permutation(len(batch))
    moved = [through_stage((fitted,), fitted.stage, one)[0] for one in (batch, rows(batch, order))]
    same_batch(moved[1], rows(moved[0], order), 1e-6)


def test_it_is_deterministic_and_leaves_what_it_was_given(fitted: FittedCorrection, draw_batch: DrawBatch):
    batch, untouched = draw_batch(fitted.stage, 3), draw_batch(fitted.stage, 3)
    first, second = (through_stage((fitted,), fitted.stage, batch) for _ in range(2))
    same_batch(first[0], second[0], 0.0)
    for key, value in first[1][0].items():
        np.testing.assert_array_equal(second[1][0][key], value)
    same_batch(batch, untouched, 0.0)


def test_an_empty_batch_is_refused(correction: Correction, draw_batch: DrawBatch):
    for reference in (None, correction.measure(draw_batch(correction.stage, 0))):
        with pytest.raises(OslerError) as caught:
            correction.measure(rows(draw_batch(correction.stage, 0), np.zeros(0, int)), reference)
        assert caught.value.code is Code.NOTHING_ELIGIBLE


def test_one_study_moves_less_than_many(fitted: FittedCorrection, draw_batch: DrawBatch):
    batch = draw_batch(fitted.stage, 4)
    alone, few = rows(batch, np.array([2])), rows(batch, np.array([2] * 24))
    one, many = (through_stage((fitted,), fitted.stage, some)[1][0] for some in (alone, few))
    for key in one.keys() - {"count"}:
        moved = [np.abs(np.asarray(own[key] - fitted.reference[key])).sum() for own in (one, many)]
        assert moved[0] < moved[1] or moved == [0, 0], key
    assert all(np.isfinite(value).all() for value in one.values())
    matched = through_stage((fitted,), fitted.stage, alone)[0]
    if isinstance(matched, Features):
        assert np.isfinite(matched.pooled).all()


def test_statistics_survive_the_disk(fitted: FittedCorrection, draw_batch: DrawBatch):
    tensors, record = fitted.to_artefact()
    back = FittedCorrection.from_artefact(load(save(tensors)), json.loads(json.dumps(record)))
    assert back.digest == fitted.digest
    batch = draw_batch(fitted.stage, 8)
    first, second = (through_stage((one,), one.stage, batch)[0] for one in (fitted, back))
    same_batch(first, second, 0.0)


def test_a_stranger_is_refused():
    cases: list[tuple[str, dict[str, Any]]] = [
        ("colour_jitter", {}),
        ("feature_moments", {"robustly": True}),
        ("feature_moments", {"kappa": "many"}),
        ("feature_moments", {"kappa": -1}),
        ("coral", {"shrinkage": 1.5}),
        ("coral", {"shrinkage": "oas"}),
        ("image_moments", {"transfer": "deep"}),
        ("object_scale", {"segmenter": "elephant"}),
        ("object_scale", {"most": 0}),
        ("stain_matching", {"tail": 50}),
    ]
    for name, options in cases:
        with pytest.raises(OslerError) as caught:
            parse_correction(name, options)
        assert caught.value.code is Code.USAGE, name


@pytest.fixture(scope="module")
def corrected(make_pipeline: Callable[..., Pipeline], encoder: OpenClipEncoder, draw_images: DrawImages) -> Pipeline:
    """Return a pipeline with a correction at every stage, the last one first."""
    plain = make_pipeline(encoder.width, encoder=encoder)
    source = draw_images(0)
    return replace(
        plain,
        corrections=(
            FittedCorrection("prior_shift", {"prior": np.array([0.5, 0.3, 0.2])}, {"kappa": 2.0}),
            FittedCorrection.at_source("feature_moments", encoder.encode(source)),
            FittedCorrection.at_source("image_moments", source),
        ),
    )


def test_a_site_is_corrected_stage_by_stage(corrected: Pipeline, draw_images: DrawImages):
    images = draw_images(6)
    prior, moments, pixels = corrected.corrections
    looked = through_stage((pixels,), "image", images)[0]
    assert corrected.encoder is not None
    features = through_stage((moments,), "feature", corrected.encoder.encode(looked))[0]
    before = corrected.calibration.probabilities(corrected.predict_features(features).logits)
    after = through_stage((prior,), "probability", before)[0]
    output = corrected.predict_site(images)
    np.testing.assert_allclose(corrected.calibration.probabilities(output.logits), after, atol=1e-9)
    assert np.abs(output.logits - corrected.predict(images).logits).max() > 1e-3
    assert output.contrib is not None
    assert output.residual_logits is not None
    whole = output.contrib.sum(-1) + corrected.head.bias + output.residual_logits
    np.testing.assert_allclose(whole, output.logits, atol=1e-9)


def test_what_was_measured_once_serves_later_studies(corrected: Pipeline, draw_images: DrawImages):
    images = draw_images(6)
    own = corrected.measure_site(images, site="b")
    assert (own.images, own.site) == (len(images), "b")
    tensors, record = own.to_artefact()
    back = SiteStatistics.from_artefact(load(save(tensors)), json.loads(json.dumps(record)))
    assert back.digest == own.digest
    together = corrected.predict_site(images).logits
    np.testing.assert_allclose(corrected.predict_site(images, back).logits, together, atol=1e-9)
    # Measured, a site is corrected study by study; without its statistics, one study says little of it.
    np.testing.assert_allclose(corrected.predict_site(images[:1], back).logits, together[:1], atol=1e-5)
    assert np.abs(corrected.predict_site(images[:1]).logits - together[:1]).max() > 1e-3


def test_without_corrections_a_site_is_predicted_as_any_image(
    make_pipeline: Callable[..., Pipeline], encoder: OpenClipEncoder, draw_images: DrawImages
):
    plain = make_pipeline(encoder.width, encoder=encoder)
    images = draw_images(6)
    site, any_ = plain.predict_site(images), plain.predict(images)
    np.testing.assert_array_equal(site.logits, any_.logits)
    assert site.residual_logits is None
    assert plain.measure_site(images).own == ()
    np.testing.assert_array_equal(plain.predict_site(images, plain.measure_site(images)).logits, any_.logits)


def test_the_digest_covers_corrections_where_there_are_any(corrected: Pipeline):
    plain = replace(corrected, corrections=())
    # As it was before there were corrections: site patches name models by it.
    parts: dict[str, Any] = {"encoder": plain.encoder_digest, "bank": plain.bank.digest, "classes": plain.classes}
    for name, part in (("scorer", plain.scorer), ("head", plain.head)):
        tensors, record = part.to_artefact()
        hashes = {key: [str(one.dtype), one.shape, sha256(one.tobytes()).hexdigest()] for key, one in tensors.items()}
        parts[name] = {"kind": type(part).__module__.rpartition(".")[2], "record": record, "tensors": hashes}
    assert plain.digest == sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
    digests = {
        one.digest
        for one in (
            plain,
            corrected,
            replace(corrected, corrections=corrected.corrections[:1]),
            replace(corrected, corrections=corrected.corrections[::-1]),
            replace(corrected, corrections=(*corrected.corrections[:2], replace_kappa(corrected.corrections[2]))),
        )
    }
    assert len(digests) == 5


def replace_kappa(one: FittedCorrection) -> FittedCorrection:
    return FittedCorrection(one.name, one.reference, {**one.options, "kappa": 3.0})


def test_a_model_keeps_its_corrections_on_the_disk(corrected: Pipeline, tmp_path: Any, draw_images: DrawImages):
    folder = save_bottleneck(corrected, tmp_path / "model", card="# A model\n")
    back = load_bottleneck(folder, corrected.encoder)
    assert back.digest == corrected.digest
    assert [one.name for one in back.corrections] == ["prior_shift", "feature_moments", "image_moments"]
    images = draw_images(6)
    np.testing.assert_array_equal(back.predict_site(images).logits, corrected.predict_site(images).logits)
    np.testing.assert_array_equal(
        back.predict_site(images, corrected.measure_site(images)).logits, back.predict_site(images).logits
    )


def test_a_model_without_corrections_is_written_as_ever(corrected: Pipeline, tmp_path: Any):
    folder = save_bottleneck(replace(corrected, corrections=()), tmp_path / "model", card="# A model\n")
    assert "corrections" not in json.loads((folder / "bottleneck.json").read_text())
    assert load_bottleneck(folder).corrections == ()


def test_a_model_whose_correction_nobody_knows_is_refused(corrected: Pipeline, tmp_path: Any):
    folder = save_bottleneck(corrected, tmp_path / "model", card="# A model\n")
    record = json.loads((folder / "bottleneck.json").read_text())
    for change in ({"name": "../elsewhere"}, {"options": {"robustly": True}}):
        changed = record | {"corrections": [record["corrections"][0] | change, *record["corrections"][1:]]}
        (folder / "bottleneck.json").write_bytes(written(changed))
        with pytest.raises(OslerError) as caught:
            load_bottleneck(folder)
        assert caught.value.code is Code.MODEL_INVALID
    (folder / "bottleneck.json").write_bytes(written(record | {"corrections": record["corrections"][:2]}))
    with pytest.raises(OslerError) as caught:
        load_bottleneck(folder)
    assert caught.value.code is Code.MODEL_HASH_MISMATCH


def test_statistics_of_another_model_are_refused(corrected: Pipeline, draw_images: DrawImages):
    images = draw_images(6)
    own = corrected.measure_site(images)
    other = replace(corrected, corrections=corrected.corrections[1:])
    with pytest.raises(OslerError) as caught:
        other.predict_site(images, own)
    assert caught.value.code is Code.MODEL_HASH_MISMATCH
    with pytest.raises(OslerError) as caught:
        corrected.predict_site([])
    assert caught.value.code is Code.NOTHING_ELIGIBLE
    with pytest.raises(OslerError) as caught:
        replace(corrected, encoder=None).predict_site(images)
    assert caught.value.code is Code.PART_MISSING


def test_a_correction_that_works_differently_has_another_digest(corrected: Pipeline, monkeypatch: pytest.MonkeyPatch):
    one = corrected.corrections[2]
    before = one.digest
    monkeypatch.setattr(type(one.correction), "version", 2, raising=False)
    assert FittedCorrection(one.name, one.reference, one.options).digest != before
