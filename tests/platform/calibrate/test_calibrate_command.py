"""`osler calibrate` on an archive, and what an explanation then says."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from scipy.special import softmax
from tests.platform.patches import by_hand, masked

from osler import audit
from osler.adapt.patch import SitePatch, support_digest
from osler.adapt.support_store import SupportStore
from osler.calibrate.store import CalibrationStore
from osler.calibrate.studies import gather_labelled
from osler.cli.main import main
from osler.explain.service import StudyExplainer
from osler.tracking import open_tracker
from osler.workspace import Workspace
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

CALIBRATE = ("calibrate", "--site", "c", "--model", "random", "--expires", "2999-01-01", "--no-track")


@pytest.fixture
def explainer(ward: Workspace) -> StudyExplainer:
    return StudyExplainer(ward, "random")


def answer(workspace: Workspace, *words: str, capsys: pytest.CaptureFixture[str]) -> dict[str, object]:
    assert main([*words, "--workspace", str(workspace.root), "--json"]) == 0
    return dict(json.loads(capsys.readouterr().out))


def refusal(workspace: Workspace, *words: str, capsys: pytest.CaptureFixture[str]) -> dict[str, str]:
    assert main([*words, "--workspace", str(workspace.root), "--json"]) in (1, 2)
    return dict(json.loads(capsys.readouterr().out)["error"])


def patch_on(explainer: StudyExplainer, uids: list[str]) -> SitePatch:
    pipeline = explainer.pipeline
    return by_hand(pipeline, masked(pipeline, "concept_1"), site="c", support=support_digest(uids))


def test_a_calibration_is_what_explanations_then_speak_by(
    ward: Workspace, explainer: StudyExplainer, capsys: pytest.CaptureFixture[str]
):
    uid = explainer.archive.studies("c")[0].uid
    plain = explainer.explain(uid)
    assert (plain.prediction_set, plain.abstains, plain.finding.calibrated_probability) == (None, None, None)
    assert "osler calibrate" in plain.abstains_because
    one = answer(ward, *CALIBRATE, "--author", "Grace", capsys=capsys)["calibration"]
    assert (sum(one["studies"].values()), one["author"], one["sets"]["coverage"]) == (26, "Grace", 0.9)  # one a patient
    assert one["label"] == "finding"
    told = explainer.explain(uid)
    logits = [finding.logit for finding in told.findings]
    assert [finding.logit for finding in plain.findings] == logits
    calibrated = softmax([logit / one["temperature"] for logit in logits])
    assert [finding.calibrated_probability for finding in told.findings] == pytest.approx(list(calibrated))
    assert told.calibrated_here
    assert told.calibration["id"] == one["id"]
    raw = softmax(logits)
    limit = 1 - one["sets"]["thresholds"]["normal"]
    assert told.prediction_set.classes == tuple(f.id for f, p in zip(told.findings, raw, strict=True) if p >= limit)
    assert told.abstains == (len(told.prediction_set.classes) != 1)
    assert "26 calibration studies" in told.prediction_set.sentence
    for finding in told.findings:
        point = one["operating_points"].get(finding.id)
        assert finding.operating_point == point
    corrected = explainer.explain(uid, corrections={"concept_0": 1.0})
    assert (corrected.prediction_set, corrected.calibrated_here) == (None, False)
    assert "corrected" in corrected.abstains_because
    assert main(["explain", uid, "--model", "random", "--workspace", str(ward.root)]) == 0
    assert "not of this patient" in capsys.readouterr().out


def test_an_expired_or_foreign_calibration_is_said_and_not_used(
    ward: Workspace, explainer: StudyExplainer, capsys: pytest.CaptureFixture[str]
):
    uids = [study.uid for study in explainer.archive.studies("c")]
    plain = explainer.explain(uids[0])
    expired = ("calibrate", "--site", "c", "--model", "random", "--date", "2024-05-01", "--no-track")
    assert answer(ward, *expired, capsys=capsys)["calibration"]["expires"] == "2024-10-28"
    told = explainer.explain(uids[0])
    assert told.findings == plain.findings
    assert any("held until 2024-10-28" in one.message for one in told.warnings)
    one = answer(ward, *CALIBRATE, capsys=capsys)["calibration"]
    assert not any("held until" in one.message for one in explainer.explain(uids[0]).warnings)
    patch = patch_on(explainer, uids[:3])
    explainer.patches.save(patch)
    explainer.patches.activate(patch, "2024-05-02")
    under = explainer.explain(uids[0])
    assert under.prediction_set is None
    said = f"was made without a patch; the site now works under patch {patch.id}"
    assert any(said in one.message for one in under.warnings)
    assert explainer.explain(uids[0], patched=False).calibrated_here
    answer(ward, "calibrate", "--revoke", one["id"], "--note", "a test", capsys=capsys)
    assert not explainer.explain(uids[0], patched=False).calibrated_here
    noted = [entry for entry in audit.entries(ward) if entry.subject == one["id"]]
    assert [entry.action for entry in noted][-2:] == ["calibration.make", "calibration.revoke"]
    assert noted[-1].details["note"] == "a test"
    assert audit.verify(ward).fault is None
    held = answer(ward, "calibrate", "--list", capsys=capsys)["calibrations"]
    assert [entry["status"] for entry in held] == ["revoked", "revoked"]


def test_the_patients_of_the_patch_are_left_out(
    ward: Workspace, explainer: StudyExplainer, capsys: pytest.CaptureFixture[str], tmp_path: Path
):
    studies = [study for study in explainer.archive.studies("c") if study.labels]
    by_patient: dict[str, list[str]] = {}
    for study in studies:
        by_patient.setdefault(study.patient, []).append(study.uid)
    double = next(uids for uids in by_patient.values() if len(uids) == 2)
    single = [uids[0] for uids in by_patient.values() if len(uids) == 1][:2]
    support = [double[0], *single]
    patch = patch_on(explainer, support)
    explainer.patches.save(patch)
    explainer.patches.activate(patch, "2024-05-02")
    assert refusal(ward, *CALIBRATE, capsys=capsys)["code"] == "usage"  # nobody knows whom it was fitted on
    table = tmp_path / "support.csv"
    table.write_text("study_uid,label\n" + "".join(f"{uid},normal\n" for uid in support[:2]))
    assert refusal(ward, *CALIBRATE, "--support", str(table), capsys=capsys)["code"] == "usage"
    table.write_text("study_uid,label\n" + "".join(f"{uid},normal\n" for uid in support))
    named = answer(ward, *CALIBRATE, "--support", str(table), capsys=capsys)["calibration"]
    SupportStore(ward.patches).keep(support)
    one = answer(ward, *CALIBRATE, capsys=capsys)["calibration"]
    assert one["id"] == named["id"]
    # The second study of a patient goes with the first.
    assert (one["set_aside"], sum(one["studies"].values()), one["patch"]) == (4, 23, patch.id)
    labelled = gather_labelled(explainer, "c", label="finding", patch=patch)
    assert {explainer.archive.study(uid).patient for uid in labelled.study_uids}.isdisjoint(
        explainer.archive.study(uid).patient for uid in support
    )
    for uid, logits in zip(labelled.study_uids[:3], labelled.logits, strict=False):
        told = explainer.explain(uid)
        assert sorted(finding.logit for finding in told.findings) == pytest.approx(sorted(logits))
        assert told.calibrated_here
    table.write_text(f"study_uid,label\n{double[1]},normal\n")
    assert refusal(ward, *CALIBRATE, "--studies", str(table), capsys=capsys)["code"] == "patient-overlap"
    SupportStore(ward.patches).keep(support).write_text("[]")  # no longer whole
    assert refusal(ward, *CALIBRATE, capsys=capsys)["code"] == "usage"


def test_what_cannot_be_calibrated_is_refused(
    ward: Workspace, explainer: StudyExplainer, capsys: pytest.CaptureFixture[str], tmp_path: Path
):
    assert refusal(ward, "calibrate", "--site", "c", capsys=capsys)["code"] == "usage"
    nowhere = refusal(ward, "calibrate", "--site", "d", "--model", "random", capsys=capsys)
    assert nowhere["code"] == "nothing-eligible"
    assert (
        refusal(ward, "calibrate", "--site", "a", "--model", "random", capsys=capsys)["code"] == "support-insufficient"
    )
    assert refusal(ward, *CALIBRATE, "--label", "stage", capsys=capsys)["code"] == "nothing-eligible"
    few = answer(ward, *CALIBRATE, "--coverage", "0.99", capsys=capsys)["calibration"]
    assert few["sets"] is None
    assert "Label 99 at least" in few["without_sets"]
    uid = explainer.archive.studies("c")[0].uid
    told = explainer.explain(uid)
    assert (told.prediction_set, told.abstains, told.abstains_because) == (None, None, few["without_sets"])
    table = tmp_path / "studies.csv"
    for label, site, code in (("measles", "c", Code.TABLE_INVALID), ("normal", "d", Code.TABLE_INVALID)):
        with pytest.raises(OslerError) as caught:
            gather_labelled(explainer, site, label="finding", chosen={uid: label})
        assert caught.value.code is code
    table.write_text(f"study_uid,label\n{uid},normal\n")
    assert refusal(ward, *CALIBRATE, "--studies", str(table), capsys=capsys)["code"] == "support-insufficient"


@pytest.mark.slow
def test_a_calibration_is_logged_to_the_tracker(
    ward: Workspace, explainer: StudyExplainer, capsys: pytest.CaptureFixture[str]
):
    one = answer(ward, *CALIBRATE[:-1], capsys=capsys)["calibration"]
    client = open_tracker(ward).client
    experiment = client.get_experiment_by_name("calibration").experiment_id
    run = client.search_runs([experiment])[0]
    assert run.data.tags["calibration"] == one["id"]
    assert run.data.metrics["temperature"] == pytest.approx(one["temperature"])
    assert [file.path for file in client.list_artifacts(run.info.run_id)] == ["calibration.json"]
    assert CalibrationStore(ward.calibrations).get(one["id"]).status == "active"
