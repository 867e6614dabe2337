"""The links of an installation: sound, and each broken by hand."""

from __future__ import annotations

import os
import shutil
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.platform.report.orthanc import LOGIN, running

from osler import audit
from osler.access.accounts import AccountFile
from osler.doctor import Check, State, examine
from osler.doctor.check import clock_between
from osler.doctor.installation import check_people, check_watch, examine_installation
from osler.watch.status import Beat, write_beat
from osler.workspace import Workspace

SETTINGS = """\
follow: {{feed: dicomweb, address: "{web}"}}
report_to: "{pacs}"
sites: [{{name: here, default: true}}]
intake: {{crosswalk: crosswalk}}
login: {{login_file: {login}}}
"""


@pytest.fixture
def hospital(ward: Workspace) -> Workspace:
    """Return a workspace with studies, a model and an audit log."""
    audit.record(ward, actor="Dr A", action="study.view", subject="1.2.3")
    return ward


def _found(workspace: Workspace) -> dict[str, Check]:
    return {one.part: one for one in examine_installation(workspace.root)}


def test_sound_links_are_told(hospital: Workspace) -> None:
    found = _found(hospital)
    assert [found[part].state for part in ("database", "audit log", "model random")] == [State.OK] * 3
    assert "54 studies" in found["database"].found
    assert found["log-in"].state is State.WARN


def test_looking_changes_nothing(hospital: Workspace) -> None:
    examine(hospital.root)  # opening SQLite leaves its own companions
    before = {path: path.read_bytes() for path in hospital.root.rglob("*") if path.is_file()}
    examine(hospital.root)
    assert {path: path.read_bytes() for path in hospital.root.rglob("*") if path.is_file()} == before


def test_a_workspace_that_is_not_there_has_no_links(tmp_path: Path) -> None:
    assert list(examine_installation(tmp_path / "none")) == []
    assert not (tmp_path / "none").exists()


def test_a_new_workspace_has_an_empty_index(workspace: Workspace) -> None:
    assert _found(workspace)["database"] == Check("database", State.OK, "none yet: nothing was taken in")


def test_a_damaged_index_is_named(hospital: Workspace) -> None:
    index = hospital.archive / "index.sqlite"
    index.write_bytes(b"this is no database " * 400)
    index.with_name("index.sqlite-wal").unlink(missing_ok=True)
    found = _found(hospital)["database"]
    assert found.state is State.FAIL
    assert found.mend


def test_a_changed_audit_line_is_named(hospital: Workspace) -> None:
    log = hospital.feedback / audit.LOG
    log.write_bytes(log.read_bytes().replace(b"Dr A", b"Dr B"))
    found = _found(hospital)["audit log"]
    assert found.state is State.FAIL
    assert found.found.startswith("entry ")


def test_an_audit_line_of_the_future_shows_a_clock_that_went_back(
    hospital: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Yesterday(datetime):
        @classmethod
        def now(cls, tz: object = None) -> datetime:  # type: ignore[override]
            return datetime.now(UTC) - timedelta(days=1)

    monkeypatch.setattr("osler.doctor.installation.datetime", Yesterday)
    found = _found(hospital)["audit log"]
    assert found.state is State.FAIL
    assert "future" in found.found


def test_a_model_that_somebody_changed_is_named(hospital: Workspace) -> None:
    path = next((hospital.models / "random").glob("*.safetensors"))
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    broken = [one for one in examine_installation(hospital.root) if one.state is State.FAIL]
    assert [one.part for one in broken] == ["model random: models/random"]


def test_concept_banks_are_told_once_whatever_the_number_of_models(hospital: Workspace) -> None:
    shutil.copytree(hospital.models / "random", hospital.models / "second")
    hospital.knowledge.mkdir(exist_ok=True)
    bank = shutil.copy(hospital.models / "random" / "bank.json", hospital.knowledge / "chest.json")
    found = _found(hospital)
    assert [found[part].state for part in ("model random", "model second", "concept banks")] == [State.OK] * 3
    bank.write_bytes(b"{")
    broken = [one for one in examine_installation(hospital.root) if one.state is State.FAIL]
    assert [one.part for one in broken] == ["concept banks: knowledge/chest.json"]


def test_people_who_may_sign_in_are_counted(workspace: Workspace) -> None:
    accounts = AccountFile(workspace)
    accounts.add("Ada", ["administrator"], "a long enough password", actor="test")
    accounts.add("Bo", ["clinician"], "another good password", actor="test")
    assert check_people(workspace) == Check("log-in", State.OK, "2 accounts, 1 of them administrators")
    accounts.path.write_text("{")
    assert check_people(workspace).state is State.FAIL


@pytest.mark.parametrize(
    ("seconds", "state"), [(0.4, State.OK), (-4.9, State.OK), (5.1, State.FAIL), (-3600, State.FAIL)]
)
def test_clocks_may_differ_by_seconds(seconds: float, state: State) -> None:
    found = clock_between("the database server", seconds)
    assert found.state is state
    assert ("ahead" in found.found) == (seconds > 0)


def _watched(workspace: Workspace, **places: str) -> list[Check]:
    login = workspace.root.parent / "login"
    login.write_text("machine 127.0.0.1 login {} password {}\n".format(*LOGIN))
    login.chmod(0o600)
    (workspace.root / "watch.yaml").write_text(SETTINGS.format(login=login, **places))
    return list(check_watch(workspace))


def test_a_pacs_that_does_not_answer_is_named(workspace: Workspace) -> None:
    web, pacs, watch = _watched(workspace, web="http://127.0.0.1:9/dicom-web", pacs="dicom://NOBODY@127.0.0.1:9")
    assert [web.state, pacs.state] == [State.FAIL] * 2
    assert web.mend
    assert pacs.mend
    assert watch == Check("watch", State.WARN, "it has never run here", "`osler watch run` begins")


def test_settings_that_nobody_understands_are_told(workspace: Workspace) -> None:
    (workspace.root / "watch.yaml").write_text("follow: [")
    (found,) = check_watch(workspace)
    assert (found.part, found.state) == ("watch settings", State.FAIL)


def test_a_watch_lives_pauses_was_stopped_or_was_killed(workspace: Workspace) -> None:
    now = time.time()
    beat = Beat("working", now, now + 60, now - 60, os.getpid(), "orthanc")
    for told, state in (
        (beat, State.OK),
        (replace(beat, state="paused", reason="The disk is full."), State.WARN),
        (replace(beat, state="stopped"), State.WARN),
        (replace(beat, next=now - 1000), State.FAIL),
    ):
        write_beat(workspace, told)
        *_, found = _watched(workspace, web="http://127.0.0.1:9/dicom-web", pacs="dicom://NOBODY@127.0.0.1:9")
        assert found.state is state, found


@pytest.mark.system
def test_a_real_pacs_answers_by_both_ways(workspace: Workspace, tmp_path: Path) -> None:
    with running(tmp_path / "orthanc") as orthanc:
        web, pacs, _ = _watched(workspace, web=orthanc.web, pacs=orthanc.pacs)
    assert [web, pacs] == [Check(f"PACS {place}", State.OK, "answers") for place in (orthanc.web, orthanc.pacs)]
