"""From a table of images to figures at a site: dicomize, ingest, evaluate; sites that lack what one would expect."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from osler.adapt.changes import ConceptDelta, HeadChange, SiteCorrection
from osler.adapt.patch import SitePatch
from osler.adapt.support import draw_support, gather_support
from osler.archive import Archive
from osler.bottleneck.artefact import load_bottleneck
from osler.bottleneck.correction import FittedCorrection
from osler.bottleneck.encoders.catalogue import open_encoder
from osler.cli.main import main
from osler.dicom.pixels import read_image
from osler.explain.service import StudyExplainer
from osler.workspace import Workspace
from osler_training.evaluate.records import Records
from osler_training.shift.models import load_model

from .conftest import KINDS, RECIPE, write_site

Told = dict[str, Any]


@pytest.fixture(scope="module")
def lab(cells: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with a bottleneck, a probe, and the site `away`."""
    root = tmp_path_factory.mktemp("lab")
    recipe = root / "recipe.yaml"
    recipe.write_text(RECIPE.replace("${CELLS}/away", "${NOWHERE}").replace("${CELLS}", str(cells)), encoding="utf-8")
    workspace = ["--workspace", str(root / "ws")]
    for method, preprocessing in (("bottleneck", "moments"), ("linear_probe", "none")):
        # The target of the recipe is not there: nothing about a target is needed to train.
        words = ["train", str(recipe), "--method", method, "--preprocessing", preprocessing, "--out", method]
        assert main([*words, *workspace]) == 0
    bring(root, cells / "away", "away")
    return root


def bring(root: Path, folder: Path, site: str, *more: str) -> None:
    """Dicomize and ingest a site."""
    dicom = root / f"dicom-{site}"
    assert main(["dicomize", str(folder / "metadata.csv"), str(dicom), "--kind", "microscopy", "--site", site]) == 0
    words = ["ingest", str(dicom / "dicom"), "--site", site, "--labels", str(dicom / "labels.csv"), "--workers", "0"]
    words += ["--contract", "cell-microscopy", "--workspace", str(root / "ws"), "--key-file", str(root / "key")]
    assert main([*words, *more]) == 0


def ask(capsys: pytest.CaptureFixture[str], root: Path, *words: str, expect: int = 0) -> Told:
    capsys.readouterr()
    code = main(["evaluate", *words, "--workspace", str(root / "ws"), "--replicates", "40", "--json"])
    told: Told = json.loads(capsys.readouterr().out)
    assert code == expect, told
    return told


def test_figures_are_those_of_the_saved_predictions(lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for model in ("bottleneck", "linear_probe"):
        told = ask(capsys, lab, "--model", model, "--site", "away")
        records = Records.load(Path(told["predictions"]))
        hit = records.prob.argmax(1) == records.y
        assert told["metrics"]["accuracy"]["value"] == pytest.approx(hit.mean())
        recalls = [hit[records.y == k].mean() for k in range(3)]
        assert [told["recall"][name]["value"] for name in KINDS] == pytest.approx(recalls)
        assert told["metrics"]["balanced_accuracy"]["value"] == pytest.approx(np.mean(recalls))
        assert told["worst_class"]["value"] == pytest.approx(min(recalls))
        assert (told["n"], told["patients"], told["studies"]["left_out"]) == (24, 12, {})
        assert sum(map(sum, told["confusion"]["counts"])) == 24
        assert records.head["model_digest"] == told["model"]["digest"]
        assert told["prevalence"]["at_site"] == pytest.approx(dict.fromkeys(KINDS, 1 / 3))


def test_corrections_are_measured_at_the_site_without_labels(lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = ask(capsys, lab, "--model", "bottleneck", "--site", "away")
    assert told["corrections"]["applied"] == ["feature_moments (feature)"]
    assert told["corrections"]["measured_on"] == 24
    assert "no label was used" in told["corrections"]["note"]
    plain = ask(capsys, lab, "--model", "linear_probe", "--site", "away")
    assert plain["corrections"] == {"applied": [], "measured_on": 0, "note": "none in the model"}


def test_it_predicts_as_predict_site_does(lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The lab's way over the cache against the pipeline's own way from pixels."""
    records = Records.load(Path(ask(capsys, lab, "--model", "bottleneck", "--site", "away")["predictions"]))
    workspace = Workspace.open(lab / "ws")
    pipeline = load_bottleneck(workspace.models / "bottleneck", open_encoder("phantom_clip"))
    studies = Archive(workspace).studies("away")
    output = pipeline.predict_site([read_image(one.instances[0].path).values for one in studies])
    ours = dict(zip((one.uid for one in studies), pipeline.calibration.probabilities(output.logits), strict=True))
    np.testing.assert_allclose(records.prob, [ours[one] for one in records.studies], atol=1e-5)


def test_explanations_and_supports_see_what_it_saw(lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Colour cells, no chest, corrected by what the site measures: every way to a prediction is the same way."""
    records = Records.load(Path(ask(capsys, lab, "--model", "bottleneck", "--site", "away")["predictions"]))
    explainer = StudyExplainer(Workspace.open(lab / "ws"), "bottleneck")
    pipeline, archive = explainer.pipeline, explainer.archive
    assert [one.name for one in pipeline.corrections] == ["feature_moments"]
    for row, uid in list(enumerate(records.studies))[:6]:
        explained = {one.id: one.calibrated_probability for one in explainer.explain(uid).findings}
        np.testing.assert_allclose([explained[one] for one in KINDS], records.prob[row], atol=1e-5)
    chosen = draw_support(archive, "away", label="label", classes=KINDS, shots=2, seed=0)
    support = gather_support(archive, "away", chosen, KINDS, explainer.features)
    seen = pipeline.calibration.probabilities(pipeline.predict_features(support.features).logits)
    rows = [records.studies.index(uid) for uid in chosen]
    np.testing.assert_allclose(seen, records.prob[rows], atol=1e-5)
    studies, everything = explainer.site_features("away")
    all_seen = pipeline.calibration.probabilities(pipeline.predict_features(everything).logits)
    order = [[study.uid for study in studies].index(uid) for uid in records.studies]
    np.testing.assert_allclose(all_seen[order], records.prob, atol=1e-5)
    again = StudyExplainer(Workspace.open(lab / "ws"), "bottleneck")  # reads what was measured from the cache
    np.testing.assert_array_equal(again.site_features("away")[1].pooled, everything.pooled)


def test_it_predicts_with_every_part_of_a_patch(lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    workspace = Workspace.open(lab / "ws")
    explainer = StudyExplainer(workspace, "bottleneck")
    pipeline = explainer.pipeline
    plain = Records.load(Path(ask(capsys, lab, "--model", "bottleneck", "--site", "away")["predictions"]))
    images = [read_image(one.instances[0].path).values for one in explainer.archive.studies("away")]
    moments = FittedCorrection.at_source("image_moments", [0.8 * one for one in images])
    own = moments.correction.measure(images, moments.reference)
    ids = pipeline.bank.ids
    parts: dict[str, Any] = {
        "corrections": (
            SiteCorrection.of(moments, own, len(images)),
            SiteCorrection.of(pipeline.references[0], pipeline.references[0].correction.measure(
                explainer.site_features("away")[1], pipeline.references[0].reference), len(images)),
        ),
        "deltas": {ids[0]: ConceptDelta(float(pipeline.neutral[0]), mask=True)},
        "head": HeadChange.of(KINDS, ids, np.zeros((3, len(ids))), np.array([0.5, -0.5, 0.0])),
    }  # fmt: skip
    studies = explainer.archive.studies("away")
    for kind, part in parts.items():
        patch = SitePatch(
            "away", pipeline.digest, pipeline.bank.digest, "by hand", "2026-01-01", "a reason", **{kind: part}
        )
        explainer.patches.save(patch)
        told = ask(capsys, lab, "--model", "bottleneck", "--site", "away", "--patch", patch.id)
        records = Records.load(Path(told["predictions"]))
        assert told["patch"] == patch.id
        assert not np.allclose(records.prob, plain.prob, atol=1e-4), kind
        patched = patch.apply(load_bottleneck(workspace.models / "bottleneck", open_encoder("phantom_clip")))
        output = patched.predict_site(images, site="away")
        ours = dict(zip((one.uid for one in studies), pipeline.calibration.probabilities(output.logits), strict=True))
        np.testing.assert_allclose(records.prob, [ours[one] for one in records.studies], atol=1e-5)
        explained = explainer.explain(studies[0].uid, patch=patch)
        found = {one.id: one.calibrated_probability for one in explained.findings}
        np.testing.assert_allclose([found[one] for one in KINDS], ours[studies[0].uid], atol=1e-5)
    explainer.patches.revoke(patch, "2026-01-02")
    told = ask(capsys, lab, "--model", "bottleneck", "--site", "away", "--patch", patch.id, expect=1)
    assert told["error"]["code"] == "patch-invalid"


def test_other_words_other_labels_a_missing_class_and_another_size(
    lab: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = write_site(tmp_path / "odd", {"neutrophil": 5, "lymphocyte": 3}, seed=5, side=91)
    words = ["Neutrophil"] * 3 + ["NEUTROPHILS", "PMN"] + ["lymphocyte ", "Basophil", "Lymphocyte"]
    pd.DataFrame(table).assign(label=words, batch="7").rename(columns={"label": "cell type"}).to_csv(
        tmp_path / "odd" / "metadata.csv", index=False
    )
    bring(lab, tmp_path / "odd", "odd")
    told = ask(capsys, lab, "--model", "bottleneck", "--site", "odd", "--map", "PMN=neutrophil")
    assert (told["label"]["column"], told["n"]) == ("cell type", 7)
    assert told["studies"]["left_out"] == {"other label: Basophil": 1}
    assert told["absent_classes"] == ["eosinophil"]
    assert told["corrections"]["measured_on"] == 8, "an unlabelled image counts as any other"
    assert set(told["recall"]) == {"neutrophil", "lymphocyte"}
    assert told["metrics"]["balanced_accuracy"]["value"] is not None
    assert ask(capsys, lab, "--model", "bottleneck", "--site", "odd")["studies"]["left_out"]["other label: PMN"] == 1


def test_one_image_and_an_image_that_was_damaged_in_the_archive(
    lab: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_site(tmp_path / "one", {"eosinophil": 1}, seed=6)
    bring(lab, tmp_path / "one", "one")
    for model in ("bottleneck", "linear_probe"):
        told = ask(capsys, lab, "--model", model, "--site", "one")
        assert told["n"] == 1
        assert told["metrics"]["auroc"]["value"] is None
    write_site(tmp_path / "torn", {"neutrophil": 2, "lymphocyte": 2}, seed=7)
    bring(lab, tmp_path / "torn", "torn")
    study = Archive(Workspace.open(lab / "ws")).studies("torn")[0]
    path = study.instances[0].path
    path.write_bytes(path.read_bytes()[:-2000])
    told = ask(capsys, lab, "--model", "bottleneck", "--site", "torn")
    assert told["n"] == 3
    (reason,) = told["studies"]["left_out"]
    assert reason.startswith("unreadable: ")


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["--model", "bottleneck", "--site", "mars"], "nothing-eligible"),
        (["--model", "nobody", "--site", "away"], "model-invalid"),
        (["--model", "bottleneck", "--site", "away", "--label", "image"], "nothing-eligible"),
        (["--model", "bottleneck", "--site", "away", "--map", "x=basophil"], "usage"),
        (["--model", "bottleneck", "--site", "away", "--patch", "none"], "patch-invalid"),
    ],
)
def test_what_cannot_be_answered_is_refused(
    lab: Path, capsys: pytest.CaptureFixture[str], words: Sequence[str], code: str
) -> None:
    told = ask(capsys, lab, *words, expect=2 if code == "usage" else 1)
    assert told["error"]["code"] == code
    assert told["error"]["mend"]


def test_a_probe_is_stored_whole_and_damage_is_found(lab: Path, tmp_path: Path) -> None:
    workspace = Workspace.open(lab / "ws")
    model = load_model(workspace, "linear_probe")
    assert model.classes == KINDS
    assert "unmeasured" in (workspace.models / "linear_probe" / "card.md").read_text()
    shutil.copytree(workspace.models / "linear_probe", workspace.models / "damaged")
    weights = workspace.models / "damaged" / "probe.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    try:
        assert main(["evaluate", "--model", "damaged", "--site", "away", "--workspace", str(workspace.root)]) == 1
    finally:
        shutil.rmtree(workspace.models / "damaged")


def test_only_what_a_recipe_names_can_be_trained(lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["train", str(lab / "recipe.yaml"), "--out", "x", "--workspace", str(lab / "ws"), "--json"]
    for more in (["--method", "nobody"], ["--method", "bottleneck", "--encoder", "nobody"]):
        capsys.readouterr()
        assert main([*words, *more]) == 2
        assert json.loads(capsys.readouterr().out)["error"]["code"] == "usage"
