"""One concept of a bank: its question, the passage that it rests on, and what it speaks for."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

Status = Literal["proposed", "accepted", "retired"]
Evidence = Literal["text", "server", "by hand"]
STATUSES = ("proposed", "accepted", "retired")
LONGEST_MESSAGE = 600
LONGEST_LINE = 500  # characters of a name, a question, a region
MAX_NAME, MAX_REASON = 80, 2000  # characters of a reviewer's name, and of a reason
STRICT = {"extra": "forbid", "strict": True}  # how `osler_knowledge.schema` reads these records
_ID = re.compile(r"[a-z_][a-z0-9_]{0,99}")


def invalid(message: str) -> OslerError:
    """Return the error of a bank that is none; what it quotes from the file may be of any length, the message is not."""
    if len(message) > LONGEST_MESSAGE:
        message = message[:LONGEST_MESSAGE] + " ..."
    return OslerError(Code.BANK_INVALID, message, "Correct the bank's file, or build it again with `osler knowledge`.")


def check_line(text: str, what: str, longest: int = LONGEST_LINE) -> None:
    """Require one line of printed characters.

    Raises:
        OslerError: `bank-invalid`.
    """
    if not 0 < len(text.strip()) <= longest or not text.isprintable():
        raise invalid(f"The {what} is not a line of 1 to {longest} printable characters.")


@dataclass(frozen=True)
class Citation:
    """A verbatim passage of a corpus entry.

    Attributes:
        entry: Identifier of the entry.
        title: Its title.
        passage: The passage, verbatim.
        start: Character offset of the passage in the entry's text.
        end: Offset of its end.
        references: The bibliographic references that the entry rests on.
        edition: Its edition or date, where the source states one.
        licence: The terms under which it may be shown.
        section: The section of the entry.
    """

    __pydantic_config__ = STRICT

    entry: str
    title: str
    passage: str
    start: int
    end: int
    references: tuple[str, ...] = ()
    edition: str = ""
    licence: str = ""
    section: str = ""

    def __post_init__(self) -> None:
        if self.start < 0 or self.end - self.start != len(self.passage):
            raise invalid(f"The passage of entry {self.entry!r} does not fit its offsets {self.start} to {self.end}.")


@dataclass(frozen=True)
class PriorEvidence:
    """What is known of one finding and one concept: +1 speaks for, -1 against, 0 neither.

    Attributes:
        value: -1, 0 or 1; what is unknown has no evidence at all.
        confidence: In [0, 1].
        citation: The passage that says so.
        evidence: Where it is from: the `text`, a language `server`, or `by hand`.
        by: Who set it by hand.
        reason: Why.
    """

    __pydantic_config__ = STRICT

    value: int
    confidence: float
    citation: Citation | None = None
    evidence: Evidence = "text"
    by: str = ""
    reason: str = ""

    def __post_init__(self) -> None:
        if self.value not in (-1, 0, 1) or not 0.0 <= self.confidence <= 1.0:
            raise invalid(f"A prior is -1, 0 or 1 with a confidence in [0, 1], got {self.value} and {self.confidence}.")
        if self.evidence == "by hand":
            check_line(self.by, "name of who set a prior", MAX_NAME)
            check_line(self.reason, "reason of a prior set by hand", MAX_REASON)


@dataclass(frozen=True)
class Figure:
    """A figure about a concept, measured by a floor above.

    Attributes:
        value: The figure.
        low: Lower end of its 95% interval, None where it is a count or was not resampled.
        high: Upper end.
        n: On how many reports, studies or pairs.
        source: What it was measured on, in words without an identifier.
    """

    __pydantic_config__ = STRICT

    value: float
    low: float | None = None
    high: float | None = None
    n: int = 0
    source: str = ""


@dataclass(frozen=True)
class Concept:
    """One concept that can be asked of an image.

    Attributes:
        id: Stable identifier (snake case).
        name: Name as a reader says it.
        question: The yes/no question.
        region: Anatomical region where it shows.
        citation: The passage that the question rests on.
        prior: Evidence by finding; a finding that is not a key is unknown.
        terms: Phrases that report it in prose ("a ... b" has a gap; see `osler_knowledge.language`).
        absent_terms: Phrases that report its absence without a negation, such as "heart size ... normal".
        query: The query that led to it; empty where a person wrote it.
        status: `proposed`, `accepted` or `retired`.
        codes: Identifier in each terminology that the user brought, such as RadLex.
        figures: Figures by name, such as `learnability`.
    """

    __pydantic_config__ = STRICT

    id: str
    name: str
    question: str
    region: str
    citation: Citation
    prior: dict[str, PriorEvidence]
    terms: tuple[str, ...] = ()
    absent_terms: tuple[str, ...] = ()
    query: str = ""
    status: Status = "proposed"
    codes: Mapping[str, str] = field(default_factory=dict)
    figures: Mapping[str, Figure] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not _ID.fullmatch(self.id):
            raise invalid(f"A concept's identifier is snake case, got {self.id!r}.")
        if self.status not in STATUSES:
            raise invalid(f"The status of {self.id!r} is one of {', '.join(STATUSES)}, got {self.status!r}.")
        for text, what in ((self.name, "name"), (self.question, "question"), (self.region, "region")):
            check_line(text, f"{what} of {self.id!r}")
        for system, code in self.codes.items():
            check_line(system, f"name of a terminology of {self.id!r}", MAX_NAME)
            check_line(code, f"code of {self.id!r}", MAX_NAME)
        if not all(term.strip() and term.count(" ... ") <= 1 for term in (*self.terms, *self.absent_terms)):
            raise invalid(f"A phrase of {self.id!r} is empty or has more than one gap.")

    def content(self) -> dict[str, Any]:
        """Return what a model can depend on, field by field: another field of a citation must not make another model."""
        return {
            "id": self.id,
            "name": self.name,
            "question": self.question,
            "region": self.region,
            "citation": _content(self.citation),
            "prior": {
                finding: {"value": one.value, "confidence": one.confidence, "citation": _content(one.citation)}
                for finding, one in self.prior.items()
            },
            "terms": self.terms,
            "absent_terms": self.absent_terms,
            "query": self.query,
            "status": "retired" if self.status == "retired" else "proposed",
        }


def _content(citation: Citation | None) -> dict[str, Any] | None:
    if citation is None:
        return None
    record = asdict(citation)
    return {name: record[name] for name in ("entry", "title", "passage", "start", "end", "references")}
