"""A calibration as a record: what it holds for, what it is refused for, how it is kept."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.special import softmax

from osler.bottleneck.calibration import Calibration
from osler.bottleneck.pipeline import Pipeline
from osler.calibrate.fit import Labelled, fit_calibration
from osler.calibrate.points import fit_operating_points
from osler.calibrate.record import SiteCalibration
from osler.calibrate.store import CalibrationStore
from osler.calibrate.words import calibration_lines
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

DATES = {"created": "2024-05-01", "expires": "2024-10-28"}


@pytest.fixture(scope="module")
def pipeline(make_pipeline: Callable[..., Pipeline]) -> Pipeline:
    return replace(make_pipeline(6), calibration=Calibration(2.0, "a", "2024-01-01", 50, {"pneumonia": 0.2}))


def labelled(n: int = 90, seed: int = 0, scale: float = 3.0) -> Labelled:
    rng = np.random.default_rng(seed)
    honest = rng.normal(size=(n, 3)) * 1.5
    y = (honest + rng.gumbel(size=honest.shape)).argmax(axis=1)
    return Labelled(scale * honest, y, tuple(f"2.25.{number}" for number in range(n)), set_aside=2)


def made(pipeline: Pipeline, n: int = 90, **options: object) -> SiteCalibration:
    return fit_calibration(pipeline, "c", labelled(n), **(DATES | options))


def test_temperature_sets_and_points_are_fitted_from_the_same_studies_and_kept_apart(pipeline: Pipeline):
    one = made(pipeline, 400)
    data = labelled(400)
    assert one.temperature == pytest.approx(3.0, rel=0.15)
    assert one.sets.temperature == 2.0  # the model's own: what was fitted here would make its own studies special
    scores = np.sort(1 - softmax(data.logits / 2.0, axis=1)[np.arange(400), data.y])
    if one.sets.method == "lac":
        assert one.sets.thresholds["normal"] == scores[400 - 40]
    calibrated = softmax(data.logits / one.temperature, axis=1)
    assert one.operating_points == fit_operating_points(calibrated, data.y, pipeline.classes, sensitivity=0.9)
    for k, name in enumerate(pipeline.classes):
        called = calibrated[data.y == k, k] >= one.operating_points[name]
        assert called.mean() >= 0.9
    assert one.after["cross_entropy"] < one.before["cross_entropy"]
    assert abs(one.after["confidence"] - one.after["accuracy"]) < abs(one.before["confidence"] - one.before["accuracy"])
    assert one.studies == dict(zip(pipeline.classes, np.bincount(data.y).tolist(), strict=True))
    assert one.calibration == Calibration(one.temperature, "c", "2024-05-01", 400, one.operating_points)
    assert (one.model, one.bank, one.patch, one.set_aside) == (pipeline.digest, pipeline.bank.digest, None, 2)


def test_a_class_of_few_studies_has_no_operating_point():
    y = np.array([0] * 9 + [1] * 8)
    p = np.tile(np.linspace(0.1, 0.9, 17)[:, None], (1, 2))
    points = fit_operating_points(p, y, ("a", "b"), sensitivity=0.9)
    assert points == {"a": p[0, 0]}  # of nine one in ten may lie below: the smallest is the point


def test_too_few_studies_are_refused_with_the_number_that_is_needed(pipeline: Pipeline):
    with pytest.raises(OslerError, match="9 studies") as caught:
        made(pipeline, 9)
    assert (caught.value.code, "Label 10" in caught.value.mend) == (Code.SUPPORT_INSUFFICIENT, True)
    assert "2 more are of patients in the patch's support" in caught.value.message
    alone = Labelled(np.zeros((30, 3)), np.zeros(30, np.intp), ("2.25.1",) * 30)
    with pytest.raises(OslerError, match="of 1 of 3 classes"):
        fit_calibration(pipeline, "c", alone, **DATES)
    few = made(pipeline, 15, coverage=0.95)  # enough for a temperature, too few for sets
    assert few.sets is None
    assert "Label 19 at least" in few.without_sets
    assert any(few.without_sets in line for line in calibration_lines(few))
    for wrong in ({"expires": "2024-04-30"}, {"sensitivity": 1.0}, {"coverage": 0.0}):
        with pytest.raises(OslerError) as caught:
            made(pipeline, **wrong)
        assert caught.value.code is Code.USAGE


def test_it_holds_for_its_site_model_and_patch_until_its_last_day(pipeline: Pipeline):
    one = made(pipeline)
    its = {"site": "c", "model": pipeline.digest, "patch": None}
    one.require_for(**its, on="2024-10-28")
    cases = (
        ({"on": "2024-10-29"}, "held until 2024-10-28"),
        ({"on": "2024-06-01", "site": "b"}, "of site 'c', not 'b'"),
        ({"on": "2024-06-01", "model": "0" * 64}, "made for another model"),
        ({"on": "2024-06-01", "patch": "abc"}, "without a patch; the site now works under patch abc"),
    )
    for changed, words in cases:
        with pytest.raises(OslerError, match=words) as caught:
            one.require_for(**(its | changed))
        assert caught.value.code is Code.CALIBRATION_INVALID
    with pytest.raises(OslerError, match="revoked"):
        one.with_status("revoked", "2024-06-01").require_for(**its, on="2024-06-01")


def test_it_travels_through_json_and_an_edit_shows(pipeline: Pipeline):
    for one in (made(pipeline), made(pipeline, 15, coverage=0.95)):
        again = SiteCalibration.from_json(one.to_json())
        assert again == one
        assert again.id == one.with_status("revoked", "2024-06-01").id
        record = json.loads(one.to_json())
        for name, value in {"temperature": 1.0, "expires": "2030-01-01", "patch": "abc", "sets": None}.items():
            if record[name] != value:
                with pytest.raises(OslerError) as caught:
                    SiteCalibration.from_json(json.dumps(record | {name: value}))
                assert caught.value.code is Code.CALIBRATION_INVALID
    for text in ("", "[]", "{}", '{"format": "osler-site-calibration/1", "id": "x"}'):
        with pytest.raises(OslerError) as caught:
            SiteCalibration.from_json(text)
        assert caught.value.code is Code.CALIBRATION_INVALID
    for wrong in ({"temperature": 0.0}, {"status": "waiting"}, {"expires": "soon"}, {"operating_points": {"a": 2.0}}):
        with pytest.raises(OslerError):
            replace(made(pipeline), **wrong)


def test_one_is_in_force_for_a_site_a_model_and_a_patch(pipeline: Pipeline, tmp_path: Path):
    store = CalibrationStore(tmp_path)
    first, second = made(pipeline), made(pipeline, 95)
    under = replace(second, patch="abc")
    for one in (first, under, second):
        store.activate(one, "2024-05-02")
    assert [one.status for one in (store.get(first.id), store.get(second.id), store.get(under.id))] == [
        "revoked",
        "active",
        "active",
    ]
    assert store.get(first.id).history[-1] == ("2024-05-02", "revoked", f"superseded by {second.id}")

    def held(patch: str | None, on: str = "2024-06-01", model: str = pipeline.digest) -> tuple[str | None, str]:
        found, reasons = store.in_force("c", model, patch, on)
        return found and found.id, " ".join(reasons)

    assert held(None) == (second.id, "")
    assert held("abc") == (under.id, "")
    assert held("other")[0] is None
    assert "now works under patch other" in held("other")[1]
    assert "held until 2024-10-28" in held(None, on="2025-01-01")[1]
    assert "another model" in held(None, model="f" * 64)[1]
    assert store.in_force("elsewhere", pipeline.digest, None) == (None, ())
    revoked = store.revoke(store.get(second.id), "2024-07-01", "scanner replaced")
    assert store.revoke(revoked, "2024-08-01") == revoked
    assert held(None)[0] is None
    for start in ("", "zzz"):
        with pytest.raises(OslerError) as caught:
            store.get(start)
        assert caught.value.code is Code.CALIBRATION_INVALID
    (tmp_path / "damaged.json").write_bytes(b"\xff\xfe")
    with pytest.raises(OslerError, match=r"damaged\.json"):
        store.all()
