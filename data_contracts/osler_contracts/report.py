"""What a contract found: row keys and clauses, never a value of the header."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

from osler_contracts.codes import Code
from osler_contracts.contract import Clause, Contract, Severity
from osler_contracts.errors import OslerError

GRAVITY = {severity: rank for rank, severity in enumerate(Severity)}


@dataclass(frozen=True)
class ClauseHit:
    """One violation by one file."""

    name: str
    code: Code
    severity: Severity
    clause: str
    sentence: str

    def to_dict(self) -> dict[str, str]:
        """Return the violation as JSON."""
        return {key: str(value) for key, value in vars(self).items()}


@dataclass(frozen=True)
class ClauseResult:
    """What became of one clause.

    Attributes:
        clause: The clause.
        violated: Keys of the rows that violate it, in the order of the table.
        unchecked: Why it, or a part of it, could not be checked, which is not the same as violated; None where it was.
    """

    clause: Clause
    violated: tuple[str, ...] = ()
    unchecked: str | None = None

    @property
    def state(self) -> str:
        """`held`, `violated` or `could not be checked`."""
        if self.violated:
            return "violated"
        return "held" if self.unchecked is None else "could not be checked"

    @property
    def hit(self) -> ClauseHit:
        """The violation, as each row that has it is told."""
        clause = self.clause
        return ClauseHit(clause.name, clause.code, clause.severity, clause.clause, clause.sentence)

    def to_dict(self) -> dict[str, Any]:
        """Return the result as JSON."""
        outcome = {"state": self.state, "violated": list(self.violated), "unchecked": self.unchecked}
        return self.hit.to_dict() | outcome


@dataclass(frozen=True)
class ContractReport:
    """The result of a contract over a header table.

    Attributes:
        contract: The contract.
        keys: Keys of all rows.
        results: One result a clause, in the contract's order.
    """

    contract: Contract
    keys: tuple[str, ...]
    results: tuple[ClauseResult, ...]

    @property
    def unchecked(self) -> tuple[ClauseResult, ...]:
        """The clauses that could not be checked, or not in all their columns."""
        return tuple(result for result in self.results if result.unchecked is not None)

    def require_complete(self) -> ContractReport:
        """Return the report; a gate must not open because nobody could look.

        Raises:
            OslerError: `contract-incomplete` where a clause that keeps files out could not be checked.
        """
        open_clauses = [result for result in self.unchecked if result.clause.severity is not Severity.WARN]
        if open_clauses:
            reasons = ", ".join(f"{result.clause.name} ({result.unchecked})" for result in open_clauses)
            raise OslerError(
                Code.CONTRACT_INCOMPLETE,
                f"Clauses of {self.contract.name} could not be checked: {reasons}.",
                "Give the table these columns, or use a contract without these clauses.",
            )
        return self

    def by_row(self) -> dict[str, list[ClauseHit]]:
        """Return the violations of every row, the gravest first; an empty list where there is none."""
        rows: dict[str, list[ClauseHit]] = {key: [] for key in self.keys}
        for result in sorted(self.results, key=lambda result: GRAVITY[result.clause.severity]):
            hit = result.hit
            for key in result.violated:
                rows[key].append(hit)
        return rows

    def counts(self) -> dict[str, int]:
        """Count the rows by their gravest outcome: `accept`, `warn`, `quarantine`, `refuse`."""
        outcomes = Counter(str(hits[0].severity) if hits else "accept" for hits in self.by_row().values())
        return {name: outcomes[name] for name in ("accept", "warn", "quarantine", "refuse")}

    def to_dict(self) -> dict[str, Any]:
        """Return the report as JSON."""
        return {
            "contract": self.contract.name,
            "version": self.contract.version,
            "digest": self.contract.digest,
            "rows": len(self.keys),
            "counts": self.counts(),
            "clauses": [result.to_dict() for result in self.results],
        }
