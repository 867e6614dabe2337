"""The loop with Orthanc, PostgreSQL and the watch killed at random moments: in the end each study has one current SR.

    OSLER_STUDIES=500 OSLER_KILLS=8 OSLER_SEED=1 python -m pytest -s tests/platform/watch/test_hospital_loop.py

OSLER_KILLS is for each of the three. Studies come by storescu, from a modality that sends again what was not taken. Some are
sent twice, some get a late image that changes what the model sees, some hold nothing that can be decoded.
"""

from __future__ import annotations

import json
import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import pytest
from pydicom.dataset import Dataset

from osler.archive import Archive
from osler.audit import entries, verify
from osler.watch.records import OPEN, Stage
from osler.watch.store import WatchStore
from osler_contracts.codes import Code

from .conftest import Clinic
from .services import Orthanc, Watcher, current

STUDIES = int(os.environ.get("OSLER_STUDIES", "6"))
KILLS = int(os.environ.get("OSLER_KILLS", "1"))
SEED = int(os.environ.get("OSLER_SEED", "0"))
EVERY = 6  # studies, of which one is sent twice, one has a late image and one is poison
TWICE, LATE, POISON = 0, 2, 5
STEPS = 6  # of a study, from seen to confirmed
AT_START = 0.2  # share of the kills that do not wait for any step
PATIENCE_S = 1800.0
SETTLE_S = 1.0


class Database(Protocol):
    """A PostgreSQL server that can be killed."""

    def stop(self, how: signal.Signals = ...) -> None: ...

    def start(self) -> None: ...


@dataclass
class Modality:
    """Sends films one after the other, each until it was taken; a late one when its study has a report."""

    orthanc: Orthanc
    films: list[Path]
    late: list[Path]
    sent: Counter[str] = field(default_factory=Counter)
    given_up: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def sending(self) -> Iterator[threading.Thread]:
        thread = threading.Thread(target=self._send)
        thread.start()
        try:
            yield thread
        finally:
            self.given_up.set()
            thread.join()

    def _send(self) -> None:
        for film in self.films:
            self._until_taken(film)
        for film in self.late:
            while not self.given_up.is_set() and not self.orthanc.has_report(_uid(int(film.name[:4]))):
                time.sleep(0.2)
            self._until_taken(film)

    def _until_taken(self, film: Path) -> None:
        while not self.given_up.is_set() and not self.orthanc.send(film):
            self.sent["refused"] += 1
            time.sleep(0.2)
        self.sent["taken"] += 1


def _uid(number: int) -> str:
    return f"1.2.3.{number}.1"


def _films(folder: Path, make_radiograph: Callable[..., Dataset], draw: random.Random) -> tuple[list[Path], list[Path]]:
    """Write the films, and return them in the order in which they are sent, the late ones apart."""
    folder.mkdir()
    first, late = [], []
    for number in range(STUDIES):
        values: dict[str, object] = {"PatientID": f"MRN{number:05d}", "AccessionNumber": f"ACC{number}"}
        if number % EVERY == POISON:
            values["PixelData"] = b"\1\2"
        if number % EVERY == LATE:
            values["ViewPosition"] = "AP"
        film = make_radiograph(number, **values)
        path = folder / f"{number:04d}.dcm"
        film.save_as(path, enforce_file_format=True)
        first += [path] * (2 if number % EVERY == TWICE else 1)
        if number % EVERY == LATE:
            more = make_radiograph(number, **values | {"ViewPosition": "PA", "SOPInstanceUID": f"1.2.3.{number}.4"})
            more.save_as(folder / f"{number:04d}-late.dcm", enforce_file_format=True)
            late.append(folder / f"{number:04d}-late.dcm")
    draw.shuffle(first)
    draw.shuffle(late)
    return first, late


def _kill_and_start(name: str, orthanc: Orthanc, postgres: Database, watcher: Watcher, draw: random.Random) -> None:
    down = draw.uniform(0.0, 2.0)
    if name == "postgres":
        postgres.stop(signal.SIGKILL)
        time.sleep(down)
        postgres.start()
    else:
        service = orthanc if name == "orthanc" else watcher
        assert service.kill(), f"{name} had ended by itself"
        time.sleep(down)
        service.start()


def _wait_for_steps(store: WatchStore, watcher: Watcher, wanted: float) -> None:
    """Wait until the watch has done so many steps."""
    until = time.monotonic() + PATIENCE_S
    while store.step_count() < wanted:
        assert watcher.running, watcher.log.read_text()[-2000:]
        assert time.monotonic() < until, store.counts()
        time.sleep(0.1)


def _wait_for_end(store: WatchStore, watcher: Watcher, studies: int) -> None:
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until:
        assert watcher.running, watcher.log.read_text()[-2000:]
        counts = store.counts()
        if sum(counts.values()) == studies and not any(counts[str(stage)] for stage in OPEN):
            return
        time.sleep(1.0)
    raise AssertionError(f"not done: {store.counts()}")


def _poisoned() -> set[str]:
    return {_uid(number) for number in range(STUDIES) if number % EVERY == POISON}


def _late() -> set[str]:
    return {_uid(number) for number in range(STUDIES) if number % EVERY == LATE}


@pytest.mark.system
@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_each_study_ends_with_one_current_report(
    clinic: Clinic,
    orthanc: Orthanc,
    postgres_server: Database,
    postgres_url: str,
    monkeypatch: pytest.MonkeyPatch,
    make_radiograph: Callable[..., Dataset],
    tmp_path: Path,
) -> None:
    monkeypatch.setenv("OSLER_DATABASE_URL", postgres_url)
    draw = random.Random(SEED)
    clinic.settle(orthanc, limits={"settle_s": SETTLE_S, "batch": 32, "attempts": 12})
    films, late = _films(tmp_path / "films", make_radiograph, draw)
    store, watcher = WatchStore(clinic.workspace), clinic.watcher()
    watcher.start()
    kills = [name for name in ("orthanc", "postgres", "watch") for _ in range(KILLS)]
    draw.shuffle(kills)
    moments = sorted(draw.uniform(0, STEPS * STUDIES) for _ in kills)
    modality, begun = Modality(orthanc, films, late), time.monotonic()
    with modality.sending() as thread:
        for name, moment in zip(kills, moments, strict=True):
            if draw.random() < AT_START:
                time.sleep(draw.uniform(0.0, 5.0))
            else:
                _wait_for_steps(store, watcher, moment)
                time.sleep(draw.uniform(0.0, 1.0))
            _kill_and_start(name, orthanc, postgres_server, watcher, draw)
        thread.join()
    _wait_for_end(store, watcher, STUDIES)
    seconds = time.monotonic() - begun
    assert watcher.stop() == 0, watcher.log.read_text()[-2000:]

    sound = {_uid(number) for number in range(STUDIES)} - _poisoned()
    reports = orthanc.reports()
    assert reports.keys() == sound
    assert {study: len(current(found)) for study, found in reports.items()} == dict.fromkeys(sound, 1)
    assert {study: len(found) for study, found in reports.items()} == {one: 2 if one in _late() else 1 for one in sound}
    _check_archive(clinic, sound)
    aside = store.studies(Stage.ASIDE)
    assert {clinic.seal.open(one.uid, one.sealed) for one in aside} == _poisoned()
    assert {one.code for one in aside} <= {
        str(Code.PIXELS_UNDECODABLE),
        str(Code.TRUNCATED),
        str(Code.PIXEL_FORMAT_INVALID),
    }
    assert verify(clinic.workspace).fault is None
    sent = Counter(one.action for one in entries(clinic.workspace))
    assert sent["report.sent"] >= sum(map(len, reports.values())), "each arrival is in the log"
    told = {
        "seed": SEED,
        "studies": STUDIES,
        "kills": Counter(kills),
        "steps": store.step_count(),
        "sent": modality.sent,
        "reports": sum(map(len, reports.values())),
        "amended": sum(len(found) == 2 for found in reports.values()),
        "set aside": len(aside),
        "audit": sent,
        "seconds": round(seconds),
        "phantom": True,
    }
    print(json.dumps(told))


def _check_archive(clinic: Clinic, sound: set[str]) -> None:
    """Check that every study is archived with all of its images, and once."""
    held = {study.uid: len(study.instances) for study in Archive(clinic.workspace).studies()}
    expected = {clinic.seal.name(study): 2 if study in _late() else 1 for study in sound}
    assert held == expected
