"""A whole site: every study a file, taken up again where it was left, and never stopped by one bad study."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from osler.cli.command import EXIT_REFUSED_SOME
from osler.cli.main import main
from osler.explain.schema import read_explanation
from osler.explain.service import StudyExplainer
from osler.workspace import Workspace


@pytest.fixture
def ward(hospital: Workspace, tmp_path: Path) -> Workspace:
    """Return a copy of the hospital, to damage; nothing of it was encoded yet."""
    shutil.copytree(hospital.root, tmp_path / "ward", ignore=shutil.ignore_patterns("cache"))
    return Workspace.open(tmp_path / "ward")


def answer(
    ward: Workspace, out: Path, capsys: pytest.CaptureFixture[str], *words: str
) -> tuple[int, dict[str, object]]:
    command = ["explain", "--site", "b", "--out", str(out), "--model", "random", "--workspace", str(ward.root)]
    code = main([*command, "--format", "json", "--json", *words])
    return code, dict(json.loads(capsys.readouterr().out))


def test_a_site_is_explained_and_taken_up_again(ward: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    out = tmp_path / "out"
    code, first = answer(ward, out, capsys)
    assert code == EXIT_REFUSED_SOME  # the lateral study has no image that the model reads
    assert first["studies"] == {"written": 9, "kept": 0, "refused": 1}
    assert first["refused"]["by_code"] == {"nothing-eligible": 1}
    assert sum(first["findings"].values()) == 9
    explainer = StudyExplainer(ward, "random")
    files = sorted(out.glob("*.json"))
    assert len(files) == 9
    for path in files:
        assert read_explanation(path.read_text()) == explainer.explain(path.stem)
    files[0].unlink()
    with (out / "explained.jsonl").open("a") as stream:
        stream.write('{"file": "cut o')  # a crash in the middle of a line
    _, second = answer(ward, out, capsys)
    assert second["studies"] == {"written": 1, "kept": 8, "refused": 1}
    assert second["findings"] == first["findings"]
    _, third = answer(ward, out, capsys)
    assert third["studies"]["kept"] == 9


def test_one_bad_study_does_not_stop_it(ward: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    explainer = StudyExplainer(ward, "random")
    frontal = [one for one in explainer.archive.studies("b") if explainer.archive.frontal(one)]
    frontal[0].instances[0].path.write_bytes(b"no longer an image")
    frontal[1].instances[0].path.unlink()
    code, found = answer(ward, tmp_path / "out", capsys)
    assert code == EXIT_REFUSED_SOME
    assert found["studies"] == {"written": 7, "kept": 0, "refused": 3}
    assert {frontal[0].uid, frontal[1].uid} < set(found["refused"]["studies"])
    assert "Traceback" not in json.dumps(found)


@pytest.mark.parametrize(
    "words",
    [
        ["explain"],
        ["explain", "2.25.1", "--site", "b", "--out", "x", "--format", "json"],
        ["explain", "--site", "b"],
        ["explain", "--site", "b", "--out", "x"],
        ["explain", "--site", "b", "--out", "x", "--format", "json", "--set", "concept_0=1"],
        ["explain", "2.25.1", "--format", "sr"],
        ["explain", "2.25.1", "--top", "0"],
        ["explain", "--site", "nowhere", "--out", "x", "--format", "json"],
    ],
)
def test_what_cannot_be_meant_is_refused(
    hospital: Workspace, words: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path
):
    words = [str(tmp_path / word) if word == "x" else word for word in words]
    assert main([*words, "--model", "random", "--workspace", str(hospital.root), "--json"]) in (1, 2)
    assert json.loads(capsys.readouterr().out)["error"]["code"] in ("usage", "nothing-eligible")


def test_one_study_as_a_page(hospital: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    explainer = StudyExplainer(hospital, "random")
    uid = next(one.uid for one in explainer.archive.studies("b") if explainer.archive.frontal(one))
    rest = ["--model", "random", "--workspace", str(hospital.root)]
    assert main(["explain", uid, "--format", "html", *rest]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("<!doctype html>")
    assert main(["explain", uid, "--format", "html", "--out", str(tmp_path / "one.html"), *rest]) == 0
    assert (tmp_path / "one.html").read_text().strip() == shown.strip()
    assert main(["explain", uid, "--out", str(tmp_path / "one.json"), *rest]) == 0
    assert read_explanation((tmp_path / "one.json").read_text()).study == uid
