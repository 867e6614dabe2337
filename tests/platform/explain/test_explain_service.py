"""Archived studies explained, adapted and patched, by the service and by the command."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.platform.patches import by_hand, masked

from osler.adapt.patch import SitePatch
from osler.adapt.support import draw_support, gather_support, read_support
from osler.bottleneck.encoders.open_clip import OpenClipEncoder
from osler.cli.main import main
from osler.dicom.pixels import read_image
from osler.explain.explanation import Measured
from osler.explain.service import StudyExplainer, model_names
from osler.explain.validation import ConceptCheck, Validation
from osler.workspace import Workspace
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

CLASSES = ("heart_failure", "pneumonia", "normal")


@pytest.fixture(scope="module")
def hospital(hospital: Workspace, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Return a copy of the hospital: the commands below change it."""
    root = tmp_path_factory.mktemp("explained") / "workspace"
    shutil.copytree(hospital.root, root)
    return Workspace.open(root)


@pytest.fixture(scope="module")
def explainer(hospital: Workspace) -> StudyExplainer:
    return StudyExplainer(hospital, "random")


@pytest.fixture(scope="module")
def uids(explainer: StudyExplainer) -> list[str]:
    return [study.uid for study in explainer.archive.studies("b") if explainer.archive.frontal(study)]


def patch_of(explainer: StudyExplainer) -> SitePatch:
    pipeline = explainer.pipeline
    return by_hand(pipeline, masked(pipeline, "concept_1", "masked *concept 1*: a reason"))


def code_of(hospital: Workspace, *words: str, capsys: pytest.CaptureFixture[str]) -> str:
    assert main([*words, "--workspace", str(hospital.root), "--json"]) in (1, 2)
    return str(json.loads(capsys.readouterr().out)["error"]["code"])


def answer(hospital: Workspace, *words: str, capsys: pytest.CaptureFixture[str]) -> dict[str, object]:
    assert main([*words, "--workspace", str(hospital.root), "--json"]) == 0
    return dict(json.loads(capsys.readouterr().out))


def test_a_study_is_explained_from_its_own_pixels(explainer: StudyExplainer, encoder: OpenClipEncoder, uids: list[str]):
    explanation = explainer.explain(uids[0])
    instance = explainer.archive.frontal(explainer.archive.study(uids[0]))
    features = encoder.encode([read_image(instance.path).values])
    logits = explainer.pipeline.predict_features(features).logits[0]
    assert explanation.finding.id == CLASSES[logits.argmax()]
    assert explanation.finding.logit == pytest.approx(logits.max(), abs=1e-4)
    assert (explanation.study, explanation.site) == (uids[0], "b")
    assert explainer.explain(uids[0]) == explanation


def test_maps_are_keyed_by_concept_and_shown_only_where_they_were_checked(
    hospital: Workspace, explainer: StudyExplainer, uids: list[str]
):
    assert explainer.concept_map(uids[0], "concept_0") is None
    digest, points = explainer.pipeline.digest, Measured(0.95, 0.9, 0.99, 80, 80, "held-out studies")
    checks = {one: ConceptCheck(present_from=0.0, localisation=points) for one in ("concept_0", "concept_3")}
    checks["concept_1"] = ConceptCheck(present_from=0.0, localisation=replace(points, low=0.6))
    path = Validation(digest, "held-out studies", checks).save(hospital.models / "random")
    explainer = StudyExplainer(hospital, "random")
    assert explainer.explain(uids[0]).concept("concept_0").location == "validated"
    path.unlink()  # the explainer has read it, and other tests have a model that nobody checked
    assert explainer.concept_map(uids[0], "concept_1") is None
    first, second = (explainer.concept_map(uids[0], one) for one in ("concept_0", "concept_3"))
    assert first.shape == second.shape == (2, 2)
    assert np.abs(first - second).max() > 1e-3
    with pytest.raises(OslerError) as caught:
        explainer.concept_map(uids[0], "nothing")
    assert caught.value.code is Code.UNKNOWN_CONCEPT


def test_what_cannot_be_explained_is_refused(explainer: StudyExplainer, hospital: Workspace, uids: list[str]):
    lateral = next(study.uid for study in explainer.archive.studies() if study.uid not in uids)
    for uid, code in ((lateral, Code.NOTHING_ELIGIBLE), ("1.2.3", Code.UNKNOWN_STUDY)):
        with pytest.raises(OslerError) as caught:
            explainer.explain(uid)
        assert caught.value.code is code
    assert model_names(hospital) == ["random"]
    for name in ("other", "../models/random"):
        with pytest.raises(OslerError, match="random") as caught:
            StudyExplainer(hospital, name).explain(uids[0])
        assert caught.value.code is Code.MODEL_INVALID


def test_the_commands_explain_patch_and_undo(
    explainer: StudyExplainer, hospital: Workspace, uids: list[str], capsys: pytest.CaptureFixture[str]
):
    explain = ("explain", uids[0], "--model", "random")
    plain = answer(hospital, *explain, capsys=capsys)
    patch = patch_of(explainer)
    explainer.patches.save(patch)
    assert answer(hospital, *explain, capsys=capsys) == plain  # only proposed
    tried = answer(hospital, *explain, "--patch", patch.id, capsys=capsys)
    applied = answer(hospital, "patch", "apply", patch.id[:6], "--date", "2024-05-02", capsys=capsys)
    assert applied["patch"]["status"] == "active"
    assert answer(hospital, *explain, capsys=capsys) == tried
    aside = next(one for one in tried["concepts"] if one["id"] == "concept_1")
    assert (aside["state"], aside["contribution"]) == ("ignored at this site", 0.0)
    assert answer(hospital, *explain, "--no-patch", capsys=capsys) == plain
    assert main([*explain, "--workspace", str(hospital.root)]) == 0
    text = capsys.readouterr().out
    assert "[ignored at this site]" in text
    assert "Not a medical device" in text
    answer(hospital, "patch", "revoke", patch.id, "--date", "2024-05-03", "--note", "worse", capsys=capsys)
    assert answer(hospital, *explain, capsys=capsys) == plain
    assert main(["patch", "show", patch.id, "--workspace", str(hospital.root)]) == 0
    shown = capsys.readouterr().out
    assert "masked *concept 1*" in shown
    assert "2024-05-03 revoked worse" in shown
    listed = answer(hospital, "patch", "list", capsys=capsys)
    assert patch.id in [one["id"] for one in listed["patches"]]
    assert answer(hospital, "patch", "diff", patch.id, patch.id, capsys=capsys) == {"differences": []}
    assert code_of(hospital, *explain, "--patch", patch.id, capsys=capsys) == "patch-invalid"


def test_a_correction_on_the_command_line(hospital: Workspace, uids: list[str], capsys: pytest.CaptureFixture[str]):
    explain = ("explain", uids[1], "--model", "random")
    corrected = answer(hospital, *explain, "--set", "concept_0=1", "--set", "concept_2=0", capsys=capsys)
    assert corrected["corrections"] == {"concept_0": 1.0, "concept_2": 0.0}
    assert corrected["finding_uncorrected"] == answer(hospital, *explain, capsys=capsys)["finding"]
    assert code_of(hospital, *explain, "--set", "concept_0=yes", capsys=capsys) == "usage"
    assert code_of(hospital, *explain, "--set", "concept_77=1", capsys=capsys) == "unknown-concept"


def test_a_support_is_drawn_by_seed_and_fits_a_patch(
    explainer: StudyExplainer, hospital: Workspace, capsys: pytest.CaptureFixture[str], tmp_path: Path
):
    archive = explainer.archive
    draw = {"label": "finding", "classes": CLASSES, "shots": 2}
    first, again, other = (draw_support(archive, "b", seed=seed, **draw) for seed in (0, 0, 1))
    assert first == again != other
    assert [list(first.values()).count(name) for name in CLASSES] == [2, 2, 2]
    assert all(archive.study(uid).labels["finding"] == name for uid, name in first.items())
    assert len({archive.study(uid).patient for uid in first}) == 6
    adapt = ("adapt", "--site", "b", "--model", "random", "--date", "2024-05-01")
    drawn = answer(hospital, *adapt, "--shots", "2", capsys=capsys)["patch"]
    assert drawn["shots"] == dict.fromkeys(CLASSES, 2)
    assert explainer.patches.get(drawn["id"]).model == explainer.pipeline.digest
    table = tmp_path / "support.csv"
    table.write_text("study_uid,label\n" + "".join(f"{uid},{name}\n" for uid, name in first.items()))
    named = answer(hospital, *adapt, "--support", str(table), capsys=capsys)["patch"]
    assert named["id"] == drawn["id"]


def test_an_unfit_support_is_refused(
    explainer: StudyExplainer, hospital: Workspace, uids: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path
):
    adapt = ("adapt", "--site", "b", "--model", "random")
    assert code_of(hospital, *adapt[:2], "c", *adapt[3:], capsys=capsys) == "nothing-eligible"
    table = tmp_path / "support.csv"
    cases = {
        f"study_uid,label\n{uids[0]},pneumonia\n": "support-insufficient",
        f"study_uid,label\n{uids[0]},measles\n": "table-invalid",
        f"study_uid,label\n{uids[0]},pneumonia\n{uids[0]},normal\n": "table-invalid",
        "study_uid\nx\n": "table-invalid",
        "study_uid,label\n9.9,normal\n": "unknown-study",
        "": "table-invalid",
    }
    for text, code in cases.items():
        table.write_text(text)
        assert code_of(hospital, *adapt, "--support", str(table), capsys=capsys) == code
    assert code_of(hospital, *adapt, "--support", str(tmp_path / "none.csv"), capsys=capsys) == "source-missing"
    table.write_text(f"study_uid,label\n{uids[0]},pneumonia\n")
    with pytest.raises(OslerError, match="1 studies are not of site 'c'"):
        gather_support(explainer.archive, "c", read_support(table), CLASSES, explainer.features)


def test_a_cached_study_needs_no_network_at_all(explainer: StudyExplainer, hospital: Workspace, uids: list[str]):
    expected = explainer.explain(uids[2])
    script = (
        "import sys; from pathlib import Path; from osler.workspace import Workspace;"
        "from osler.explain.service import StudyExplainer;"
        f"e = StudyExplainer(Workspace.open(Path({str(hospital.root)!r})), 'random').explain({uids[2]!r});"
        "assert 'torch' not in sys.modules and 'open_clip' not in sys.modules; print(e.margin)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert float(done.stdout) == pytest.approx(expected.margin, abs=1e-12)


def test_a_damaged_cache_changes_nothing(explainer: StudyExplainer, hospital: Workspace, uids: list[str]):
    expected = explainer.explain(uids[3])
    for path in hospital.cache.rglob("*.safetensors"):
        path.write_bytes(b"damaged")
    again = StudyExplainer(hospital, "random").explain(uids[3])
    assert again.finding.id == expected.finding.id
    assert again.margin == pytest.approx(expected.margin, abs=1e-5)
