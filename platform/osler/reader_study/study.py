"""A reader study that has started: its folder, whose turn it is, and what each reader may see."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from osler.explain.explanation import Explanation
from osler.explain.service import StudyExplainer
from osler.files import write_atomically
from osler.reader_study import DELETED, FOLDER
from osler.reader_study.advice import Advice
from osler.reader_study.cases import Case, advices, choose_cases, condition, conditions, plant
from osler.reader_study.design import Reading, blocks, readings
from osler.reader_study.journal import Journal, Line
from osler.reader_study.protocol import UNAIDED, Protocol, refusal
from osler.workspace import Workspace
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError, from_os_error

PLAN, PROTOCOL = "plan.json", "protocol.yaml"
VERSION = 1


@dataclass(frozen=True)
class Turn:
    """What a reader is to do next.

    Attributes:
        reading: The case to read; None where there is none now.
        until: When the next case may be read, where the washout keeps the reader waiting.
        done: Readings answered.
        of: Readings in all.
    """

    reading: Reading | None
    until: datetime | None
    done: int
    of: int


@dataclass(frozen=True)
class ReaderStudy:
    """One study.

    Attributes:
        folder: Where it is kept.
        protocol: As it was declared.
        classes: Answers to choose from.
        cases: By study UID, without those of patients who were taken out of the archive, with truth and which advice is wrong; for whoever evaluates, never for a reader.
        readings: All of them, by reader in order.
        traced: Digests of model, bank and patch, and when it started.
    """

    folder: Path
    protocol: Protocol
    classes: tuple[str, ...]
    cases: Mapping[str, Case]
    readings: tuple[Reading, ...]
    traced: Mapping[str, str]
    _advice: Mapping[str, Mapping[str, Any]]

    @classmethod
    def load(cls, workspace: Workspace, name: str) -> ReaderStudy:
        """Load a study.

        Raises:
            OslerError: `source-missing`; `protocol-invalid` where its folder is damaged.
        """
        if name not in study_names(workspace):
            raise OslerError(
                Code.SOURCE_MISSING, f"There is no reader study {name[:40]!r}.", "`osler reader-study list` shows them."
            )
        folder = workspace.feedback / FOLDER / name
        try:
            plan = json.loads((folder / PLAN).read_text(encoding="utf-8"))
            return cls(
                folder,
                Protocol.model_validate(plan["protocol"]),
                tuple(plan["classes"]),
                {one["study"]: Case(**one) for one in plan["cases"] if one["study"] != DELETED},
                tuple(Reading(**one) for one in plan["readings"] if one["case"] != DELETED),
                plan["traced"],
                plan["advice"],
            )
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise refusal(f"the study {name!r} cannot be read", "Put a good copy of its folder back.") from error

    @property
    def journal(self) -> Journal:
        """What happened so far."""
        return Journal(self.folder)

    @cached_property
    def _of_reader(self) -> dict[str, list[Reading]]:
        held: dict[str, list[Reading]] = {name: [] for name in self.protocol.readers}
        for one in self.readings:
            held[one.reader].append(one)
        return held

    def takes_part(self, person: str) -> bool:
        """Return whether somebody is one of the readers."""
        return person in self._of_reader

    def answers(self) -> dict[tuple[str, str, int], Line]:
        """Return the answers so far, by reader, case and sitting."""
        return {one.key: one for one in self.journal.lines() if one.what == "answered"}

    def turn(self, reader: str, now: datetime | None = None) -> Turn:
        """Return what a reader is to do next: the first case of the sitting that has been washed out.

        Raises:
            OslerError: `not-allowed` for somebody who is no reader of this study.
        """
        if not self.takes_part(reader):
            raise OslerError(Code.NOT_ALLOWED, "You are not a reader of this study.", "Ask who runs it.")
        now, answered = now or datetime.now(UTC), self.answers()
        own = self._of_reader[reader]
        read = {
            (one.case, one.sitting): datetime.fromisoformat(answered[reader, one.case, one.sitting].time)
            for one in own
            if (reader, one.case, one.sitting) in answered
        }
        left = [one for one in own if (one.case, one.sitting) not in read]
        if not left:
            return Turn(None, None, len(read), len(own))
        sitting = [one for one in left if one.sitting == left[0].sitting]
        free = {one.place: self._free(one, read) for one in sitting}
        ready = next((one for one in sitting if free[one.place] <= now), None)
        return Turn(ready, None if ready else min(free.values()), len(read), len(own))

    def _free(self, reading: Reading, read: Mapping[tuple[str, int], datetime]) -> datetime:
        """Return from when a case may be read again: the washout counts days, and ends at midnight UTC."""
        before = [time for (case, _), time in read.items() if case == reading.case]
        if not before:
            return datetime.min.replace(tzinfo=UTC)
        last = max(before).astimezone(UTC)
        day = last.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=self.protocol.washout_days)
        return day if self.protocol.washout_days else last

    def shown(self, reading: Reading) -> Advice | None:
        """Return the advice that a reader is shown; without concepts where the arm has none, None where it has no advice.

        What comes back never says whether it was made wrong.
        """
        arm = self.protocol.arms[reading.arm]
        held = self.advice(reading.case, arm.patch)
        if arm.shows == UNAIDED or held is None:
            return None
        advice = replace(held, planted=False)
        return advice if arm.shows == "concepts" else replace(advice, concepts=(), runner_up="")

    def advice(self, case: str, patched: bool) -> Advice | None:
        """Return what the model says of a case, shown or not, for whoever evaluates; None where no arm advises."""
        held = self._advice[case]
        found = held.get(condition(patched)) or next(iter(held.values()), None)
        return None if found is None else Advice.from_dict(found)

    def open(self, reader: str, reading: Reading, now: datetime | None = None) -> None:
        """Note that a case is before its reader."""
        self.journal.open(reader, reading.case, reading.sitting, now)

    def answer(self, reader: str, reading: Reading, answer: str, confidence: int, now: datetime | None = None) -> Line:
        """Note a reader's answer to the case whose turn it is.

        Args:
            reader: Who.
            reading: The reading, as `turn` gave it.
            answer: One of the classes.
            confidence: 0 (a guess) to 100 (certain).
            now: When, in UTC (default: now).

        Raises:
            OslerError: `usage`, `not-allowed`, `review-conflict`.
        """
        if answer not in self.classes or not 0 <= confidence <= 100:
            raise OslerError(
                Code.USAGE, "The answer is none of those asked for.", f"Choose of {', '.join(self.classes)}."
            )
        if reading.reader != reader or reading not in self._of_reader.get(reader, []):
            raise OslerError(Code.NOT_ALLOWED, "This case is not yours to read.", "Open the page again.")
        return self.journal.answer(reader, reading.case, reading.sitting, answer, confidence, now)


def study_names(workspace: Workspace) -> list[str]:
    """Return the names of the studies of a workspace."""
    return sorted(path.parent.name for path in (workspace.feedback / FOLDER).glob(f"*/{PLAN}"))


def start(workspace: Workspace, protocol: Protocol, now: datetime | None = None) -> ReaderStudy:
    """Draw the cases, ask the model once, plant wrong advice, and give every reader an order; nobody has read yet.

    Raises:
        OslerError: `protocol-invalid` where the study cannot be held like this; `model-invalid`; `nothing-eligible`.
    """
    if protocol.name in study_names(workspace):
        raise refusal(f"there is a study {protocol.name!r} already", "Give this one another `name`.")
    explainer = StudyExplainer(workspace, protocol.model)
    classes = explainer.pipeline.classes
    _check_patches(protocol, explainer)
    held: dict[tuple[str, bool], Explanation] = {}

    def explain(uid: str, patched: bool) -> Explanation:
        if (uid, patched) not in held:
            held[uid, patched] = explainer.explain(uid, patched=patched)
        return held[uid, patched]

    cases = plant(protocol, choose_cases(protocol, explainer.archive, classes), explainer.archive, explain)
    strata = {one.study: f"{one.truth} {one.planted}" for one in cases}
    block_of = blocks(strata, len(protocol.arms), protocol.seed)
    order = readings(
        protocol.readers,
        list(protocol.arms),
        block_of,
        every_arm=protocol.readings == "every arm",
        seed=protocol.seed,
    )
    patch = explainer.active_patch(protocol.cases.site)
    traced = {
        "model": explainer.pipeline.digest,
        "bank": explainer.pipeline.bank.digest,
        "patch": patch.id if patch is not None else "",
        "started": (now or datetime.now(UTC)).isoformat(timespec="seconds"),
    }
    advice = advices(protocol, cases, explain)
    return _kept(workspace, protocol, classes, cases, order, traced, advice)


def _check_patches(protocol: Protocol, explainer: StudyExplainer) -> None:
    """Refuse to compare with and without a patch where there is none."""
    if len(conditions(protocol)) > 1 and explainer.active_patch(protocol.cases.site) is None:
        raise refusal(
            f"arms with and without a patch are asked for, and no patch is in force at {protocol.cases.site!r}",
            "Put one in force with `osler patch apply`, or leave those arms out.",
        )


def _kept(
    workspace: Workspace,
    protocol: Protocol,
    classes: Sequence[str],
    cases: Sequence[Case],
    order: Sequence[Reading],
    traced: Mapping[str, str],
    advice: Mapping[str, Mapping[str, Advice]],
) -> ReaderStudy:
    folder = workspace.feedback / FOLDER / protocol.name
    plan = {
        "version": VERSION,
        "protocol": protocol.model_dump(mode="json"),
        "classes": list(classes),
        "cases": [asdict(one) for one in cases],
        "readings": [asdict(one) for one in order],
        "traced": dict(traced),
        "advice": {case: {key: one.to_dict() for key, one in held.items()} for case, held in advice.items()},
    }
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        text = yaml.safe_dump(protocol.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
        write_atomically(folder / PROTOCOL, text.encode())
        write_atomically(folder / PLAN, (json.dumps(plan, indent=1) + "\n").encode())
    except OSError as error:
        raise from_os_error(error) from error
    return ReaderStudy.load(workspace, protocol.name)
