"""The whole loop with a real Orthanc: studies in by storescu, one current SR each out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from pydicom.dataset import Dataset

from osler.audit import verify
from osler.watch.status import read_beat
from osler.watch.store import WatchStore

from .conftest import Clinic
from .services import Orthanc, current, free_port, send, until_taken, wait_for

pytestmark = [pytest.mark.system, pytest.mark.slow]


def _films(folder: Path, make_radiograph: Callable[..., Dataset], numbers: range, **values: object) -> Path:
    folder.mkdir()
    for number in numbers:
        film = make_radiograph(number, PatientID=f"MRN{number:05d}", AccessionNumber=f"ACC{number}", **values)
        film.save_as(folder / f"{number:04d}.dcm", enforce_file_format=True)
    return folder


def test_each_study_gets_one_report_and_a_second_run_changes_nothing(
    clinic: Clinic, orthanc: Orthanc, make_radiograph: Callable[..., Dataset], tmp_path: Path
) -> None:
    clinic.settle(orthanc)
    assert orthanc.send(_films(tmp_path / "films", make_radiograph, range(3)))
    for _ in range(2):
        watcher = clinic.watcher()
        watcher.start("--once")
        assert watcher.wait() == 0, watcher.log.read_text()
        found = orthanc.reports()
        assert {study: len(reports) for study, reports in found.items()} == {f"1.2.3.{n}.1": 1 for n in range(3)}
        assert all(len(current(reports)) == 1 for reports in found.values())
    assert WatchStore(clinic.workspace).counts() == {"confirmed": 3}
    assert verify(clinic.workspace).fault is None


def _until_idle(clinic: Clinic, report: Orthanc, studies: set[str]) -> None:
    watcher = clinic.watcher()
    watcher.start("--once")
    assert watcher.wait() == 0, watcher.log.read_text()
    found = report.reports()
    assert {study: len(current(reports)) for study, reports in found.items()} == dict.fromkeys(studies, 1)


@pytest.mark.parametrize("feed", ["dicomweb", "find-get", "find-move"])
def test_a_pacs_that_is_asked_again_and_again_gives_the_same(
    clinic: Clinic, orthanc: Orthanc, make_radiograph: Callable[..., Dataset], tmp_path: Path, feed: str
) -> None:
    follow = {"days": 36500, "feed": "dicomweb", "address": orthanc.web}
    if feed.startswith("find"):
        follow |= {"feed": "find", "address": orthanc.pacs}
    login = {"retrieve": feed.removeprefix("find-"), "receive": f"127.0.0.1:{orthanc.receive}"}
    clinic.settle(orthanc, follow=follow, login=login if "-" in feed else {}, report_to=orthanc.web)
    assert orthanc.send(_films(tmp_path / "films", make_radiograph, range(2)))
    _until_idle(clinic, orthanc, {"1.2.3.0.1", "1.2.3.1.1"})
    # The SRs raised the counts of instances: they are looked at, and lead to nothing.
    _until_idle(clinic, orthanc, {"1.2.3.0.1", "1.2.3.1.1"})
    assert all(len(reports) == 1 for reports in orthanc.reports().values())


def test_what_is_sent_to_us_is_reported_to_the_pacs_and_a_late_image_amends(
    clinic: Clinic, orthanc: Orthanc, make_radiograph: Callable[..., Dataset], tmp_path: Path
) -> None:
    port = free_port()
    follow = {"feed": "listener", "address": f"listen://WATCH@127.0.0.1:{port}", "callers": ["XRAY1"]}
    sites = [{"name": "lakeside", "titles": ["XRAY1"]}]
    clinic.settle(orthanc, follow=follow, report_to=orthanc.web, fetch_from=follow["address"], sites=sites)
    films = _films(tmp_path / "films", make_radiograph, range(1), ViewPosition="AP")
    watcher, store = clinic.watcher(), WatchStore(clinic.workspace)
    watcher.start()
    until_taken(films, port)
    assert not send(films, port, "STRANGER", "WATCH")
    wait_for(lambda: store.counts() == {"confirmed": 1}, watcher)
    late = _films(tmp_path / "late", make_radiograph, range(1), ViewPosition="PA", SOPInstanceUID="1.2.3.0.4")
    watcher.kill()
    watcher.start()
    until_taken(late, port)
    wait_for(lambda: len(orthanc.reports()["1.2.3.0.1"]) == 2, watcher)
    wait_for(lambda: store.counts() == {"confirmed": 1}, watcher)
    assert watcher.stop() == 0
    reports = orthanc.reports()["1.2.3.0.1"]
    assert len(current(reports)) == 1
    (study,) = store.studies()
    assert (study.site, study.title) == ("lakeside", "XRAY1")
    assert not list((clinic.workspace.root / "spool").rglob("*.dcm"))


def test_a_second_watch_of_the_same_workspace_is_refused(clinic: Clinic, orthanc: Orthanc) -> None:
    clinic.settle(orthanc)
    first, second = clinic.watcher(), clinic.watcher()
    first.start()
    wait_for(lambda: (beat := read_beat(clinic.workspace)) is not None and beat.state == "waiting", first)
    second.start()
    assert second.wait() == 1
    assert first.running
    assert first.stop() == 0
    beat = read_beat(clinic.workspace)
    assert beat is not None
    assert beat.state == "stopped"
