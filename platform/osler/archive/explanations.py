"""What each code of a file means: those of the reader, those of the shipped contracts' clauses, and the rest.

`osler quarantine explain` prints it, and docs/ingestion.md holds it as tables.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from osler.dicom.refusals import CLAUSES, EXPLANATIONS, RELEASABLE
from osler_contracts.codes import Code
from osler_contracts.contract import Severity, load_contract, shipped_contracts

OWN_RULE = "Osler's own rule"
# Warnings that no clause of a contract gives, as meaning and mend.
WARNINGS: dict[Code, tuple[str, str]] = {
    Code.RELEASED: (
        "A person released the file from the quarantine; its other warnings say why it had been kept there.",
        "Nothing; `osler audit show --do quarantine.release` says who and why.",
    ),
}
# Images that never became DICOM: `osler dicomize` reports them, and no file of theirs reaches the quarantine.
IMAGES: dict[Code, tuple[str, str]] = {
    Code.IMAGE_INVALID: (
        "The image of a table's row is no PNG or JPEG that can be wrapped, or is larger than any accepted image.",
        "Export it again from its source.",
    ),
    Code.IMAGE_MISSING: ("The image of a table's row is not there.", "Correct the path in the table's column."),
}


@dataclass(frozen=True)
class Explanation:
    """What a code means.

    Attributes:
        code: The code.
        meaning: What is wrong; a contract's sentences hold the mend too.
        mend: What to do, empty where the meaning says it.
        severities: `refuse`, `quarantine` or `warn`, the gravest first; contracts may differ.
        clauses: Clauses of the standard, or that the rule is Osler's own.
        contracts: Contracts that give the code; empty for what holds under every one.
    """

    code: str
    meaning: str
    mend: str
    severities: tuple[str, ...]
    clauses: tuple[str, ...]
    contracts: tuple[str, ...]


def explain_all() -> dict[str, Explanation]:
    """Return what every code of a file means, ordered by code."""
    found = _of_contracts()
    for code, (meaning, mend) in (EXPLANATIONS | IMAGES).items():
        severity = str(Severity.QUARANTINE if code in RELEASABLE else Severity.REFUSE)
        _add(found, Explanation(str(code), meaning, mend, (severity,), (CLAUSES.get(code, OWN_RULE),), ()))
    for code, (meaning, mend) in WARNINGS.items():
        _add(found, Explanation(str(code), meaning, mend, (str(Severity.WARN),), (OWN_RULE,), ()))
    return dict(sorted(found.items()))


def explanations() -> dict[str, tuple[str, str]]:
    """Return meaning and mend of each code that keeps a file out, ordered by code."""
    return {
        code: (item.meaning, item.mend) for code, item in explain_all().items() if item.severities != (Severity.WARN,)
    }


def as_markdown() -> str:
    """Return the tables of docs/ingestion.md: what keeps a file out, and what goes with it as a warning."""
    known = explain_all().values()
    out = [item for item in known if item.severities != (str(Severity.WARN),)]
    warned = [item for item in known if item.severities == (str(Severity.WARN),)]
    parts = ["### Codes that keep a file out", "", *_table(out), "", "### Warnings", "", *_table(warned)]
    return "\n".join(parts) + "\n"


def _of_contracts() -> dict[str, Explanation]:
    found: dict[str, Explanation] = {}
    for name in shipped_contracts():
        for clause in load_contract(name).clauses:
            one = (str(clause.severity),), (clause.clause,), (name,)
            _add(found, Explanation(str(clause.code), clause.sentence, "", *one))
    return found


def _add(found: dict[str, Explanation], item: Explanation) -> None:
    """Add an explanation to what is known of its code; the reader's words stand before those of a contract."""
    before = found.get(item.code)
    if before is None:
        found[item.code] = item
        return
    ranks = [str(severity) for severity in Severity]
    found[item.code] = Explanation(
        item.code,
        *((item.meaning, item.mend) if item.mend else (before.meaning, before.mend)),
        tuple(sorted({*before.severities, *item.severities}, key=ranks.index)),
        tuple(dict.fromkeys([*before.clauses, *item.clauses])),
        tuple(dict.fromkeys([*before.contracts, *item.contracts])) if item.contracts else (),
    )


def _table(items: Iterable[Explanation]) -> list[str]:
    lines = ["| Code | Severity | Clause | Meaning and mend |", "| --- | --- | --- | --- |"]
    for item in items:
        words = f"{item.meaning} {item.mend}".strip()
        row = (f"`{item.code}`", ", ".join(item.severities), "; ".join(item.clauses), words)
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |")
    return lines
