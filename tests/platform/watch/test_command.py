"""`osler watch` at the command line, without a PACS."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from osler.archive import Archive
from osler.archive.deleted import note_deleted
from osler.audit import entries
from osler.cli.main import main
from osler.database import transaction
from osler.watch.feeds.base import Batch, Change
from osler.watch.loop import Watch
from osler.watch.models import WatchStudy
from osler.watch.records import Stage
from osler.watch.sealing import Seal
from osler.watch.settings import load_watch
from osler.watch.status import Beat, read_beat, write_beat
from osler.watch.store import Move, WatchStore
from osler.workspace import Workspace
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

ORIGINAL = "1.2.840.777.12345"


def _run(capsys: pytest.CaptureFixture[str], workspace: Workspace, *words: str) -> tuple[int, dict[str, Any], str]:
    code = main(["watch", *words, "--workspace", str(workspace.root), "--json"])
    told = capsys.readouterr()
    return code, json.loads(told.out), told.out + told.err


@pytest.fixture
def aside(workspace: Workspace) -> str:
    """Return the pseudonym of a study that was set aside."""
    store = WatchStore(workspace, Seal(bytes(32)))
    store.take("feed", Batch((Change(ORIGINAL, title="XRAY1"), Change("1.3")), "1"), 9)
    name = Seal(bytes(32)).name(ORIGINAL)
    changes = {"code": "truncated", "reason": "It is cut off.", "site": "lakeside"}
    store.move([Move(store.study(name), Stage.ASIDE, changes, "1 truncated")])
    return name


def test_what_was_set_aside_is_told_with_its_reason_and_begins_again(
    capsys: pytest.CaptureFixture[str], workspace: Workspace, aside: str
) -> None:
    code, told, text = _run(capsys, workspace, "list", "--stage", "set-aside")
    assert (code, [one["uid"] for one in told["studies"]]) == (0, [aside])
    assert (told["studies"][0]["code"], told["studies"][0]["site"]) == ("truncated", "lakeside")
    code, shown, more = _run(capsys, workspace, "show", aside)
    assert [one["step"] for one in shown["steps"]] == ["seen", "set-aside"]
    assert ORIGINAL not in text + more
    assert _run(capsys, workspace, "retry", aside, "--actor", "eva")[1] == {"studies": [aside]}
    assert _run(capsys, workspace, "list", "--stage", "set-aside")[1] == {"studies": []}
    assert [(one.actor, one.action, one.subject) for one in entries(workspace)] == [("eva", "watch.retry", aside)]


def test_a_deleted_study_is_let_back_by_its_name_and_that_is_audited(
    capsys: pytest.CaptureFixture[str], workspace: Workspace, aside: str
) -> None:
    with transaction(Archive(workspace).engine, "test") as session:
        note_deleted(session, [aside, "2.25.7"])
        session.get_one(WatchStudy, aside).code = "study-deleted"
    assert _run(capsys, workspace, "retry", "--all")[1] == {"studies": []}
    for uid in (aside, "2.25.7"):  # sent again already, and not yet
        assert _run(capsys, workspace, "retry", uid, "--actor", "eva")[1] == {"studies": [uid]}
    assert WatchStore(workspace).study(aside).stage is Stage.SEEN
    assert [one.subject for one in entries(workspace)] == [aside, "2.25.7"]
    assert all("deletion" in one.details["undoes"] for one in entries(workspace))
    assert _run(capsys, workspace, "retry", "2.25.7")[1]["error"]["code"] == "unknown-study"


@pytest.mark.parametrize("words", [["retry"], ["retry", "1.2.3"], ["show", "1.2.3"], ["run"], ["check"]])
def test_what_cannot_be_done_is_refused_with_a_mend(
    capsys: pytest.CaptureFixture[str], workspace: Workspace, words: list[str]
) -> None:
    code, told, _ = _run(capsys, workspace, *words)
    assert code in (1, 2)
    assert told["error"]["mend"]


def test_a_study_that_is_not_set_aside_is_not_retried(
    capsys: pytest.CaptureFixture[str], workspace: Workspace, aside: str
) -> None:
    _run(capsys, workspace, "retry", aside)
    code, told, _ = _run(capsys, workspace, "retry", aside)
    assert (code, told["error"]["code"]) == (2, "usage")


def test_status_fails_where_the_watch_is_gone(capsys: pytest.CaptureFixture[str], workspace: Workspace) -> None:
    assert _run(capsys, workspace, "status")[0] == 0
    now = time.time()
    write_beat(workspace, Beat("working", now, now, now, 2**22 + 1, "orthanc"))
    code, told, _ = _run(capsys, workspace, "status")
    assert (code, told["alive"]) == (1, False)
    write_beat(workspace, Beat("stopped", now, now, now, 2**22 + 1, "orthanc"))
    assert _run(capsys, workspace, "status")[0] == 0


def test_a_watch_waits_for_a_database_that_is_down_until_it_is_stopped(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, crosswalk = tmp_path / "keys" / "deid.key", tmp_path / "crosswalk" / "file"
    intake = {
        "key_file": str(key),
        "crosswalk": str(crosswalk),
        "crosswalk_key": str(tmp_path / "keys" / "crosswalk.key"),
    }
    values = {
        "follow": {"feed": "orthanc", "address": "http://127.0.0.1:9"},
        "sites": [{"name": "a", "default": True}],
        "intake": intake,
        "limits": {"pause_s": 0.01, "longest_pause_s": 0.02},
    }
    (workspace.root / "watch.yaml").write_text(yaml.safe_dump(values))
    said: list[str] = []

    def down(*_: object) -> None:
        raise OslerError(Code.DATABASE_UNREACHABLE, "The database does not answer.", "Start it.")

    def say(line: str) -> None:
        said.append(line)
        if len(said) == 3:
            watch.stop()

    monkeypatch.setattr("osler.watch.loop.open_engine", down)
    watch = Watch(workspace, load_watch(workspace), say)
    assert watch.run() == {}
    assert all("database-unreachable" in line for line in said)
    beat = read_beat(workspace)
    assert beat is not None
    assert beat.state == "stopped"
