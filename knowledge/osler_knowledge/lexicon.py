"""The lexicon: what a reader can observe on an image, in which words, and the findings that observations speak for."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Any

import yaml

from osler_contracts.codes import Code
from osler_contracts.errors import OslerError
from osler_knowledge.tasks import DEFAULT_TASK, starter_file


@dataclass(frozen=True)
class Observation:
    """Something that a report may assert or deny; see `osler_knowledge.bank.Concept` for the fields they share."""

    id: str
    name: str
    question: str
    region: str
    terms: tuple[str, ...]
    absent_terms: tuple[str, ...] = ()
    visible: bool = True


@dataclass(frozen=True)
class Finding:
    """A finding, the words that name it, and the words that deny it."""

    id: str
    name: str
    terms: tuple[str, ...]
    absent_terms: tuple[str, ...] = ()


@dataclass(frozen=True)
class Lexicon:
    """Observations and findings of one modality."""

    modality: str
    findings: tuple[Finding, ...]
    observations: tuple[Observation, ...]
    any_finding: tuple[str, ...] = field(default=())

    @cached_property
    def finding_ids(self) -> tuple[str, ...]:
        """Identifiers of the findings in the lexicon's order."""
        return tuple(finding.id for finding in self.findings)

    @cached_property
    def by_id(self) -> dict[str, Observation]:
        """Observations by identifier."""
        return {observation.id: observation for observation in self.observations}

    @classmethod
    def from_yaml(cls, text: str) -> Lexicon:
        """Read a lexicon.

        Raises:
            OslerError: `corpus-invalid` where the text is not a lexicon.
        """
        try:
            record = yaml.safe_load(text)
            return cls(
                modality=record["modality"],
                findings=tuple(Finding(**_tuples(one)) for one in record["findings"]),
                observations=tuple(Observation(**_tuples(one)) for one in record["observations"]),
                any_finding=tuple(record.get("any_finding", ())),
            )
        except (yaml.YAMLError, KeyError, TypeError, AttributeError) as error:
            raise OslerError(
                Code.CORPUS_INVALID,
                f"The text is not a lexicon of observations and findings ({type(error).__name__}).",
                "Compare it with the lexicon that the package ships.",
            ) from error


def _tuples(record: dict[str, Any]) -> dict[str, Any]:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in record.items()}


@lru_cache(maxsize=8)
def starter_lexicon(task: str = DEFAULT_TASK) -> Lexicon:
    """Return the lexicon that the package ships for a task; see `osler_knowledge.tasks`.

    Raises:
        OslerError: `unknown-task`.
    """
    return Lexicon.from_yaml(starter_file(task, "lexicons", ".yaml").read_text(encoding="utf-8"))
