"""The concept bank: concepts with a question, a citation, a region and a prior for each finding."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

FORMAT = "osler-bank/1"
STATUSES = ("proposed", "accepted", "retired")


def _invalid(message: str) -> OslerError:
    return OslerError(Code.BANK_INVALID, message, "Correct the bank's file, or build it again with `osler knowledge`.")


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
    """

    entry: str
    title: str
    passage: str
    start: int
    end: int
    references: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.end - self.start != len(self.passage):
            raise _invalid(f"The passage of entry {self.entry!r} does not fit its offsets {self.start} to {self.end}.")


@dataclass(frozen=True)
class PriorEvidence:
    """What the text says of one finding and one concept: +1 speaks for, -1 against, 0 neither."""

    value: int
    confidence: float
    citation: Citation | None = None

    def __post_init__(self) -> None:
        if self.value not in (-1, 0, 1) or not 0.0 <= self.confidence <= 1.0:
            raise _invalid(
                f"A prior is -1, 0 or 1 with a confidence in [0, 1], got {self.value} and {self.confidence}."
            )


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
    """

    id: str
    name: str
    question: str
    region: str
    citation: Citation
    prior: dict[str, PriorEvidence]
    terms: tuple[str, ...] = ()
    absent_terms: tuple[str, ...] = ()
    query: str = ""
    status: str = "proposed"

    def __post_init__(self) -> None:
        if not self.id.isidentifier() or self.id != self.id.lower():
            raise _invalid(f"A concept's identifier is snake case, got {self.id!r}.")
        if self.status not in STATUSES:
            raise _invalid(f"The status of {self.id!r} is one of {', '.join(STATUSES)}, got {self.status!r}.")
        if not all(term.strip() and term.count(" ... ") <= 1 for term in (*self.terms, *self.absent_terms)):
            raise _invalid(f"A phrase of {self.id!r} is empty or has more than one gap.")


@dataclass(frozen=True)
class ConceptBank:
    """Concepts in a fixed order, with the findings that their prior speaks of. Concept vectors belong to the bottleneck."""

    name: str
    version: str
    modality: str
    findings: tuple[str, ...]
    concepts: tuple[Concept, ...]

    def __post_init__(self) -> None:
        doubled = {one for one in self.ids if self.ids.count(one) > 1}
        if doubled:
            raise _invalid(f"Concepts appear more than once: {', '.join(sorted(doubled))}.")
        strangers = {finding for concept in self.concepts for finding in concept.prior} - set(self.findings)
        if strangers:
            raise _invalid(f"Priors name findings that the bank does not list: {', '.join(sorted(strangers))}.")

    @property
    def ids(self) -> tuple[str, ...]:
        """Concept identifiers in the bank's order."""
        return tuple(concept.id for concept in self.concepts)

    def concept(self, concept_id: str) -> Concept:
        """Return one concept.

        Raises:
            OslerError: `unknown-concept`.
        """
        for concept in self.concepts:
            if concept.id == concept_id:
                return concept
        raise OslerError(
            Code.UNKNOWN_CONCEPT,
            f"The bank {self.name!r} has no concept {concept_id!r}.",
            f"Use one of its {len(self.concepts)} concepts, such as {', '.join(self.ids[:3])}.",
        )

    def prior_matrix(self, classes: Sequence[str]) -> tuple[tuple[int | None, ...], ...]:
        """Return the prior with a row a class and a column a concept; None is unknown, which differs from 0.

        Raises:
            OslerError: `bank-invalid` where a class is not among the bank's findings.
        """
        missing = [name for name in classes if name not in self.findings]
        if missing:
            raise _invalid(
                f"The bank {self.name!r} has no finding {', '.join(missing)}; it has {', '.join(self.findings)}."
            )
        return tuple(
            tuple(concept.prior[name].value if name in concept.prior else None for concept in self.concepts)
            for name in classes
        )

    def subset(self, concept_ids: Sequence[str]) -> ConceptBank:
        """Return the bank with these concepts only, in the order given."""
        return replace(self, concepts=tuple(self.concept(one) for one in concept_ids))

    def to_json(self) -> str:
        """Return canonical JSON: the same bank gives the same text."""
        return json.dumps({"format": FORMAT, **asdict(self)}, indent=1, sort_keys=True, ensure_ascii=False) + "\n"

    @property
    def digest(self) -> str:
        """SHA-256 of the canonical JSON."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()

    @classmethod
    def from_json(cls, text: str) -> ConceptBank:
        """Read a bank.

        Raises:
            OslerError: `bank-invalid` where the text is not a bank.
        """
        try:
            record = json.loads(text)
            if record.pop("format") != FORMAT:
                raise _invalid(f"The format of the bank is not {FORMAT}.")
            record["findings"] = tuple(record["findings"])
            record["concepts"] = tuple(_concept(one) for one in record["concepts"])
            return cls(**record)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise _invalid(f"The text is not a concept bank ({type(error).__name__}).") from error

    def save(self, path: Path) -> None:
        """Write the bank; what was at `path` stays until the whole new text is on the disk."""
        draft = path.with_name(path.name + ".part")
        draft.write_text(self.to_json(), encoding="utf-8")
        draft.replace(path)

    @classmethod
    def load(cls, path: Path) -> ConceptBank:
        """Read the bank at `path`; see `from_json`."""
        try:
            return cls.from_json(path.read_text(encoding="utf-8"))
        except (FileNotFoundError, IsADirectoryError) as error:
            raise _invalid(f"There is no bank at {path}.") from error
        except UnicodeDecodeError as error:
            raise _invalid(f"The file {path} is not UTF-8 text.") from error


def _citation(record: dict[str, Any] | None) -> Citation | None:
    return None if record is None else Citation(**{**record, "references": tuple(record.get("references", ()))})


def _concept(record: dict[str, Any]) -> Concept:
    citation = _citation(record["citation"])
    if citation is None:
        raise _invalid(f"The concept {record.get('id')!r} has no citation.")
    prior = {
        finding: PriorEvidence(**{**evidence, "citation": _citation(evidence.get("citation"))})
        for finding, evidence in record["prior"].items()
    }
    phrases = {key: tuple(record.get(key, ())) for key in ("terms", "absent_terms")}
    return Concept(**{**record, **phrases, "citation": citation, "prior": prior})
