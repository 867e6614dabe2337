"""What readers signed comes back to the training side as images with findings and concepts."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from osler.archive import Archive
from osler.feedback import Answer, Conclusion, Review, save_review
from osler.workspace import Workspace
from osler_training.datasets import open_dataset


@pytest.mark.slow
def test_signed_studies_are_a_data_set_with_concepts(demo: Path, osler: Any, tmp_path: Path) -> None:
    shutil.copytree(demo / "workspace", tmp_path / "workspace", ignore=shutil.ignore_patterns("phantoms", "cache"))
    workspace = Workspace.open(tmp_path / "workspace")
    archive = Archive(workspace)
    studies = [study for study in archive.studies("hospital_b") if archive.image(study) is not None][:6]
    for number, study in enumerate(studies):
        said = Conclusion("pneumonia", 0.6)
        answers = {"perihilar_haze": Answer.PRESENT if number % 2 else Answer.ABSENT}
        save_review(
            workspace,
            Review(study.uid, study.site, "A", {}, said, said, "m", "b", answers=answers, finding="heart_failure"),
        )
    osler("feedback", "export", "--out", "workspace/labels.csv", "--workspace", "workspace")
    images = open_dataset("any_csv", workspace.root, table="labels.csv", concepts_file="labels-concepts.csv")
    assert len(images) == 6
    assert set(images.table["label"]) == {"heart_failure"}
    assert images.concepts["perihilar_haze"].tolist() == [float(n % 2) for n in range(6)]
    assert [one.split(":")[1] for one in images.patients] == [study.patient for study in studies]
    assert images.load(0).ndim == 2
