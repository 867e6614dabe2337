"""Each feed alone, against a real Orthanc: nothing left out, and what it cannot answer is told."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path

import pytest
from pydicom.dataset import Dataset

from osler.cli.main import main
from osler.sources.dimse import Peer
from osler.sources.login import PASSWORD, USER
from osler.sources.web_client import Patience
from osler.watch.feeds.base import Feed
from osler.watch.feeds.dicomweb import DicomwebFeed, window
from osler.watch.feeds.find import FindFeed
from osler.watch.feeds.orthanc import OrthancFeed
from osler.watch.fetching import WebFetcher
from osler.watch.store import WatchStore
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

from .conftest import Clinic
from .services import LOGIN, Orthanc

HURRY = Patience(tries=1, pause_s=0.01, timeout_s=30)
Send = Callable[..., None]


@pytest.fixture(autouse=True)
def _login(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(USER, LOGIN[0])
    monkeypatch.setenv(PASSWORD, LOGIN[1])


@pytest.fixture
def store(orthanc: Orthanc, make_radiograph: Callable[..., Dataset], tmp_path: Path) -> Send:
    """Return what sends a film to Orthanc."""

    def send(number: int, instance: int = 3, title: str = "XRAY1") -> None:
        path = tmp_path / f"{number}-{instance}.dcm"
        make_radiograph(number, SOPInstanceUID=f"1.2.3.{number}.{instance}").save_as(path, enforce_file_format=True)
        assert orthanc.send(path, title)

    return send


@pytest.fixture
def followed(orthanc: Orthanc) -> Iterator[Feed]:
    feed = OrthancFeed(orthanc.rest, None, None, HURRY, from_now=False)
    yield feed
    feed.close()


def _all(feed: Feed, since: str = "", most: int = 1000) -> tuple[list[str], str]:
    found: list[str] = []
    while True:
        batch = feed.changes(since, most)
        found += [change.study for change in batch.changes]
        since = batch.cursor
        if not batch.more:
            return found, since


@pytest.mark.system
def test_the_change_feed_names_each_study_and_its_sender_and_goes_on_from_its_cursor(
    followed: Feed, store: Send, orthanc: Orthanc
) -> None:
    for number in range(3):
        store(number, title=f"XRAY{number}")
    changes = {one.study: one.title for one in followed.changes("", 1000).changes}
    assert changes == {f"1.2.3.{number}.1": f"XRAY{number}" for number in range(3)}
    found, cursor = _all(followed, most=2)  # page by page
    assert set(found) == changes.keys()
    assert _all(followed, cursor) == ([], cursor)
    orthanc.kill()
    orthanc.start()
    store(1, instance=4)
    assert _all(followed, cursor)[0] == ["1.2.3.1.1"]


@pytest.mark.system
def test_a_change_feed_that_lost_its_past_begins_anew(followed: Feed, store: Send) -> None:
    store(0)
    assert _all(followed, "1000000")[0] == ["1.2.3.0.1"]


@pytest.mark.system
def test_a_first_start_may_pass_over_what_is_there_and_later_ones_do_not(orthanc: Orthanc, store: Send) -> None:
    store(0)
    feed = OrthancFeed(orthanc.rest, None, None, HURRY, from_now=True)
    found, cursor = _all(feed)
    assert found == []
    store(1)
    assert _all(feed, cursor)[0] == ["1.2.3.1.1"]
    feed.close()


@pytest.mark.system
def test_a_study_that_was_deleted_is_passed_over_and_lists_nothing(
    followed: Feed, store: Send, orthanc: Orthanc
) -> None:
    for number in range(2):
        store(number)
    (first, *_) = orthanc.session.get(f"{orthanc.rest}/studies?expand", timeout=30).json()
    gone = first["MainDicomTags"]["StudyInstanceUID"]
    fetcher = WebFetcher(orthanc.web, None, None, HURRY)
    (listed,) = fetcher.instances(gone)
    orthanc.session.delete(f"{orthanc.rest}/studies/{first['ID']}", timeout=30)
    assert set(_all(followed)[0]) == {"1.2.3.0.1", "1.2.3.1.1"} - {gone}
    assert fetcher.instances(gone) == []
    with pytest.raises(OslerError) as told:
        fetcher.fetch([listed], Path("/"))
    assert told.value.code is Code.TRANSFER_FAILED


@pytest.mark.system
def test_the_wrong_root_is_told(orthanc: Orthanc) -> None:
    feed = OrthancFeed(orthanc.web, None, None, HURRY, from_now=False)
    with pytest.raises(OslerError) as told:
        feed.changes("", 10)
    assert told.value.code in (Code.SOURCE_REFUSED, Code.NOT_DICOMWEB)
    feed.close()


@pytest.mark.system
@pytest.mark.parametrize("kind", ["dicomweb", "find"])
def test_feeds_that_ask_mark_a_study_anew_with_each_image_and_keep_to_their_window(
    orthanc: Orthanc, store: Send, kind: str
) -> None:
    def feed(today: date) -> Feed:
        if kind == "dicomweb":
            return DicomwebFeed(orthanc.web, None, None, HURRY, query={}, days=3, today=lambda: today)
        peer = Peer("127.0.0.1", orthanc.port, "ORTHANC", "OSLER", None, HURRY)
        return FindFeed(peer, query={}, days=3, today=lambda: today)

    store(0)
    there = feed(date(2020, 3, 6))  # the films are of 4 March 2020
    first = {one.study: one.mark for one in there.changes("", 10).changes}
    assert first.keys() == {"1.2.3.0.1"}
    assert {one.study: one.mark for one in there.changes("", 10).changes} == first
    store(0, instance=4)
    assert {one.study: one.mark for one in there.changes("", 10).changes} != first
    assert feed(date(2020, 3, 9)).changes("", 10).changes == ()
    there.close()


def test_the_window_holds_the_day_ahead_for_clocks_that_differ() -> None:
    assert window(date(2024, 3, 1), 1) == {"StudyDate": "20240229-20240302"}


@pytest.mark.system
@pytest.mark.slow
def test_a_check_opens_everything_and_leaves_the_feed_where_it_was(
    clinic: Clinic, orthanc: Orthanc, store: Send, capsys: pytest.CaptureFixture[str]
) -> None:
    clinic.settle(orthanc)
    store(0)
    assert main(["watch", "check", "--workspace", str(clinic.workspace.root)]) == 0
    assert "ready" in capsys.readouterr().out
    assert WatchStore(clinic.workspace).studies() == []
    orthanc.kill()
    assert main(["watch", "check", "--workspace", str(clinic.workspace.root)]) == 1
