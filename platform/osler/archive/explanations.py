"""What each code of a file means: those of the reader, those of the shipped contracts' clauses, and the rest.

`osler quarantine explain` prints it, and docs/ingestion.md holds it as tables.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from osler.dicom.refusals import CLAUSES, EXPLANATIONS, RELEASABLE
from osler_contracts.codes import Code
from osler_contracts.contract import Severity, load_contract, shipped_contracts

DEFAULT = "chest-radiograph"
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
    """One rule behind a code; a code may have several.

    Attributes:
        code: The code.
        severity: `refuse`, `quarantine` or `warn`.
        clause: Clause of the standard, or that the rule is Osler's own.
        meaning: What is wrong; a contract's sentence holds the mend too.
        mend: What to do, empty where the meaning says it.
        contracts: Shipped contracts that have the rule; empty for what holds under every contract, also those of others.
    """

    code: str
    severity: str
    clause: str
    meaning: str
    mend: str
    contracts: tuple[str, ...] = ()


def explain_all() -> dict[str, list[Explanation]]:
    """Return the rules behind every code of a file, ordered by code, the gravest first, the reader's before a contract's."""
    rules = [*_of_reader(), *_of_contracts()]
    ranks = [str(severity) for severity in Severity]
    found: dict[str, list[Explanation]] = {}
    for rule in sorted(rules, key=lambda rule: (rule.code, ranks.index(rule.severity), _rank(rule))):
        found.setdefault(rule.code, []).append(rule)
    return found


def explanations() -> dict[str, tuple[str, str]]:
    """Return meaning and mend of each code that keeps a file out, ordered by code: those of its first rule."""
    return {
        code: (rules[0].meaning, rules[0].mend)
        for code, rules in explain_all().items()
        if rules[0].severity != Severity.WARN or code in EXPLANATIONS
    }


def as_markdown() -> str:
    """Return the tables of docs/ingestion.md: what keeps a file out, and what goes with it as a warning."""
    known = explain_all().values()
    out = [rule for rules in known for rule in rules if rule.severity != Severity.WARN]
    warned = [rule for rules in known for rule in rules if rule.severity == Severity.WARN]
    parts = ["### What keeps a file out", "", *_table(out), "", "### What goes with a file as a warning", ""]
    return "\n".join([*parts, *_table(warned)]) + "\n"


def _of_reader() -> Iterator[Explanation]:
    for code, (meaning, mend) in (EXPLANATIONS | IMAGES).items():
        severity = Severity.QUARANTINE if code in RELEASABLE else Severity.REFUSE
        if code is Code.DUPLICATE:
            severity = Severity.WARN  # it is counted, and nothing of it is kept
        yield Explanation(str(code), str(severity), CLAUSES.get(code, OWN_RULE), meaning, mend)
    for code, (meaning, mend) in WARNINGS.items():
        yield Explanation(str(code), str(Severity.WARN), OWN_RULE, meaning, mend)


def _of_contracts() -> Iterator[Explanation]:
    """Yield the shipped contracts' clauses, those that several share once."""
    shared: dict[tuple[str, ...], list[str]] = {}
    for name in shipped_contracts():
        for clause in load_contract(name).clauses:
            rule = (str(clause.code), str(clause.severity), clause.clause, clause.sentence)
            shared.setdefault(rule, []).append(name)
    for (code, severity, clause_of, sentence), names in shared.items():
        yield Explanation(code, severity, clause_of, sentence, "", tuple(dict.fromkeys(names)))


def _rank(rule: Explanation) -> tuple[bool, bool]:
    """Order rules by how likely they are the one that was met: what holds everywhere, then the default contract's."""
    return bool(rule.contracts), DEFAULT not in rule.contracts


def _table(rules: Iterable[Explanation]) -> Iterator[str]:
    yield "| Code | Severity | Contracts | Clause | Meaning and mend |"
    yield "| --- | --- | --- | --- | --- |"
    every = shipped_contracts()
    for rule in rules:
        contracts = "all" if rule.contracts in ((), every) else ", ".join(rule.contracts)
        words = f"{rule.meaning} {rule.mend}".strip()
        cells = (f"`{rule.code}`", rule.severity, contracts, rule.clause, words)
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
