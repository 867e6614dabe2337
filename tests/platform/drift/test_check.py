"""From ingested studies to the answer: what moved, since which run, and where that is kept."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from osler.archive import Archive
from osler.archive.retention import delete_patient
from osler.cli import main as cli
from osler.deid.pseudonyms import Pseudonymizer
from osler.drift.arrived import arrived_images, studies_of
from osler.drift.check import check, make_reference, newer
from osler.drift.store import DriftStore
from osler.tracking import open_tracker
from osler.workspace import Workspace
from osler_contracts.codes import Code
from osler_contracts.drift.report import DriftReport, Verdict
from osler_contracts.errors import OslerError

SITE, REFERENCE, SAME, NEW = "hospital a/1", 45, 15, 30


@pytest.fixture(scope="module")
def checked(arrivals: Any) -> DriftReport:
    """Make the reference from the first run and check what came after, tracked."""
    make_reference(arrivals.workspace, SITE, first=REFERENCE)
    return check(arrivals.workspace, SITE)


def test_the_moved_fields_are_those_of_the_new_device(checked: DriftReport) -> None:
    assert {"Manufacturer", "KVP", "stored_middle", "image_mean"} <= set(checked.moved)
    fixed = {"Rows", "Columns", "BitsStored", "PhotometricInterpretation", "ViewPosition", "Modality", "image_aspect"}
    assert not fixed & set(checked.moved)
    assert checked.answer is Verdict.MOVED
    # Every third patient came twice and counts once.
    assert (checked.batch["images"], checked.batch["units"]) == (45, 30)
    assert (checked.reference["images"], checked.reference["units"]) == (45, 30)


def test_it_says_since_which_run(checked: DriftReport, arrivals: Any) -> None:
    images = arrived_images(Archive(arrivals.workspace), SITE)
    (maker,) = (one for one in checked.fields if one.name == "Manufacturer")
    assert maker.since is not None
    onset = maker.since.onset
    assert (onset.low, onset.at, onset.high) == (10, 10, 10)  # the first patient of the third run
    assert maker.since.run == 3
    assert maker.since.started == images[-1].started
    assert maker.since.study == next(image.study for image in images if image.run == 3)


def test_images_come_in_the_order_of_their_arrival(arrivals: Any) -> None:
    images = arrived_images(Archive(arrivals.workspace), SITE)
    assert [image.run for image in images] == [1] * REFERENCE + [2] * SAME + [3] * NEW
    assert [image.position for image in images] == sorted(image.position for image in images)
    assert len(studies_of(images)) == REFERENCE + SAME + NEW
    assert arrived_images(Archive(arrivals.workspace), "elsewhere") == []


def test_parts_of_what_arrived_can_be_checked(checked: DriftReport, arrivals: Any) -> None:
    latest = check(arrivals.workspace, SITE, last=NEW, track=False)
    since = check(arrivals.workspace, SITE, since_run=3, track=False)
    assert latest == since
    assert latest.batch["runs"] == [3]
    assert "Manufacturer" in latest.moved
    (maker,) = (one for one in latest.fields if one.name == "Manufacturer")
    assert maker.since is not None
    assert not maker.since.onset.inside
    nothing = check(arrivals.workspace, SITE, since_run=9, track=False)
    assert (nothing.answer, nothing.batch["units"]) == (Verdict.TOO_FEW, 0)
    check(arrivals.workspace, SITE, track=False)


def test_the_report_is_kept_and_tracked(checked: DriftReport, arrivals: Any) -> None:
    kept = DriftStore(arrivals.workspace.drift).latest(SITE)
    assert kept is not None
    assert kept.report == check(arrivals.workspace, SITE, track=False)
    assert newer(arrivals.workspace, SITE, kept.through) == 0
    assert newer(arrivals.workspace, SITE, int(checked.reference["through"])) == SAME + NEW
    client = open_tracker(arrivals.workspace).client
    (run,) = client.search_runs([client.get_experiment_by_name("drift").experiment_id])
    maker = next(one for one in checked.fields if one.name == "Manufacturer")
    assert run.data.metrics["Manufacturer.psi"] == pytest.approx(maker.psi)
    assert run.data.metrics["moved"] == len(checked.moved)
    assert run.data.params["reference"] == checked.reference["sha256"]
    (artifact,) = arrivals.workspace.artifacts.rglob("drift.json")
    assert json.loads(artifact.read_text())["moved"] == list(checked.moved)


def test_nothing_of_a_patient_is_kept(checked: DriftReport, arrivals: Any) -> None:
    kept = [
        *arrivals.workspace.drift.rglob("*"),
        *arrivals.workspace.cache.rglob("*"),
        *arrivals.workspace.artifacts.rglob("*"),
    ]
    texts = [path.read_text(encoding="utf-8") for path in kept if path.is_file()]
    patients = {image.patient for image in arrived_images(Archive(arrivals.workspace), SITE)}
    assert len(texts) > REFERENCE + SAME + NEW
    for text in texts:
        for planted in ("grablowski", "zenobia", "mrn0", "alder valley", "19510203", "1.2.3.", *patients):
            assert planted not in text.lower()


@pytest.fixture
def own(arrivals: Any, tmp_path: Path) -> Iterator[Workspace]:
    """Return a copy of the workspace that a test may change."""
    import shutil

    shutil.copytree(arrivals.workspace.root, tmp_path / "own", ignore=shutil.ignore_patterns("drift", "mlflow.db"))
    return Workspace.open(tmp_path / "own")


def test_without_a_profile_one_is_asked_for(own: Workspace) -> None:
    store = DriftStore(own.drift)
    assert not store.has_profile(SITE)
    assert store.latest(SITE) is None
    with pytest.raises(OslerError) as raised:
        check(own, SITE)
    assert raised.value.code is Code.PROFILE_MISSING
    with pytest.raises(OslerError) as raised:
        make_reference(own, "elsewhere")
    assert raised.value.code is Code.EMPTY_SOURCE


def test_a_new_reference_takes_the_place_of_the_old_one_and_its_report(own: Workspace) -> None:
    first = make_reference(own, SITE, runs=[1])
    check(own, SITE, track=False)
    second = make_reference(own, SITE, runs=[3])
    store = DriftStore(own.drift)
    assert store.latest(SITE) is None
    assert store.profile(SITE) == second
    kept = {path.name for path in own.drift.rglob("reference-*.json")}
    assert kept == {f"reference-{one.sha256[:12]}.json" for one in (first, second)}
    assert check(own, SITE, track=False).batch["units"] == 0


def test_a_profile_that_was_changed_is_refused(own: Workspace) -> None:
    make_reference(own, SITE, first=20)
    (path,) = own.drift.rglob("reference.json")
    path.write_text(path.read_text().replace('"images": 20', '"images": 21'))
    with pytest.raises(OslerError) as raised:
        check(own, SITE)
    assert raised.value.code is Code.PROFILE_INVALID


def test_three_studies_are_too_few_to_tell(own: Workspace) -> None:
    make_reference(own, SITE, first=REFERENCE + SAME + NEW - 3)
    report = check(own, SITE, track=False)
    assert (report.answer, report.batch["studies"], report.moved) == (Verdict.TOO_FEW, 3, ())


def test_a_deleted_patient_leaves_no_trace(own: Workspace, arrivals: Any) -> None:
    profile = make_reference(own, SITE, first=REFERENCE)
    (maker,) = (one for one in check(own, SITE, track=False).fields if one.name == "Manufacturer")
    assert maker.since is not None
    study = str(maker.since.study)
    archive = Archive(own)
    delete_patient(
        archive, archive.study(study).patient, actor="A", reason="wish", pseudonymizer=Pseudonymizer(arrivals.key)
    )
    kept = [path for folder in (own.drift, own.cache) for path in folder.rglob("*") if path.is_file()]
    assert kept
    assert not any(study in path.read_text(encoding="utf-8") for path in kept)
    assert DriftStore(own.drift).profile(SITE) == profile
    assert DriftStore(own.drift).latest(SITE) is not None
    assert check(own, SITE, track=False).batch["studies"] < SAME + NEW


def test_the_command_line_makes_and_checks(own: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--site", SITE, "--workspace", str(own.root), "--workers", "0"]
    assert cli.main(["drift", "check", *words]) == 1
    assert "[profile-missing]" in capsys.readouterr().err
    assert cli.main(["drift", "profile", *words, "--first", str(REFERENCE), "--json"]) == 0
    made = json.loads(capsys.readouterr().out)
    assert (made["units"], made["images"], made["origin"]["selection"]) == (30, 45, "first 45 studies")
    assert cli.main(["drift", "check", *words, "--no-track", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert "Manufacturer" in answer["moved"]
    assert answer["reference"]["sha256"] == made["sha256"]
    assert cli.main(["drift", "check", *words, "--no-track"]) == 0
    told = capsys.readouterr().out
    assert "manufacturer: " in told
    assert "(run 3, " in told
    assert cli.main(["drift", "check", *words, "--since", "9"]) == 0
    assert capsys.readouterr().out == "Nothing has arrived since the reference was made.\n"
    assert not (own.root / "mlflow.db").exists()


def _table(path: Path, makers: list[str]) -> Path:
    rows = [f"{number},{maker},{100 + number % 7}" for number, maker in enumerate(makers)]
    path.write_text("\n".join(["PatientID,Manufacturer,KVP", *rows]), encoding="utf-8")
    return path


def test_tables_of_headers_are_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old = _table(tmp_path / "old.csv", ["Lumenara"] * 600)
    new = _table(tmp_path / "new.csv", ["Lumenara"] * 120 + ["Kestrel"] * 80)
    assert cli.main(["drift", "check", "--headers", str(new), "--against", str(old), "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["moved"] == ["Manufacturer"]
    assert answer["fields"][0]["since"]["onset"]["at"] == 120
    assert cli.main(["drift", "check", "--headers", str(old), "--halves", "3"]) == 0
    assert capsys.readouterr().out.startswith("steady: 0 of 2 fields moved (300 patients against 300")


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["--headers", "a.csv"],
        ["--headers", "a.csv", "--against", "b.csv", "--halves", "1"],
        ["--headers", "a.csv", "--against", "b.csv", "--site", "a"],
        ["--headers", "a.csv", "--halves", "1", "--level", "5"],
        ["--site", "a", "--level", "0"],
    ],
)
def test_wrong_usage_is_told(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["drift", "check", *words]) == 2
    assert "[usage]" in capsys.readouterr().err
