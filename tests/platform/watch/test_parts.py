"""The small parts: pauses, sealed UIDs, our own series, folders of fetched studies, frozen reports, signs of life."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import MISSING, fields
from hashlib import sha256
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.uid import DigitalXRayImageStorageForPresentation
from pynetdicom import AE

from osler.explain.service import StudyExplainer
from osler.report.content import ConceptLine, FindingLine, ReportContent, Signature
from osler.report.service import Reporter
from osler.sources.inbox import NO_RESOURCES, SUCCESS
from osler.sources.studies import Listed
from osler.watch.backoff import pause
from osler.watch.feeds.listener import ListenerFeed, ListenerOptions
from osler.watch.frozen import from_json, to_json
from osler.watch.own import digest_of, own_series
from osler.watch.sealing import Seal
from osler.watch.status import Beat, read_beat, write_beat
from osler.watch.waiting_room import WaitingRoom
from osler.workspace import Workspace
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

words = st.text(max_size=12)
numbers = st.floats(0, 1).map(lambda value: round(value, 4))
findings = st.builds(FindingLine, words, numbers, st.none() | numbers, st.none() | numbers, words)
concepts = st.builds(
    ConceptLine,
    *[words] * 4,
    st.none() | numbers,
    *[words] * 7,
    mapped=st.booleans(),
    codes=st.dictionaries(words, words, max_size=2),
)
several = st.lists(words, max_size=2).map(tuple)
signatures = st.none() | st.builds(Signature, words, words, words, words, words)
# Texts, but for what has another kind.
contents = st.builds(
    ReportContent,
    **{one.name: words for one in fields(ReportContent) if one.default is MISSING}
    | dict.fromkeys(("patch_effect", "corrections", "warnings"), several)
    | {
        "patch": st.none() | words,
        "finding": findings,
        "runner_up": findings,
        "concepts": st.lists(concepts, max_size=2).map(tuple),
        "unshown": st.integers(0, 99),
        "signature": signatures,
    },
)


@given(st.integers(1, 10_000), st.floats(0.01, 100), st.floats(0.01, 1e5), st.integers())
def test_a_pause_is_at_least_half_of_its_step_and_never_longer_than_the_longest(
    attempt: int, first: float, longest: float, seed: int
) -> None:
    seconds = pause(attempt, first, longest, Random(seed))
    whole = min(first * 2.0 ** min(attempt - 1, 60), longest)
    assert whole / 2 <= seconds <= whole <= longest


def test_studies_that_failed_together_come_back_apart() -> None:
    draw = Random(0)
    assert len({pause(3, 5.0, 900.0, draw) for _ in range(50)}) == 50


@given(st.text(min_size=1, max_size=64), st.binary(min_size=32, max_size=32), st.binary(min_size=32, max_size=32))
def test_a_sealed_uid_opens_with_its_key_under_its_name_alone(study: str, key: bytes, other: bytes) -> None:
    seal = Seal(key)
    sealed = seal.close(study)
    assert seal.open(seal.name(study), sealed) == study
    assert seal.close(study) != sealed
    for name, opener in ((seal.name(study + "1"), seal), *([(seal.name(study), Seal(other))] if other != key else [])):
        with pytest.raises(OslerError) as told:
            opener.open(name, sealed)
        assert told.value.code is Code.KEY_INVALID


@given(contents)
def test_a_frozen_report_keeps_its_digest(content: ReportContent) -> None:
    assert from_json(to_json(content)) == content
    assert from_json(to_json(content)).digest == content.digest


@pytest.mark.slow
def test_our_series_are_those_that_reports_are_made_in(ward: Workspace) -> None:
    reporter = Reporter(StudyExplainer(ward, "random"))
    uid = reporter.explainer.archive.studies("c")[0].uid
    for kind in ("sr", "gsps", "sc"):
        report = reporter.make(uid, kind)
        assert report.uids.series in own_series(uid, reporter.device)
        assert report.uids.series not in own_series(uid, "2.25.7")
        assert report.uids.series not in own_series(f"{uid}1", reporter.device)


@given(st.permutations([Listed("1", "2", str(number)) for number in range(4)]))
def test_a_digest_of_instances_does_not_know_their_order(instances: list[Listed]) -> None:
    assert digest_of(instances) == digest_of(sorted(instances))
    assert digest_of(instances) != digest_of(instances[1:])


@pytest.fixture
def room(workspace: Workspace) -> WaitingRoom:
    return WaitingRoom(workspace)


def _fetched(room: WaitingRoom, uid: str) -> list[Path]:
    folder = room.empty(uid)
    files = [folder / name for name in ("0.dcm", "1.dcm")]
    for path in files:
        path.write_bytes(b"film")
    return files


def test_files_count_once_all_are_said_to_be_there(room: WaitingRoom) -> None:
    files = _fetched(room, "1.2")
    assert room.files("1.2") is None
    room.complete("1.2", files)
    assert room.files("1.2") == files


@pytest.mark.parametrize("harm", [lambda path: path.unlink(), lambda path: path.write_bytes(b"f")])
def test_files_of_which_one_is_gone_or_cut_do_not_count(room: WaitingRoom, harm: Callable[[Path], object]) -> None:
    files = _fetched(room, "1.2")
    room.complete("1.2", files)
    harm(files[1])
    assert room.files("1.2") is None


def test_folders_that_nobody_waits_for_are_removed_and_all_are_private(room: WaitingRoom, workspace: Workspace) -> None:
    for uid in ("1.2", "1.3"):
        room.complete(uid, _fetched(room, uid))
    room.keep_only({"1.3"})
    assert (room.files("1.2"), len(room.files("1.3") or [])) == (None, 2)
    folders = [workspace.root / "spool", workspace.root / "spool" / "watch", workspace.root / "spool" / "watch" / "1.3"]
    assert {path.stat().st_mode & 0o777 for path in folders} == {0o700}


@pytest.mark.parametrize(
    ("state", "pid", "late", "alive"),
    [("working", 0, 0, True), ("waiting", -1, 0, False), ("working", 0, 1e4, False), ("stopped", 0, 0, False)],
)
def test_a_sign_of_life_tells_who_lives(workspace: Workspace, state: str, pid: int, late: float, alive: bool) -> None:
    now = time.time() - late
    process = os.getpid() if pid == 0 else 2**22 + 1  # above the largest number of a process
    write_beat(workspace, Beat(state, now, now + 5, now - 60, process, "orthanc", counts={"seen": 3}))
    beat = read_beat(workspace)
    assert beat is not None
    assert (beat.alive, beat.counts) == (alive, {"seen": 3})


def test_no_sign_of_life_is_none(workspace: Workspace) -> None:
    assert read_beat(workspace) is None
    (workspace.root / "watch").mkdir()
    (workspace.root / "watch" / "status.json").write_text("{")
    assert read_beat(workspace) is None


@pytest.fixture
def listener(workspace: Workspace) -> Iterator[ListenerFeed]:
    feed = ListenerFeed("127.0.0.1", 0, workspace, ListenerOptions("WATCH"))
    yield feed
    feed.close()


def _sent(feed: ListenerFeed, *films: Dataset) -> list[int]:
    """Send films over one association; return the status of each."""
    sender = AE("XRAY1")
    sender.add_requested_context(DigitalXRayImageStorageForPresentation)
    calling = sender.associate("127.0.0.1", feed.port, ae_title="WATCH")
    statuses = [calling.send_c_store(film).Status for film in films]
    calling.release()
    return statuses


def test_what_is_sent_of_a_deleted_study_does_not_stay_in_the_spool(
    listener: ListenerFeed, make_radiograph: Callable[..., Dataset]
) -> None:
    assert _sent(listener, make_radiograph(1), make_radiograph(2)) == [0, 0]
    listener.drop("1.2.3.1.1")
    assert listener.instances("1.2.3.1.1") == []
    assert [one.study for one in listener.changes("", 9).changes] == ["1.2.3.2.1"]


def test_a_disk_that_takes_no_folder_has_the_sender_try_later(
    listener: ListenerFeed, workspace: Workspace, make_radiograph: Callable[..., Dataset]
) -> None:
    spool = workspace.root / "spool" / "watch-listener"
    (spool / f"study-{sha256(b'1.2.3.1.1').hexdigest()[:40]}").write_bytes(b"in the way")
    assert _sent(listener, make_radiograph(1), make_radiograph(2)) == [NO_RESOURCES, SUCCESS]
    assert list((spool / "receiving").iterdir()) == []
