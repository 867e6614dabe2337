"""The whole comparison: silent where nothing moved, clear where something did, honest where it cannot tell."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from osler_contracts.drift.compare import compare
from osler_contracts.drift.fields import FIELDS, MISSING, OTHER
from osler_contracts.drift.observations import Observations, observe, read_headers
from osler_contracts.drift.reference import make_profile
from osler_contracts.drift.report import DriftReport, FieldResult, Verdict
from osler_contracts.drift.words import report_lines

Draw = Callable[..., Observations]
REAL_FOLDER = Path(__file__).parents[3].parent / "shared" / "data" / "headers"


def of(report: DriftReport, name: str) -> FieldResult:
    (found,) = (one for one in report.fields if one.name == name)
    return found


@pytest.mark.parametrize(("patients", "images"), [(240, 1), pytest.param(240, 3, marks=pytest.mark.slow)])
def test_where_nothing_moved_false_alarms_stay_at_the_level(draw: Draw, patients: int, images: int) -> None:
    """Of 200 batches, some five of a hundred may hold a false discovery; many images a patient must not make more."""
    rng, alarms, moved, batches = np.random.default_rng([patients, images]), 0, 0, 200
    for _ in range(batches):
        profile = make_profile(draw(rng, 300, images=images), site="a")
        report = compare(profile, draw(rng, patients, images=images))
        alarms += bool(report.moved or report.with_verdict(Verdict.SLIGHT))
        moved += bool(report.moved)
    assert alarms <= stats.binom.ppf(0.999, batches, 0.05)
    assert moved <= alarms


@pytest.mark.parametrize(
    ("shift", "field", "kind"),
    [
        ({"kvp": 1.0}, "KVP", "median"),
        ({"mean": -0.8}, "image_mean", "median"),
        ({"spacing": 0.9}, "PixelSpacing", "median"),
        ({"ap": 0.65}, "ViewPosition", "share"),
        ({"maker": "Norden"}, "Manufacturer", "new"),
    ],
)
def test_a_planted_move_is_found_and_nothing_else(draw: Draw, shift: dict[str, object], field: str, kind: str) -> None:
    rng = np.random.default_rng(len(field))
    report = compare(make_profile(draw(rng, 400), site="a"), draw(rng, 200, **shift))
    assert report.moved == (field,)
    found = of(report, field)
    assert found.p_adjusted < 0.001
    assert found.psi_interval[0] > 0.1
    assert found.psi > found.psi_threshold
    assert found.jsd > found.jsd_threshold
    assert found.change is not None
    assert found.change.kind == kind
    assert found.since is not None
    assert not found.since.onset.inside
    assert report.answer is Verdict.MOVED


def test_the_change_says_from_what_to_what(draw: Draw) -> None:
    rng = np.random.default_rng(9)
    profile = make_profile(draw(rng, 500), site="a")
    report = compare(profile, draw(rng, 300, kvp=-2.0, ap=0.8, maker="Norden"))
    kvp, view, maker = (of(report, name).change for name in ("KVP", "ViewPosition", "Manufacturer"))
    assert kvp is not None
    assert view is not None
    assert maker is not None
    assert kvp.before == pytest.approx((110,), abs=1)
    assert kvp.after == pytest.approx((94,), abs=1.5)
    assert (view.of, maker.of) in {("AP", "NORDEN"), ("PA", "NORDEN")}
    assert abs(view.after[0] - view.before[0]) == pytest.approx(0.5, abs=0.08)
    assert (maker.before, maker.after) == ((0.0,), (1.0,))
    told = "\n".join(report_lines(report))
    assert "tube voltage: median 110 kV, now 9" in told
    assert "manufacturer: new: NORDEN, 100%" in told


def test_a_move_within_the_batch_is_dated(draw: Draw) -> None:
    rng = np.random.default_rng(12)
    profile = make_profile(draw(rng, 400), site="a")
    before, after = draw(rng, 120), draw(rng, 80, kvp=1.5)
    columns = {name: [*before.columns[name], *after.columns[name]] for name in before.columns}
    batch = Observations(np.arange(200, dtype=np.int64), columns)
    report = compare(profile, batch)
    assert report.moved == ("KVP",)
    since = of(report, "KVP").since
    assert since is not None
    assert since.onset.inside
    assert since.onset.low <= 120 <= since.onset.high
    assert abs(since.onset.at - 120) <= 15
    assert f"since arrival {since.onset.at + 1} of 200" in "\n".join(report_lines(report))


def test_few_arrivals_cannot_tell_and_say_so(draw: Draw) -> None:
    rng = np.random.default_rng(3)
    report = compare(make_profile(draw(rng, 300), site="a"), draw(rng, 12))
    assert report.answer is Verdict.TOO_FEW
    assert of(report, "KVP").verdict is Verdict.TOO_FEW
    assert of(report, "KVP").detectable > 0.25
    assert "too few" in "\n".join(report_lines(report))
    assert of(compare(make_profile(draw(rng, 900), site="a"), draw(rng, 900)), "KVP").detectable < 0.1


def test_a_huge_batch_does_not_shout_about_nothing(draw: Draw) -> None:
    rng = np.random.default_rng(6)
    report = compare(make_profile(draw(rng, 20000), site="a"), draw(rng, 20000, kvp=0.1))
    found = of(report, "KVP")
    assert found.p_adjusted < 0.001
    assert found.verdict is Verdict.SLIGHT
    assert report.moved == ()


def test_one_patient_with_many_images_moves_nothing(draw: Draw) -> None:
    rng = np.random.default_rng(17)
    profile = make_profile(draw(rng, 200), site="a")
    batch, often = draw(rng, 150), draw(rng, 1, images=150, kvp=6.0, maker="Norden", ap=1.0)
    columns = {name: [*batch.columns[name], *often.columns[name]] for name in batch.columns}
    counted_once = Observations(np.array([*range(150), *[150] * 150], dtype=np.int64), columns)
    assert compare(profile, counted_once).moved == ()
    as_rows = replace(counted_once, units=np.arange(300, dtype=np.int64))
    assert {"KVP", "Manufacturer"} <= set(compare(profile, as_rows).moved)


def test_a_new_word_of_few_patients_is_not_named(draw: Draw) -> None:
    words = ["CHEST"] * 100
    profile = make_profile(observe(range(100), {"BodyPartExamined": words}), site="a")
    patient = compare(
        profile, observe([0] * 90 + [*range(1, 11)], {"BodyPartExamined": ["DOE JANE"] * 90 + words[:10]})
    )
    assert "DOE" not in str(patient.to_dict())
    others = [f"NAME {number}" for number in range(60)] + words[:40]
    less = observe(range(100), {"BodyPartExamined": words[:50] + ["THORAX"] * 50})
    assert make_profile(less, site="a").fields["BodyPartExamined"].cells.words == ("CHEST", "THORAX")
    many = compare(make_profile(less, site="a"), observe(range(100), {"BodyPartExamined": others}))
    assert many.moved == ("BodyPartExamined",)
    assert "NAME" not in str(many.to_dict())
    change = of(many, "BodyPartExamined").change
    assert change is not None
    assert (change.of, change.after) == (OTHER, (0.6,))


def test_a_field_that_goes_missing_or_bad_has_moved() -> None:
    full = [*np.random.default_rng(1).normal(100, 5, 200)]
    profile = make_profile(observe(range(200), {"KVP": full, "Exposure": full}), site="a")
    report = compare(profile, observe(range(200), {"KVP": [None] * 200, "Exposure": ["inf"] * 120 + full[:80]}))
    assert set(report.moved) == {"KVP", "Exposure"}
    change = of(report, "KVP").change
    assert change is not None
    assert (change.kind, change.of, change.before, change.after) == ("share", MISSING, (0.0,), (1.0,))
    assert of(report, "KVP").ks is None
    bad = of(report, "Exposure").change
    assert bad is not None
    assert bad.after == pytest.approx((0.6,))


def test_a_constant_that_changes_is_found_and_one_that_stays_is_not() -> None:
    profile = make_profile(
        observe(range(60), {"Rows": [2000] * 60, "Columns": [2000] * 60, "KVP": [None] * 60}), site="a"
    )
    report = compare(profile, observe(range(60), {"Rows": [2001] * 60, "Columns": [2000] * 60, "KVP": [None] * 60}))
    assert report.moved == ("Rows",)
    assert of(report, "Rows").ks == 1.0
    for name in ("Columns", "KVP"):
        assert of(report, name).verdict is Verdict.STEADY
        assert of(report, name).null == "constant"


def test_what_one_side_did_not_look_for_is_not_compared(draw: Draw) -> None:
    rng = np.random.default_rng(2)
    batch = draw(rng, 50)
    less = Observations(batch.units, {"KVP": batch.columns["KVP"], "Rows": [512.0] * 50})
    report = compare(make_profile(draw(rng, 100), site="a"), less)
    assert {one.name for one in report.with_verdict(Verdict.NOT_COMPARED)} == set(batch.columns) - {"KVP"} | {"Rows"}


def test_an_empty_batch_is_an_answer(draw: Draw) -> None:
    nothing = Observations(np.zeros(0, dtype=np.int64), {name: [] for name in FIELDS})
    report = compare(make_profile(draw(np.random.default_rng(2), 100), site="a"), nothing)
    assert (report.answer, report.moved, report.fields) == (Verdict.TOO_FEW, (), ())
    assert report_lines(report) == ["Nothing has arrived since the reference was made."]


def test_a_report_is_read_back_as_it_was(draw: Draw) -> None:
    import json

    rng = np.random.default_rng(2)
    report = compare(make_profile(draw(rng, 200), site="a"), draw(rng, 150, kvp=1.0), facts={"runs": [3]})
    assert report.moved
    assert DriftReport.from_dict(json.loads(json.dumps(report.to_dict()))) == report


def test_halves_of_a_real_institution_agree_and_two_institutions_do_not() -> None:
    """Where the real headers lie beside the checkout; elsewhere there is no table to loop over."""
    tables = {path.name.split("_")[0]: read_headers(path) for path in sorted(REAL_FOLDER.glob("*.csv.gz"))}
    for name, table in tables.items():
        for seed in range(2):
            chosen = (np.random.default_rng(seed).permutation(table.count) < table.count // 2)[table.units]
            report = compare(make_profile(table.take(chosen), site=name), table.take(~chosen))
            assert report.moved == ()
    if len(tables) == 2:
        one, other = tables.values()
        assert {"ViewPosition", "PixelSpacing"} <= set(compare(make_profile(one, site="one"), other).moved)
