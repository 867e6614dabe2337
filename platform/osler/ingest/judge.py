"""The contract over a batch of headers, all at once."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date

from osler.dicom.decoders import decodable_syntaxes
from osler.dicom.refusals import RELEASABLE
from osler.ingest.tasks import Examined
from osler_contracts.codes import Code
from osler_contracts.contract import Clause, Contract, Severity
from osler_contracts.headers import header_table


@dataclass(frozen=True)
class Verdict:
    """What a contract says of one file.

    Attributes:
        code: Code of the gravest refusal, None where the file may enter.
        sentences: The refusals in words, gravest first.
        also: Codes of the refusals after the first.
        warnings: Codes of the warnings.
        severity: Severity of the gravest refusal, None where the file may enter.
    """

    code: str | None
    sentences: tuple[str, ...]
    also: tuple[str, ...]
    warnings: tuple[str, ...]
    severity: Severity | None = None

    def waived(self, before: Iterable[str]) -> Verdict:
        """Return the verdict on a file that a person lets in: what keeps it out, or had before, becomes a warning.

        What is to be refused stays refused: no look at an image mends it.
        """
        if self.severity is Severity.REFUSE:
            return self
        codes = {*filter(None, [self.code]), *self.also, *self.warnings, *before, str(Code.RELEASED)}
        return Verdict(None, (), (), tuple(sorted(codes)))


def judge(batch: Iterable[Examined], contract: Contract, today: date) -> dict[str, Verdict]:
    """Return the verdict on each content of a batch whose header was read, by its hash."""
    rows = {
        item.sha256: {"key": item.sha256, "content_sha256": item.sha256, **item.header.row}
        for item in batch
        if item.header is not None
    }
    if not rows:
        return {}
    from osler_contracts.engine import check_headers  # brings Great Expectations, seconds of import

    agreed = contract.without(_is_decided_elsewhere)
    # A gate must not open because nobody could look.
    report = check_headers(header_table(rows.values()), agreed, today, decodable_syntaxes()).require_complete()
    verdicts = {}
    for key, hits in report.by_row().items():
        grave = [hit for hit in hits if hit.severity is not Severity.WARN]
        codes = list(dict.fromkeys(str(hit.code) for hit in grave))
        warnings = sorted({str(hit.code) for hit in hits if hit.severity is Severity.WARN})
        sentences = tuple(hit.sentence for hit in grave)
        severity = grave[0].severity if grave else None
        verdicts[key] = Verdict(codes[0] if codes else None, sentences, tuple(codes[1:]), tuple(warnings), severity)
    clear = Verdict(None, (), (), ())
    return {key: verdicts.get(key, clear) for key in rows}


def severity_of(code: Code) -> Severity:
    """Return whether a person may let in a file that the reader refused."""
    return Severity.QUARANTINE if code in RELEASABLE else Severity.REFUSE


def _is_decided_elsewhere(clause: Clause) -> bool:
    """Whether the archive decides a clause: it tells copies from conflicts by the de-identified objects.

    Of clauses that compare rows, warnings are left out too: what a batch happens to hold must not show in the archive.
    """
    copies = clause.code in (Code.DUPLICATE, Code.CONFLICTING_DUPLICATE)
    return clause.expectation.compares_rows and (copies or clause.severity is Severity.WARN)
