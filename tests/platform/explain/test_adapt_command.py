"""`osler adapt` and `osler patch` as a site engineer meets them: what is recorded, what is told, what is refused."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.platform.patches import by_hand, masked

from osler.adapt.adapters import adapter_names
from osler.adapt.changes import HeadChange, SiteCorrection
from osler.adapt.patch import SitePatch
from osler.adapt.proposal import site_moved
from osler.adapt.support_store import SupportStore
from osler.archive.images import StudyImages
from osler.audit import entries
from osler.bottleneck.artefact import load_bottleneck, save_bottleneck
from osler.bottleneck.correction import FittedCorrection
from osler.bottleneck.feature_cache import FeatureCache
from osler.bottleneck.records import Array, Features
from osler.cli.main import main
from osler.explain.service import StudyExplainer
from osler.workspace import Workspace

CLASSES = ("heart_failure", "pneumonia", "normal")
ADAPT = (
    "adapt",
    "--site",
    "b",
    "--model",
    "random",
    "--date",
    "2024-05-01",
    "--shots",
    "2",
    "--author",
    "Ada Lovelace",
)


@dataclass(frozen=True)
class Desk:
    """A workspace of its own with the command in front of it."""

    workspace: Workspace
    told: Callable[..., dict[str, Any]]

    @property
    def explainer(self) -> StudyExplainer:
        return StudyExplainer(self.workspace, "random")

    def patch(self, **changes: Any) -> SitePatch:
        """Keep a patch made by hand."""
        pipeline = self.explainer.pipeline
        made = replace(by_hand(pipeline, masked(pipeline, "concept_1", "masked one")), **changes)
        self.explainer.patches.save(made)
        return made


@pytest.fixture
def desk(hospital: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Desk:
    shutil.copytree(hospital.root, tmp_path / "own")

    def told(*words: str, expect: int = 0) -> dict[str, Any]:
        quiet = ("--no-tracking",) if words[0] == "adapt" and "--tracked" not in words else ()
        given = [word for word in words if word != "--tracked"]
        capsys.readouterr()
        code = main([*given, *quiet, "--workspace", str(tmp_path / "own"), "--json"])
        answer = dict(json.loads(capsys.readouterr().out))
        assert code == expect, answer
        return answer

    return Desk(Workspace.open(tmp_path / "own"), told)


def refused(desk: Desk, *words: str) -> Mapping[str, str]:
    """Return the error of a command that must be refused, with something to do about it."""
    error = dict(desk.told(*words, expect=1)["error"])
    assert error["message"]
    assert error["mend"]
    return error


def table(tmp_path: Path, rows: Mapping[str, str]) -> str:
    path = tmp_path / "support.csv"
    path.write_text("study_uid,label\n" + "".join(f"{uid},{label}\n" for uid, label in rows.items()))
    return str(path)


def labelled(desk: Desk) -> dict[str, str]:
    archive = desk.explainer.archive
    return {one.uid: one.labels["finding"] for one in archive.studies("b") if archive.image(one) is not None}


def test_a_patch_bears_who_when_and_until_when_and_the_log_knows(desk: Desk) -> None:
    answer = desk.told(*ADAPT)
    patch = answer["patch"]
    assert (patch["author"], patch["created"], patch["expires"]) == ("Ada Lovelace", "2024-05-01", "2024-10-28")
    assert patch["shots"] == dict.fromkeys(CLASSES, 2)
    rows = answer["support"]["rows"]
    assert len(rows) == 6
    assert answer["support"]["right_before"] == sum(one["before"] == one["label"] for one in rows)
    assert answer["unlabelled"] == {"studies": 9, "unmeasured": 0}
    assert SupportStore(desk.workspace.patches).of(patch["support"]) == tuple(sorted(one["study"] for one in rows))
    (entry,) = [one for one in entries(desk.workspace) if one.action.startswith("patch.")]
    assert (entry.actor, entry.action, entry.subject) == ("Ada Lovelace", "patch.fit", patch["id"])
    again = desk.told(*ADAPT, "--expires", "2024-06-01", "--seed", "0")["patch"]
    assert (again["expires"], again["deltas"], again["head"]) == ("2024-06-01", patch["deltas"], patch["head"])


def test_before_and_after_are_what_the_model_says_of_each_study(desk: Desk) -> None:
    answer = desk.told(*ADAPT, "--adapter", "logistic_shots", "--activate")
    assert answer["patch"]["kinds"] == ["head"]
    assert answer["patch"]["status"] == "active"
    for row in answer["support"]["rows"]:
        for plain, finding in ((False, row["after"]), (True, row["before"])):
            words = ("--no-patch",) if plain else ("--patch", answer["patch"]["id"])
            with pytest.MonkeyPatch.context() as monkey:
                monkey.setattr("osler.adapt.patch.date", _Day)
                explained = desk.told("explain", row["study"], "--model", "random", *words)
            assert explained["finding"]["id"] == finding


class _Day:
    """A day on which patches of these tests hold."""

    @staticmethod
    def today() -> Any:
        from datetime import date

        return date(2024, 5, 2)

    @staticmethod
    def fromisoformat(day: str) -> Any:
        from datetime import date

        return date.fromisoformat(day)


def test_any_adapter_and_its_settings(desk: Desk) -> None:
    answer = desk.told(*ADAPT, "--adapter", "tti_reading", "--setting", "fdr=0.2", "--setting", "blends=[1.0, 0.5]")
    assert answer["patch"]["settings"] | {"fdr": 0.2, "blends": [1.0, 0.5]} == answer["patch"]["settings"]
    for words in (
        ["--setting", "min_shots=many"],
        ["--setting", "nothing=1"],
        ["--setting", "fdr"],
        ["--adapter", "magic"],
    ):
        assert desk.told(*ADAPT, *words, expect=2)["error"]["code"] == "usage"
    assert desk.told("adapt", "--site", "b", expect=2)["error"]["code"] == "usage"
    assert "tti_reading" in adapter_names()


def test_a_sites_own_words_are_understood(desk: Desk) -> None:
    with sqlite3.connect(desk.workspace.archive / "index.sqlite") as index:
        index.execute("update labels set name = 'dx', value = 'CCF' where value = 'heart_failure'")
        index.execute("update labels set name = 'dx', value = upper(value) where value != 'CCF'")
    assert desk.told(*ADAPT, "--map", "CCF=heart_failure")["patch"]["shots"] == dict.fromkeys(CLASSES, 2)
    assert refused(desk, *ADAPT)["code"] == "support-insufficient"


@pytest.mark.slow  # the tracker makes its database
def test_the_run_is_tracked(desk: Desk) -> None:
    patch = desk.told(*ADAPT, "--adapter", "logistic_shots", "--tracked")["patch"]
    with sqlite3.connect(desk.workspace.root / "mlflow.db") as tracker:
        params = dict(tracker.execute("select key, value from params").fetchall())
        runs = tracker.execute(
            "select e.name from experiments e join runs r on r.experiment_id = e.experiment_id"
        ).fetchall()
    assert runs == [("adaptation",)]
    assert {"site", "model", "adapter", "expires", "author", "settings.C"} <= params.keys()
    files = {path.name: path for path in desk.workspace.artifacts.rglob("*") if path.is_file()}
    assert json.loads(files["patch.json"].read_text())["id"] == patch["id"]
    assert len(files["support.csv"].read_text().splitlines()) == 7
    assert "moved" in json.loads(files["evidence.json"].read_text())


def test_show_says_what_changes_in_plain_words_and_how_to_undo_it(
    desk: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    pipeline = desk.explainer.pipeline
    features = desk.explainer.site_features("b")[1]
    moments = FittedCorrection.at_source("feature_moments", features)
    ids = pipeline.bank.ids
    patch = desk.patch(
        corrections=(SiteCorrection.of(moments, dict(moments.reference), 9),),
        head=HeadChange.of(CLASSES, ids, np.zeros((3, len(ids))), np.ones(3), ["bias of all classes +1"]),
        expires="2024-07-01",
        author="Ada Lovelace",
    )
    desk.told("patch", "apply", patch.id, "--date", "2024-05-02", "--author", "Grace Hopper", "--note", "tried it")

    def shown(*words: str) -> str:
        capsys.readouterr()
        assert main(["patch", *words, "--workspace", str(desk.workspace.root)]) == 0
        return capsys.readouterr().out

    text = shown("show", patch.id, "--date", "2024-05-03")
    for words in (
        "in force",
        "by Ada Lovelace",
        "For model random at site b",
        "preprocessing: feature moments brought to the source's, as 9 studies without labels measure them",
        "scorer: 1 concepts",
        "masked one",
        "head: bias of all classes +1",
        "It holds until 2024-07-01",
        f"To undo it: osler patch revoke {patch.id}",
        "2024-05-02 active tried it",
    ):
        assert words in text
    assert "Expired: fit a new one" in shown("show", patch.id, "--date", "2024-07-02")
    assert "changes: preprocessing, scorer, head" in shown("list", "--date", "2024-05-03")
    assert "expired" in shown("list", "--date", "2024-07-02")
    assert "no patch" in shown("list", "--site", "elsewhere")
    assert f"osler patch apply {patch.id}" in shown(
        "revoke", patch.id, "--date", "2024-05-04", "--author", "Grace Hopper"
    )
    log = [(one.actor, one.action) for one in entries(desk.workspace) if one.subject == patch.id]
    assert log == [("Grace Hopper", "patch.apply"), ("Grace Hopper", "patch.revoke")]


def test_concepts_that_moved_are_found(desk: Desk) -> None:
    explainer = desk.explainer
    rows = site_moved(explainer, "b")
    assert [abs(one.shift) for one in rows] == sorted((abs(one.shift) for one in rows), reverse=True)
    pipeline = explainer.pipeline
    values = pipeline.state(explainer.site_features("b")[1]).static
    source = pipeline.source.aligned(pipeline.bank.ids).values
    for one in rows:
        place = pipeline.bank.ids.index(one.id)
        expected = (values[:, place].mean() - source[:, place].mean()) / source[:, place].std()
        assert one.shift == pytest.approx(expected)


def test_a_class_without_shots_is_refused(desk: Desk, tmp_path: Path) -> None:
    rows = {uid: label for uid, label in labelled(desk).items() if label != "normal"}
    error = refused(desk, *ADAPT, "--support", table(tmp_path, rows))
    assert error["code"] == "support-insufficient"
    assert "normal 0" in error["message"]


def test_two_labels_for_one_study_are_refused(desk: Desk, tmp_path: Path) -> None:
    uid = next(iter(labelled(desk)))
    path = table(tmp_path, labelled(desk))
    for line, word in ((f"{uid},measles\n", "two labels"), (f"{uid},{labelled(desk)[uid]}\n", "twice")):
        Path(path).write_text(Path(table(tmp_path, labelled(desk))).read_text() + line)
        error = refused(desk, *ADAPT, "--support", path)
        assert error["code"] == "table-invalid"
        assert word in error["message"]


def test_the_source_itself_is_refused_under_whatever_name(desk: Desk) -> None:
    explainer = desk.explainer
    pipeline = load_bottleneck(desk.workspace.models / "random")
    values = pipeline.state(explainer.site_features("b")[1]).static
    source = replace(pipeline.source, values=values[:3], y=np.arange(3))  # a third of its studies were held out
    models = {"remembers": replace(pipeline, source=source), "named": replace(pipeline, notes={"source": "b"})}
    models["called"] = replace(pipeline, source=replace(pipeline.source, site="b"))
    for name, model in models.items():
        shutil.copytree(desk.workspace.models / "random", desk.workspace.models / name)
        save_bottleneck(model, desk.workspace.models / name, card="# Card\n")
        error = refused(desk, "adapt", "--site", "b", "--model", name, "--shots", "2")
        assert error["code"] == "support-insufficient", name
        assert "fitted" in error["message"]


def test_a_patch_of_another_model_or_bank_or_day_is_refused(desk: Desk) -> None:
    uid = next(iter(labelled(desk)))
    cases = {
        "patch-invalid": [desk.patch(model="0" * 64), desk.patch(bank="0" * 64)],
        "patch-expired": [desk.patch(expires="2024-05-10")],
    }
    for code, patches in cases.items():
        for patch in patches:
            assert refused(desk, "patch", "apply", patch.id, "--date", "2024-06-01")["code"] == code
            assert refused(desk, "explain", uid, "--model", "random", "--patch", patch.id)["code"] == code
    nothing = desk.patch(deltas={})
    assert refused(desk, "patch", "apply", nothing.id)["code"] == "patch-invalid"
    assert [one for one in entries(desk.workspace) if one.action == "patch.apply"] == []
    assert refused(desk, *ADAPT, "--expires", "2024-04-01")["code"] == "patch-expired"


def test_a_site_that_nobody_knows_is_refused(desk: Desk) -> None:
    error = refused(desk, "adapt", "--site", "mars", "--model", "random")
    assert error["code"] == "nothing-eligible"
    assert "Its sites are b." in error["mend"]


@dataclass(frozen=True)
class Blank:
    """An encoder that sees nothing."""

    digest: str
    width: int

    def encode(self, images: list[Array], *, tokens: bool = False) -> Features:
        """Encode."""
        return Features(np.full((len(images), self.width), np.nan, np.float32))


def test_concepts_that_could_not_be_measured_are_refused_in_the_support_and_left_out_elsewhere(
    desk: Desk, tmp_path: Path
) -> None:
    explainer = desk.explainer
    rows = labelled(desk)
    blind = next(iter(rows))
    width = explainer.site_features("b")[1].pooled.shape[1]
    images = StudyImages.of(explainer.archive, [explainer.archive.study(blind)], grey=False)
    for path in (desk.workspace.cache / "features").rglob(f"{images.keys[0]}.safetensors"):
        path.unlink()
    FeatureCache(desk.workspace.cache, Blank(explainer.pipeline.encoder_digest, width)).features(
        images.keys, images.load, tokens=True
    )
    error = refused(desk, *ADAPT, "--support", table(tmp_path, rows))
    assert error["code"] == "support-insufficient"
    assert "could not be measured" in error["message"]
    rows.pop(blind)
    answer = desk.told(*ADAPT, "--support", table(tmp_path, rows))
    assert answer["unlabelled"] == {"studies": 8, "unmeasured": 1}


def test_words_of_the_floors_above_are_offered(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["adapt", "bench", "--help"])
    assert "RECIPE" in capsys.readouterr().out


def test_patches_of_the_record_are_json(desk: Desk) -> None:
    patch = desk.patch()
    listed = desk.told("patch", "list")["patches"]
    assert listed[0] == json.loads(json.dumps(asdict(patch))) | {"id": patch.id, "kinds": ["scorer"], "expired": False}


def test_a_site_names_its_patch_where_only_one_can_be_meant(desk: Desk) -> None:
    first = desk.patch()
    assert desk.told("patch", "show", "b")["patch"]["id"] == first.id
    assert desk.told("patch", "apply", "b", "--date", "2024-05-02")["patch"]["id"] == first.id
    second, third = desk.patch(reason="another"), desk.patch(reason="a third")
    error = refused(desk, "patch", "apply", "b")
    assert error["code"] == "patch-invalid"
    assert {second.id, third.id} <= set(error["mend"].removesuffix(".").replace(",", "").split())
    assert desk.told("patch", "show", "b")["patch"]["id"] == first.id
    assert desk.told("patch", "revoke", "b", "--date", "2024-05-03")["patch"]["id"] == first.id
    assert refused(desk, "patch", "revoke", "b")["code"] == "patch-invalid"


def test_a_patch_that_cannot_be_read_is_named_and_nothing_predicts_without_it(desk: Desk) -> None:
    patch = desk.patch()
    (desk.workspace.patches / "old.json").write_text('{"schema": "osler-site-patch/0"}', encoding="utf-8")
    listed = desk.told("patch", "list")
    assert [one["id"] for one in listed["patches"]] == [patch.id]
    assert list(listed["unreadable"]) == ["old.json"]
    error = refused(desk, "patch", "show", patch.id)
    assert error["code"] == "patch-invalid"
    assert "old.json" in error["message"]
