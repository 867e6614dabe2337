"""The concept bank: concepts with a question, a citation, a region and a prior for each finding.

A version is what a model can be fitted on: another wording, phrase, passage or prior, a concept added or retired, makes the
next one. Acceptance, codes and figures change no model: they enter the history under the version that they speak of.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from osler_contracts.codes import Code
from osler_contracts.errors import OslerError
from osler_knowledge.concept import STRICT, Citation, Concept, PriorEvidence, check_line, invalid
from osler_knowledge.history import Change, check_history

__all__ = ["Change", "Citation", "Concept", "ConceptBank", "PriorEvidence"]

FORMAT = "osler-bank/2"
FORMER = "osler-bank/1"  # without history, codes and figures: read as the same version, with the same digest
SEAL = "sha256"  # entry of the file that holds the hash of the others
LARGEST = 64 << 20  # bytes of a bank's file


@dataclass(frozen=True)
class ConceptBank:
    """Concepts in a fixed order, with the findings that their prior speaks of. Concept vectors belong to the bottleneck.

    Attributes:
        name: Name of the bank, such as its task.
        version: Number of the version, from 1 on; it only goes up.
        modality: The kind of image.
        findings: What the priors speak of.
        concepts: The concepts; a retired one stays, so that its history can be read.
        history: What was done to the bank, oldest first; nothing is taken out of it.
    """

    __pydantic_config__ = STRICT

    name: str
    version: int
    modality: str
    findings: tuple[str, ...]
    concepts: tuple[Concept, ...]
    history: tuple[Change, ...] = field(default=())

    def __post_init__(self) -> None:
        for text, what in ((self.name, "name of a bank"), *((one, "name of a finding") for one in self.findings)):
            check_line(text, what)
        doubled = {one for one in self.ids if self.ids.count(one) > 1}
        if doubled:
            raise invalid(f"Concepts appear more than once: {', '.join(sorted(doubled))}.")
        strangers = {finding for concept in self.concepts for finding in concept.prior} - set(self.findings)
        if strangers:
            raise invalid(f"Priors name findings that the bank does not list: {', '.join(sorted(strangers))}.")
        check_history(self.history, self.version, set(self.ids))

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
            raise invalid(
                f"The bank {self.name!r} has no finding {', '.join(missing)}; it has {', '.join(self.findings)}."
            )
        return tuple(
            tuple(concept.prior[name].value if name in concept.prior else None for concept in self.concepts)
            for name in classes
        )

    def subset(self, concept_ids: Sequence[str]) -> ConceptBank:
        """Return the bank with these concepts only, in the order given, and what the history says of them."""
        kept = tuple(self.concept(one) for one in concept_ids)
        history = tuple(one for one in self.history if not one.concept or one.concept in set(concept_ids))
        return replace(self, concepts=kept, history=history)

    def in_use(self) -> ConceptBank:
        """Return the bank without the concepts that were retired: what a model is fitted on."""
        return self.subset([one.id for one in self.concepts if one.status != "retired"])

    def to_json(self) -> str:
        """Return canonical JSON with its own hash: the same bank gives the same text."""
        record = {"format": FORMAT, **asdict(self)}
        return _text({**record, SEAL: _digest(record)})

    @cached_property
    def digest(self) -> str:
        """SHA-256 of what a model can depend on; acceptance, codes, figures and history leave it as it is.

        Written as a bank of the former format was, so that its models still recognise it.
        """
        content = {
            "format": FORMER,
            "name": self.name,
            "version": str(self.version),
            "modality": self.modality,
            "findings": self.findings,
            "concepts": [concept.content() for concept in self.concepts],
        }
        return _digest(content)

    def same_content(self, other: ConceptBank) -> bool:
        """Return whether a model could not tell the two apart, whatever their versions."""
        return replace(self, version=other.version, history=()).digest == other.digest

    @classmethod
    def from_json(cls, text: str) -> ConceptBank:
        """Read a bank, of this format or of the former one.

        Raises:
            OslerError: `bank-invalid` where the text is not a bank, the message says where it fails the schema; or where it
                bears a hash and is not the text that was written with it.
        """
        from osler_knowledge.schema import validated

        try:
            record = json.loads(text)
            _check_seal(record, text)
            written = record.pop("format")
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise invalid(f"The text is not a concept bank ({type(error).__name__}).") from error
        if written == FORMER:
            record = _brought_up(record)
        elif written != FORMAT:
            raise invalid(f"The format of the bank is neither {FORMAT} nor {FORMER}.")
        return validated(record)

    def save(self, path: Path) -> None:
        """Write the bank; what was at `path` stays until the whole new text is on the disk."""
        draft = path.with_name(path.name + ".part")
        draft.write_text(self.to_json(), encoding="utf-8")
        draft.replace(path)

    @classmethod
    def load(cls, path: Path) -> ConceptBank:
        """Read the bank at `path`; see `from_json`. A refusal names the file."""
        try:
            if path.stat().st_size > LARGEST:
                raise invalid(f"The file {path} has more than {LARGEST >> 20} MB: it is no concept bank.")
            text = path.read_text(encoding="utf-8")
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as error:
            raise invalid(f"There is no bank at {path}.") from error
        except UnicodeDecodeError as error:
            raise invalid(f"The file {path} is not UTF-8 text.") from error
        try:
            return cls.from_json(text)
        except OslerError as error:
            raise OslerError(error.code, f"{path.name}: {error.message}", error.mend) from error


def _text(record: dict[str, Any]) -> str:
    return json.dumps(record, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def _digest(record: dict[str, Any]) -> str:
    return hashlib.sha256(_text(record).encode("utf-8", "surrogatepass")).hexdigest()


def _check_seal(record: dict[str, Any], text: str) -> None:
    """Take the hash off a record that bears one, and refuse it where it is not its own; other programs write none."""
    seal = record.pop(SEAL, None)
    if seal is None:
        return
    if seal != _digest(record) or _text({**record, SEAL: seal}) != text:
        raise OslerError(
            Code.BANK_INVALID,
            "The bank was changed after it was written: it does not have its hash.",
            f"Restore it; where you changed it on purpose, take its entry {SEAL!r} out to say so.",
        )


def _brought_up(record: dict[str, Any]) -> dict[str, Any]:
    """Return a bank of the former format as this one has it: versions were texts."""
    version = record.get("version")
    if not (isinstance(version, str) and version.isascii() and version.isdigit() and len(version) < 10):
        raise invalid("The version of a bank of the former format is a whole number.")
    return {**record, "version": int(version)}
