"""`osler monitor` and `osler suggest` on an archive."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from tests.platform.patches import by_hand, masked

from osler.adapt.patch import SitePatch, support_digest
from osler.adapt.support_store import SupportStore
from osler.archive.arrivals import arrival_order
from osler.cli.main import main
from osler.explain.service import StudyExplainer
from osler.monitor.service import kept_at
from osler.monitor.stream import read_stream
from osler.tracking import open_tracker
from osler.workspace import Workspace

MONITOR = ("monitor", "--site", "c", "--model", "random", "--no-track")
SUGGEST = ("suggest", "--site", "c", "--model", "random")


@pytest.fixture
def explainer(ward: Workspace) -> StudyExplainer:
    return StudyExplainer(ward, "random")


def answer(workspace: Workspace, *words: str, capsys: pytest.CaptureFixture[str]) -> dict[str, object]:
    assert main([*words, "--workspace", str(workspace.root), "--json"]) == 0
    return dict(json.loads(capsys.readouterr().out))


def refusal(workspace: Workspace, *words: str, capsys: pytest.CaptureFixture[str]) -> str:
    assert main([*words, "--workspace", str(workspace.root), "--json"]) in (1, 2)
    return str(json.loads(capsys.readouterr().out)["error"]["code"])


def masking(explainer: StudyExplainer, uids: list[str]) -> SitePatch:
    pipeline = explainer.pipeline
    patch = by_hand(pipeline, masked(pipeline, "concept_1"), site="c", support=support_digest(uids))
    explainer.patches.save(patch)
    SupportStore(explainer.workspace.patches).keep(uids)
    return explainer.patches.activate(patch, "2024-05-02")


def test_a_stream_is_one_study_a_patient_in_the_order_of_arrival(explainer: StudyExplainer):
    stream = read_stream(explainer, "c")
    order = arrival_order(explainer.archive)
    uids = [study.uid for study in stream.studies]
    assert len(stream) == 50
    assert len({study.patient for study in stream.studies}) == 50
    assert [order.index(uid) for uid in uids] == sorted(order.index(uid) for uid in uids)
    features = explainer.features(stream.studies[5])
    state = explainer.pipeline.state(features).static
    np.testing.assert_allclose(stream.values[5], state[0], atol=1e-5)
    assert {one.run for one in stream.since("2").arrived} == {2}
    assert len(stream.since("2999-01-01")) == 0
    assert len(stream.since(stream.arrived[0].started[:10])) == 50


def test_a_change_of_the_site_is_found_against_its_own_first_studies(
    ward: Workspace, explainer: StudyExplainer, capsys: pytest.CaptureFixture[str]
):
    report = answer(ward, *MONITOR, "--first", "16", capsys=capsys)
    assert report["reference"] == {"of": "first 16 of c", "studies": 16}
    assert report["stream"]["studies"] == 34
    assert report["moved"]
    assert report["answer"] == "moved"
    first = report["concepts"][0]
    # Ten more patients of the first delivery came before the second.
    assert abs(first["since"]["onset"]["at"] - 10) <= 2
    assert first["alarm"] >= 10
    kept = json.loads(kept_at(ward, "c", "random").read_text(encoding="utf-8"))
    assert kept == report
    assert main([*MONITOR, "--first", "16", "--workspace", str(ward.root)]) == 0
    text = capsys.readouterr().out
    assert "standard deviations" in text
    assert "cannot be told apart without labels" in text


def test_against_the_source_and_since_a_run(ward: Workspace, capsys: pytest.CaptureFixture[str]):
    report = answer(ward, *MONITOR, "--since", "2", capsys=capsys)
    assert (report["reference"]["of"], report["stream"]["runs"]) == ("a", [2])
    assert report["stream"]["studies"] == 24
    assert set(report["classes"]) == {"heart_failure", "pneumonia", "normal"}
    for _, after in report["classes"].values():
        assert 0 <= after <= 1
    steady = answer(ward, *MONITOR, "--first", "12", "--since", "1", "--level", "0.01", capsys=capsys)
    assert steady["level"] == 0.01


def test_under_a_patch_its_own_concepts_are_compared(
    ward: Workspace, explainer: StudyExplainer, capsys: pytest.CaptureFixture[str]
):
    patch = masking(explainer, [explainer.archive.studies("c")[0].uid])
    report = answer(ward, *MONITOR, "--patched", "--first", "16", capsys=capsys)
    ignored = next(one for one in report["concepts"] if one["id"] == "concept_1")
    assert (report["patch"], ignored["alarm"], ignored["effect"]["value"]) == (patch.id, None, 0.0)
    assert answer(ward, *MONITOR, "--first", "16", capsys=capsys)["patch"] is None


def test_what_cannot_be_monitored_is_refused(ward: Workspace, capsys: pytest.CaptureFixture[str]):
    cases = {
        ("--since", "2999-01-01"): "nothing-eligible",
        ("--since", "yesterday"): "usage",
        ("--level", "1.5"): "usage",
        ("--first", "1"): "usage",
        ("--first", "50"): "nothing-eligible",
    }
    for options, code in cases.items():
        assert refusal(ward, *MONITOR, *options, capsys=capsys) == code
    assert refusal(ward, "monitor", "--site", "d", "--model", "random", capsys=capsys) == "nothing-eligible"


def test_a_list_to_label_leaves_out_who_is_known(
    ward: Workspace, explainer: StudyExplainer, capsys: pytest.CaptureFixture[str]
):
    listed = answer(ward, *SUGGEST, "--count", "8", capsys=capsys)
    uids = [one["study"] for one in listed["studies"]]
    studies = [explainer.archive.study(uid) for uid in uids]
    known = {study.patient for study in explainer.archive.studies("c") if study.labels.get("finding")}
    assert len({study.patient for study in studies}) == 8
    assert {study.patient for study in studies}.isdisjoint(known)
    for one in listed["studies"]:
        told = explainer.explain(one["study"])
        assert one["predicted"] == told.finding.id
    for count in (8, 3):
        again = answer(ward, *SUGGEST, "--count", str(count), capsys=capsys)
        assert [one["study"] for one in again["studies"]] == uids[:count]
    support = [study.uid for study in studies[:2]]
    masking(explainer, support)
    again = answer(ward, *SUGGEST, "--count", "60", capsys=capsys)
    left = {explainer.archive.study(one["study"]).patient for one in again["studies"]}
    assert len(left) == 50 - len(known) - 2
    assert left.isdisjoint(study.patient for study in studies[:2])
    assert main([*SUGGEST, "--count", "2", "--workspace", str(ward.root)]) == 0
    assert "stands for" in capsys.readouterr().out
    assert refusal(ward, *SUGGEST, "--count", "0", capsys=capsys) == "usage"
    assert refusal(ward, "suggest", "--site", "d", "--model", "random", capsys=capsys) == "nothing-eligible"


def test_concepts_that_could_not_be_measured_are_left_out_and_counted(
    explainer: StudyExplainer, monkeypatch: pytest.MonkeyPatch
):
    studies, features = explainer.site_features("c")
    spoilt = features.pooled.copy()
    spoilt[3] = np.nan
    other = replace(features, pooled=spoilt)
    monkeypatch.setattr(StudyExplainer, "site_features", lambda self, site: (studies, other))
    stream = read_stream(explainer, "c")
    assert stream.unmeasured == 1
    assert studies[3].uid not in {study.uid for study in stream.studies}


@pytest.mark.slow
def test_a_report_is_logged_to_the_tracker(ward: Workspace, capsys: pytest.CaptureFixture[str]):
    report = answer(ward, *MONITOR[:-1], "--first", "16", capsys=capsys)
    client = open_tracker(ward).client
    run = client.search_runs([client.get_experiment_by_name("monitor").experiment_id])[0]
    assert run.data.metrics["moved"] == len(report["moved"])
    first = report["concepts"][0]
    assert run.data.metrics[f"{first['id']}.effect.value"] == pytest.approx(first["effect"]["value"])
    assert [file.path for file in client.list_artifacts(run.info.run_id)] == ["monitor.json"]
