"""What advice did: accuracy, agreement, over-reliance, time and confidence by arm.

Two intervals stand beside every figure. `patients` draws patients again and holds for these readers; `both` draws readers
and patients (a multi-reader multi-case bootstrap) and speaks of readers like these. The second is on the wide side, and with
few readers a rough one.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from osler.feedback.figures import MISSING, REPLICATES, Array, Figure, drawn, figure, krippendorff_alpha, share
from osler.files import write_atomically
from osler.reader_study.study import ReaderStudy
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError, from_os_error

Those = NDArray[np.bool_]


@dataclass(frozen=True)
class Row:
    """One answered reading, with what only the evaluation knows.

    Attributes:
        reader: Number of the reader; names stay in the study's folder.
        case: Pseudonymous study UID.
        patient: Pseudonym.
        sitting: From 1.
        place: Place in the reader's order, from 1.
        arm: Name of the arm.
        truth: Class of the case.
        advice: What the model says; in an arm without advice, what it would have said.
        advice_right: Whether that is the truth.
        planted: Whether it is wrong on purpose.
        answer: What the reader said.
        confidence: 0 to 100.
        seconds: Time since the case was opened last.
        opened: How often it was opened; above 1, the reading was interrupted.
        answered: When, ISO 8601 in UTC.
    """

    reader: str
    case: str
    patient: str
    sitting: int
    place: int
    arm: str
    truth: str
    advice: str
    advice_right: bool
    planted: bool
    answer: str
    confidence: int
    seconds: float
    opened: int
    answered: str


@dataclass(frozen=True)
class Measure:
    """One figure of one arm.

    Attributes:
        arm: Name of the arm.
        measure: What was measured; see `MEASURES`.
        patients: The figure with its interval over patients.
        both: The same value with its interval over readers and patients; as `patients` where one reader read.
    """

    arm: str
    measure: str
    patients: Figure
    both: Figure


MEASURES = {
    "accuracy": "share of right answers",
    "accuracy_minus_unaided": "the same, less that without advice on the same cases",
    "accuracy_advice_right": "share of right answers where the advice was right",
    "accuracy_advice_wrong": "share of right answers where the advice was wrong",
    "agreement_with_advice": "share of answers that are the advice (without advice: what it would have been)",
    "over_reliance": "share of wrong advice that was followed",
    "over_reliance_minus_unaided": "the same, less the share of that wrong answer without advice on the same cases",
    "under_reliance": "share of right advice that was not followed",
    "agreement_of_readers": "Krippendorff's alpha of the readers' answers",
    "confidence": "mean confidence, 0 to 100",
    "seconds": "typical time of a reading in seconds (geometric mean)",
}
PAIRED = ("accuracy_minus_unaided", "over_reliance_minus_unaided")


def rows(study: ReaderStudy) -> list[Row]:
    """Return the answered readings, by reader in order."""
    answers = study.answers()
    numbers = {name: f"reader {place + 1}" for place, name in enumerate(study.protocol.readers)}
    found = []
    for one in study.readings:
        line = answers.get((one.reader, one.case, one.sitting))
        if line is None:
            continue
        case, advice = study.cases[one.case], study.advice(one.case, study.protocol.arms[one.arm].patch)
        found.append(
            Row(
                numbers[one.reader],
                one.case,
                case.patient,
                one.sitting + 1,
                one.place + 1,
                one.arm,
                case.truth,
                advice.finding if advice else "",
                advice is not None and advice.finding == case.truth,
                case.planted,
                line.answer,
                line.confidence or 0,
                line.seconds or 0.0,
                line.opened,
                line.time,
            )
        )
    return found


def measures(study: ReaderStudy, *, seed: int = 0, replicates: int = REPLICATES) -> list[Measure]:
    """Return every figure of every arm.

    Raises:
        OslerError: `nothing-eligible` where nobody has answered yet.
    """
    held = rows(study)
    if not held:
        raise OslerError(Code.NOTHING_ELIGIBLE, "Nobody has answered yet.", "Wait until readers have begun.")
    return measured(held, list(study.protocol.arms), study.protocol.unaided, seed=seed, replicates=replicates)


def measured(
    held: Sequence[Row], arms: Sequence[str], unaided: str | None, *, seed: int, replicates: int
) -> list[Measure]:
    """Return every figure of every arm that has readings; see `measures`."""
    by_patient = drawn([one.patient for one in held], seed=[seed, 0], replicates=replicates)
    several = len({one.reader for one in held}) > 1
    by_reader = drawn([one.reader for one in held], seed=[seed, 1], replicates=replicates) if several else 1.0
    table = _Table(held, unaided)
    found = []
    for arm in (one for one in arms if one in table.arms):
        for name in MEASURES:
            if name in PAIRED and unaided in (None, arm):
                continue
            over_patients = table.values(name, arm, by_patient)
            # Drawing a reader twice would count agreement with oneself.
            both = over_patients if name == "agreement_of_readers" else table.values(name, arm, by_patient * by_reader)
            n = table.count(name, arm)
            found.append(Measure(arm, name, figure(over_patients, n), figure(both, n)))
    return found


class _Table:
    """Readings as columns, and every measure as a function of their weights (R, n)."""

    def __init__(self, held: Sequence[Row], unaided: str | None) -> None:
        self.held, self.unaided = held, unaided
        self.arm = np.array([one.arm for one in held])
        self.arms = set(self.arm)
        self.case = np.array([one.case for one in held])
        self.right = np.array([one.answer == one.truth for one in held], float)
        self.advised_right = np.array([one.advice_right for one in held], bool)
        self.followed = np.array([one.answer == one.advice for one in held], float)
        self.confidence = np.array([one.confidence for one in held], float)
        self.log_seconds = np.log(np.maximum([one.seconds for one in held], 0.1))

    def _of(self, name: str, arm: str) -> tuple[Array, Those]:
        """Return the values (n,) that a measure averages, and which readings (n,) it is over."""
        own: Those = self.arm == arm
        wrong = ~self.advised_right
        table: dict[str, tuple[Array, Those]] = {
            "accuracy": (self.right, own),
            "accuracy_advice_right": (self.right, own & self.advised_right),
            "accuracy_advice_wrong": (self.right, own & wrong),
            "agreement_with_advice": (self.followed, own),
            "over_reliance": (self.followed, own & wrong),
            "under_reliance": (1 - self.followed, own & self.advised_right),
            "confidence": (self.confidence, own),
            "seconds": (self.log_seconds, own),
        }
        return table[name]

    def count(self, name: str, arm: str) -> int:
        """Return over how many readings of the arm a measure goes."""
        plain = name.removesuffix("_minus_unaided")
        return int((self.arm == arm).sum() if name == "agreement_of_readers" else self._of(plain, arm)[1].sum())

    def values(self, name: str, arm: str, weights: Array) -> Array:
        """Return a measure under each line of weights (R,)."""
        if name == "agreement_of_readers":
            return self._alpha(arm, weights)
        if name in PAIRED:
            plain = name.removesuffix("_minus_unaided")
            assert self.unaided is not None
            return self.values(plain, arm, weights) - self._mean(plain, self.unaided, weights, among=arm)
        found = self._mean(name, arm, weights)
        return np.asarray(np.exp(found)) if name == "seconds" else found

    def _mean(self, name: str, arm: str, weights: Array, among: str | None = None) -> Array:
        """Return a mean; `among` keeps to cases that were read in another arm too."""
        values, those = self._of(name, arm)
        if among is not None:
            those = those & np.isin(self.case, self.case[self.arm == among])
        return share(values[those], weights[:, those])

    def _alpha(self, arm: str, weights: Array) -> Array:
        own = [number for number, one in enumerate(self.held) if one.arm == arm]
        cases = list(dict.fromkeys(self.held[number].case for number in own))
        readers = list(dict.fromkeys(self.held[number].reader for number in own))
        names = {answer: k for k, answer in enumerate(sorted({self.held[number].answer for number in own}))}
        ratings = np.full((len(cases), len(readers)), MISSING, np.intp)
        first: dict[str, int] = {}
        for number in own:
            one = self.held[number]
            ratings[cases.index(one.case), readers.index(one.reader)] = names[one.answer]
            first.setdefault(one.case, number)
        return krippendorff_alpha(ratings, weights[:, [first[case] for case in cases]])


def export(study: ReaderStudy, found: Sequence[Measure], out: Path) -> tuple[Path, Path]:
    """Write the readings as a table, and figures of `measures` beside it as `NAME-arms.csv`.

    Readers are numbered, patients and studies are pseudonyms.

    Raises:
        OslerError: `disk-full`, `unreadable`.
    """
    beside = out.with_name(f"{out.stem}-arms.csv")
    try:
        write_atomically(out, readings_table(study))
        write_atomically(beside, arms_table(found))
    except OSError as error:
        raise from_os_error(error) from error
    return out, beside


def readings_table(study: ReaderStudy) -> bytes:
    """Return the answered readings as CSV."""
    records = [asdict(one) for one in rows(study)]
    return _csv(list(Row.__dataclass_fields__), [list(one.values()) for one in records])


def arms_table(found: Sequence[Measure]) -> bytes:
    """Return the figures by arm as CSV."""
    heads = ["arm", "measure", "value", "patients_low", "patients_high", "both_low", "both_high", "readings"]
    lines = [
        [
            one.arm,
            one.measure,
            *map(_said, (one.patients.value, one.patients.low, one.patients.high, one.both.low, one.both.high)),
            one.patients.n,
        ]
        for one in found
    ]
    return _csv(heads, lines)


def _said(x: float | None) -> str:
    return "" if x is None else f"{x:.6g}"


def _csv(heads: Sequence[str], lines: Sequence[Sequence[object]]) -> bytes:
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(heads)
    writer.writerows(lines)
    return stream.getvalue().encode()
