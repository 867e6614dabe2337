"""The state machine: whatever kills it, and whatever fails, each study ends with the reports that it should have."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import delete

from osler.archive import Archive
from osler.archive.deleted import note_deleted
from osler.audit import entries
from osler.database import transaction
from osler.watch.engine import Engine
from osler.watch.feeds.base import Batch, Change
from osler.watch.models import WatchStudy
from osler.watch.records import Stage
from osler.watch.sealing import Seal
from osler.watch.settings import WatchSettings
from osler.watch.store import Move, WatchStore
from osler.workspace import Workspace
from osler_contracts.codes import Code

from .world import KEY, World, run, start

STUDIES = ("1.2.1", "1.2.2", "1.2.3")


def _settings(**limits: float) -> WatchSettings:
    values = {"settle_s": 1.0, "pause_s": 1.0, "longest_pause_s": 8.0, "least_free_gib": 0.0, "attempts": 3} | limits
    return WatchSettings.model_validate(
        {
            "follow": {"feed": "orthanc", "address": "http://127.0.0.1:9"},
            "sites": [{"name": "a", "default": True}],
            "intake": {"crosswalk": "crosswalk"},
            "limits": values,
        }
    )


def _world(*studies: str, **values: Any) -> World:
    """Return a world in which one image of each study has arrived."""
    world = World(**values)
    for study in studies:
        world.arrive(study, "1.1")
    return world


def _heard(world: World, workspace: Workspace, **limits: float) -> Engine:
    """Return a watch that knows what has arrived, and has done nothing about it yet."""
    engine = start(world, workspace, _settings(**limits))
    engine.hear()
    return engine


def _workspace(folder: str) -> Workspace:
    return Workspace.open(Path(folder) / "workspace", create=True)


@pytest.mark.parametrize("deaths", [{3, 17}, {8, 9, 31}, {12, 20, 28, 36}])
def test_killed_at_some_moments_each_study_has_one_report(deaths: set[int], workspace: Workspace) -> None:
    world = _world(*STUDIES[:2], deaths=deaths)
    engine = run(world, workspace, _settings(attempts=20))
    assert {study: len(reports) for study, reports in world.reports.items()} == dict.fromkeys(STUDIES[:2], 1)
    assert engine.store.counts() == {"confirmed": 2}


@pytest.mark.slow
@settings(max_examples=25, deadline=None)
@given(st.sets(st.integers(1, 90), max_size=12), st.sampled_from([1, 2, 16]))
def test_killed_anywhere_each_study_has_one_report(deaths: set[int], batch: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        world, workspace = _world(*STUDIES, deaths=deaths), _workspace(folder)
        world.refused.add(STUDIES[2])
        engine = run(world, workspace, _settings(batch=batch, attempts=20))
        assert {study: len(reports) for study, reports in world.reports.items()} == dict.fromkeys(STUDIES[:2], 1)
        assert engine.store.counts() == {"confirmed": 2, "set-aside": 1}
        assert world.archive.keys() == {Seal(KEY).name(study) for study in STUDIES[:2]}


@pytest.mark.slow
@settings(max_examples=10, deadline=None)
@given(st.sets(st.integers(1, 60), max_size=6), st.integers(1, 8))
def test_a_late_image_is_reported_whenever_it_comes(deaths: set[int], turns: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        world, workspace = _world(STUDIES[0], deaths=deaths), _workspace(folder)
        engine = None
        for _ in range(turns):
            world.clock += 10
            try:
                engine = engine or start(world, workspace, _settings(attempts=20))
                engine.turn()
            except BaseException:  # noqa: BLE001 - a kill
                engine = None
        world.arrive(STUDIES[0], "1.2")
        run(world, workspace, _settings(attempts=20))
        reports = world.reports[STUDIES[0]]
        assert "1.2" in reports[-1]
        assert len(reports) <= 2


def test_a_report_that_comes_back_through_the_feed_is_no_news(workspace: Workspace) -> None:
    world = _world(STUDIES[0])
    engine = run(world, workspace, _settings())
    assert len(world.news) == 2  # the image, and our own report
    assert world.said == 1
    assert [one.step for one in engine.store.steps(Seal(KEY).name(STUDIES[0]))] == [
        *("seen", "fetched", "ingested", "explained", "reported", "confirmed", "looked")
    ]


def test_a_pacs_that_is_down_costs_no_study_an_attempt(workspace: Workspace) -> None:
    world = _world(STUDIES[0], failing=[Code.SOURCE_UNREACHABLE] * 20)
    engine = run(world, workspace, _settings(attempts=1))
    assert engine.store.counts() == {"confirmed": 1}


def test_a_study_that_always_fails_is_set_aside_with_its_reason_and_audited(workspace: Workspace) -> None:
    world = _world(STUDIES[0])
    engine = _heard(world, workspace, attempts=3)
    for attempt in range(1, 4):
        world.clock += 20
        world.failing = [Code.TRANSFER_FAILED]
        engine.work()
        (study,) = engine.store.studies()
        assert study.attempts == attempt
    assert (study.stage, study.code) == (Stage.ASIDE, str(Code.TRANSFER_FAILED))
    assert [(one.action, one.details["code"]) for one in entries(workspace)] == [("watch.set-aside", "transfer-failed")]
    assert engine.store.retry(study.uid) == [study.uid]
    run(world, workspace, _settings())
    assert len(world.reports[STUDIES[0]]) == 1


def test_a_deleted_study_comes_back_on_somebodys_word_alone(workspace: Workspace) -> None:
    world = World()
    for study in STUDIES[:2]:
        world.arrive(study, f"{study}.1")
    engine = run(world, workspace, _settings())
    gone = engine.steps.seal.name(STUDIES[0])
    with transaction(Archive(workspace).engine, "test") as session:
        note_deleted(session, [gone])
        session.execute(delete(WatchStudy).where(WatchStudy.uid == gone))
    for again in range(2):
        world.arrive(STUDIES[0], f"{STUDIES[0]}.{again + 2}")
        world.archive.pop(gone, None)
        engine = run(world, workspace, _settings())
        assert gone not in world.archive
        assert engine.store.study(gone).code == str(Code.STUDY_DELETED)
    assert engine.store.retry(None) == []
    assert engine.store.counts() == {"confirmed": 1, "set-aside": 1}
    assert {one.subject for one in entries(workspace) if one.details.get("code") == "study-deleted"} == {gone}
    assert engine.store.retry(gone) == [gone]
    engine = run(world, workspace, _settings())
    assert gone in world.archive
    assert engine.store.counts() == {"confirmed": 2}


def test_a_study_that_is_deleted_during_a_step_stays_deleted(workspace: Workspace) -> None:
    store = WatchStore(workspace, Seal(KEY))
    store.take("feed", Batch((Change("1.1"), Change("1.2")), "1"), 9)
    gone, stays = store.studies()
    with transaction(Archive(workspace).engine, "test") as session:
        session.execute(delete(WatchStudy).where(WatchStudy.uid == gone.uid))
    store.move([Move(gone, Stage.FETCHED), Move(stays, Stage.FETCHED)])
    assert [one.uid for one in store.studies()] == [stays.uid]
    assert store.steps(gone.uid)[-1].step == "seen"


def test_between_two_attempts_there_is_a_pause_that_grows(workspace: Workspace) -> None:
    world = _world(STUDIES[0])
    engine = _heard(world, workspace, attempts=10)
    waits = []
    for _ in range(4):
        world.clock = max(world.clock, engine.store.next_due() or 0.0) + 0.001
        world.failing = [Code.SOURCE_FAILED]
        engine.work()
        waits.append((engine.store.next_due() or 0.0) - world.clock)
    limits = [(0.5, 1.0), (1.0, 2.0), (2.0, 4.0), (4.0, 8.0)]
    assert all(low <= wait <= high for wait, (low, high) in zip(waits, limits, strict=True))


def test_a_process_that_dies_of_one_study_sets_it_aside_and_goes_on(workspace: Workspace) -> None:
    world = _world(*STUDIES)
    deadly = Seal(KEY).name(STUDIES[1])
    freeze, died = world.freeze, 0

    def explain(uid: str, model: str | None) -> str:
        nonlocal died
        if uid == deadly:
            died += 1
            marker = workspace.root / "watch" / "explaining"
            assert marker.read_text() == uid
            marker.rename(marker.with_name("kept"))
            raise KeyboardInterrupt  # stands for a signal that leaves no time to clean up
        return freeze(uid, model)

    world.freeze = explain  # type: ignore[method-assign]
    for _ in range(40):
        world.clock += 10
        engine = start(world, workspace, _settings(attempts=3))
        try:
            engine.turn()
        except KeyboardInterrupt:
            (workspace.root / "watch" / "kept").rename(workspace.root / "watch" / "explaining")
    assert died == 3
    assert engine.store.counts() == {"confirmed": 2, "set-aside": 1}


def test_a_report_that_another_version_froze_is_made_anew(workspace: Workspace) -> None:
    world = _world(STUDIES[0])
    store = WatchStore(workspace, Seal(KEY), clock=lambda: world.clock)
    store.take(world.name, Batch((Change(STUDIES[0]),), "1"), 9)
    (study,) = store.studies()
    world.archive[study.uid] = {"1.1"}
    store.move([Move(study, Stage.EXPLAINED, {"content": "{}", "pending": "old", "looked": study.version})])
    engine = run(world, workspace, _settings())
    assert [one.step for one in engine.store.steps(study.uid)][2:6] == ["stale", "explained", "reported", "confirmed"]
    assert len(world.reports[STUDIES[0]]) == 1


def test_no_more_studies_are_open_than_there_is_room_for(workspace: Workspace) -> None:
    world = _world(*(f"1.2.{number}" for number in range(7)))
    engine = _heard(world, workspace, open_studies=3)
    assert engine.store.open_count() == 3
    engine = run(world, workspace, _settings(open_studies=3))
    assert engine.store.counts() == {"confirmed": 7}


def test_nothing_is_fetched_on_a_disk_that_is_nearly_full(workspace: Workspace) -> None:
    world = _world(STUDIES[0])
    engine = _heard(world, workspace, least_free_gib=1e9)
    world.clock += 10
    assert engine.work() == 0
    assert engine.store.counts() == {"seen": 1}


def test_a_stop_leaves_the_rest_for_the_next_start(workspace: Workspace) -> None:
    world = _world(*STUDIES)
    engine = _heard(world, workspace)
    world.clock += 10
    left = iter([False, False, True, True, True, True, True])
    engine.stopped = lambda: next(left, True)
    engine.work()
    assert engine.store.counts()["seen"] >= 2
    assert run(world, workspace, _settings()).store.counts() == {"confirmed": 3}


def test_news_without_a_cursor_waits_for_room_and_an_equal_mark_is_no_news(workspace: Workspace) -> None:
    store = WatchStore(workspace, Seal(KEY))
    batch = Batch((Change("1.1", "1"), Change("1.2", "1"), Change("1.3", "1")), "")
    assert store.take("poll", batch, 2) == 2
    assert store.take("poll", batch, 2) == 1
    assert store.take("poll", batch, 2) == 0
    assert store.take("poll", Batch((Change("1.1", "2"),), ""), 2) == 1


def test_news_while_a_study_is_under_way_begins_it_again_at_its_end(workspace: Workspace) -> None:
    store = WatchStore(workspace, Seal(KEY))
    store.take("feed", Batch((Change("1.1"),), "1"), 9)
    (study,) = store.studies()
    store.move([Move(study, Stage.REPORTED, {"looked": study.version})])
    store.take("feed", Batch((Change("1.1"),), "2"), 9)
    assert store.study(study.uid).stage is Stage.REPORTED
    store.move([Move(store.study(study.uid), Stage.CONFIRMED)])
    assert store.study(study.uid).stage is Stage.SEEN


def test_a_study_under_no_uid_is_set_aside_and_never_asked_for(workspace: Workspace) -> None:
    store = WatchStore(workspace, Seal(KEY))
    store.take("feed", Batch((Change("../../etc/passwd"),), "1"), 9)
    (study,) = store.studies()
    assert (study.stage, study.code) == (Stage.ASIDE, str(Code.UID_INVALID))


def test_the_database_holds_no_uid_of_a_patient(workspace: Workspace) -> None:
    world = _world("1.2.840.99999.12345")
    run(world, workspace, _settings())
    stored = b"".join(path.read_bytes() for path in workspace.archive.glob("index.sqlite*"))
    assert b"watch_studies" in stored
    assert b"99999.12345" not in stored
