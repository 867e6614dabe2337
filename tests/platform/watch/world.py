"""A hospital in memory around the real state machine: a PACS, a gate and a model that say something else each time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from osler.archive.records import InstanceRecord, StudyRecord
from osler.report.sending import Sent
from osler.sources.studies import Listed
from osler.watch.engine import Engine
from osler.watch.feeds.base import Batch, Change
from osler.watch.intake import Entered
from osler.watch.marker import Marker
from osler.watch.own import own_series
from osler.watch.sealing import Seal
from osler.watch.settings import WatchSettings
from osler.watch.steps import Steps
from osler.watch.store import Move, WatchStore
from osler.watch.waiting_room import WaitingRoom
from osler.workspace import Workspace
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

KEY = bytes(32)
DEVICE = "2.25.1"


class KilledError(BaseException):
    """That the process is no more."""


@dataclass
class World:
    """What outlives a kill beside the database: PACS and archive.

    Attributes:
        images: Instances of the PACS by study.
        reports: Reports of the PACS by study, each once, in the order of their arrival.
        archive: Instances of the archive by pseudonym.
        news: The PACS's changes.
        deaths: Numbers of the moments at which the process is killed.
        refused: Studies that the gate does not let in.
        failing: Codes that the PACS answers with, one an answer, until they are used up.
    """

    images: dict[str, set[str]] = field(default_factory=dict)
    reports: dict[str, list[str]] = field(default_factory=dict)
    archive: dict[str, set[str]] = field(default_factory=dict)
    news: list[str] = field(default_factory=list)
    deaths: set[int] = field(default_factory=set)
    refused: set[str] = field(default_factory=set)
    failing: list[Code] = field(default_factory=list)
    clock: float = 1000.0
    said: int = 0
    _moment: int = 0

    def arrive(self, study: str, image: str) -> None:
        self.images.setdefault(study, set()).add(image)
        self.news.append(study)

    def moment(self) -> None:
        """Be killed here, where it is the time for it."""
        self._moment += 1
        if self._moment in self.deaths:
            raise KilledError

    def answer(self) -> None:
        """Answer as a PACS: or fail."""
        self.moment()
        if self.failing:
            raise OslerError(self.failing.pop(), "The PACS fails.", "")

    # Feed, as Orthanc: what was stored, in its order, reports too.
    name = "world"

    def changes(self, since: str, most: int) -> Batch:
        self.answer()
        start = int(since or 0)
        page = self.news[start : start + min(most, 3)]
        end = start + len(page)
        return Batch(tuple(Change(study) for study in page), str(end), more=end < len(self.news))

    def close(self) -> None: ...

    # Fetcher
    def instances(self, study: str) -> list[Listed]:
        self.answer()
        ours = min(own_series(study, DEVICE))
        images = [Listed(study, "1.9", image) for image in self.images.get(study, ())]
        return sorted([*images, *(Listed(study, ours, f"1.8.{n}") for n in range(len(self.reports.get(study, ()))))])

    def fetch(self, wanted: Sequence[Listed], folder: Path) -> list[Path]:
        files = []
        for item in wanted:
            self.answer()
            files.append(folder / f"{item.instance}.dcm")
            files[-1].write_text(item.study)
        return files

    def taken(self, study: str, files: Sequence[str]) -> None: ...

    def drop(self, study: str) -> None: ...

    # Gate
    def enter(self, site: str, studies: Mapping[str, Sequence[Path]]) -> dict[str, Entered]:
        found = {}
        for uid, files in studies.items():
            self.moment()
            if any(path.read_text() in self.refused for path in files):
                found[uid] = Entered()
                found[uid].refused[str(Code.NOT_DICOM)] = len(files)
                continue
            self.archive.setdefault(uid, set()).update(path.stem for path in files)
            found[uid] = Entered(accepted=len(files))
        return found

    # Reports
    device = DEVICE

    def reporter(self, model: str | None) -> World:
        return self

    def freeze(self, uid: str, model: str | None) -> str:
        self.moment()
        self.said += 1
        return f"{sorted(self.archive[uid])} said {self.said}"

    def readable(self, content: str) -> bool:
        return content.startswith("[")

    def send(self, uid: str, content: str, model: str | None) -> list[Sent]:
        self.answer()
        study = next(one for one in self.images if Seal(KEY).name(one) == uid)
        held = self.reports.setdefault(study, [])
        state = "was there already" if content in held else "sent"
        if content not in held:
            held.append(content)
            self.news.append(study)
        self.moment()
        return [Sent(uid, "sr", state, False)]

    def arrived(self, uid: str, study: str, model: str | None) -> bool:
        self.answer()
        return bool(self.reports.get(study))


class WorldSteps(Steps):
    """The steps, with the world's archive."""

    def _archived(self, uid: str) -> StudyRecord | None:
        world: Any = self.fetcher
        held = world.archive.get(uid)
        if held is None:
            return None
        images = tuple(
            InstanceRecord(one, Path(one), "0" * 64, "DX", "PA", True, "", 1, 1, "", "") for one in sorted(held)
        )
        return StudyRecord(uid, "a", "P", "", images, {}, None, ())


class FragileStore(WatchStore):
    """A store whose process may be killed before and after a commit."""

    def __init__(self, workspace: Workspace, world: World, settle_s: float = 0.0) -> None:
        super().__init__(workspace, Seal(KEY), settle_s=settle_s, clock=lambda: world.clock)
        self.world = world

    def take(self, feed: str, batch: Batch, room: int) -> int:
        self.world.moment()
        taken = super().take(feed, batch, room)
        self.world.moment()
        return taken

    def move(self, moves: Any) -> None:
        held: list[Move] = list(moves)
        self.world.moment()
        super().move(held)
        self.world.moment()


def start(world: World, workspace: Workspace, settings: WatchSettings) -> Engine:
    """Return the watch of a new process."""
    double: Any = world
    room, marker = WaitingRoom(workspace), Marker(workspace)
    (workspace.root / "watch").mkdir(exist_ok=True)
    steps = WorldSteps(workspace, settings, Seal(KEY), double, double, double, room, marker)
    store = FragileStore(workspace, world, settings.limits.settle_s)
    engine = Engine(double, store, steps, lambda: False, lambda: world.clock)
    engine.recover()
    return engine


def run(world: World, workspace: Workspace, settings: WatchSettings, turns: int = 400) -> Engine:
    """Run turn after turn, started again after each kill, until nothing is under way."""
    engine: Engine | None = None
    for _ in range(turns):
        world.clock += settings.limits.settle_s + settings.limits.longest_pause_s
        try:
            engine = engine or start(world, workspace, settings)
            if not engine.turn() and engine.store.next_due() is None:
                return engine
        except KilledError:
            engine = None
        except OslerError:
            continue
    raise AssertionError("it does not come to an end")
