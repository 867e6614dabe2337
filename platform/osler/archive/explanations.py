"""What each refusal code means: those of the reader, and those of the shipped contracts' clauses."""

from __future__ import annotations

from osler.dicom.refusals import EXPLANATIONS
from osler_contracts.contract import Severity, load_contract, shipped_contracts


def explanations() -> dict[str, tuple[str, str]]:
    """Return meaning and mend by refusal code, ordered by code; a contract's sentences hold both."""
    found: dict[str, tuple[str, str]] = {}
    for name in shipped_contracts():
        for clause in load_contract(name).clauses:
            if clause.severity is not Severity.WARN:
                found.setdefault(str(clause.code), (clause.sentence, ""))
    return dict(sorted((found | {str(code): pair for code, pair in EXPLANATIONS.items()}).items()))
