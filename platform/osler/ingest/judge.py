"""The contract over a batch of headers, all at once."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date

from osler.ingest.tasks import Examined
from osler_contracts.contract import Contract, Severity
from osler_contracts.headers import header_table


@dataclass(frozen=True)
class Verdict:
    """What a contract says of one file.

    Attributes:
        code: Code of the gravest refusal, None where the file may enter.
        sentences: The refusals in words, gravest first.
        also: Codes of the refusals after the first.
        warnings: Codes of the warnings.
    """

    code: str | None
    sentences: tuple[str, ...]
    also: tuple[str, ...]
    warnings: tuple[str, ...]


def judge(batch: Iterable[Examined], contract: Contract, today: date) -> dict[str, Verdict]:
    """Return the verdict on each content of a batch whose header was read, by its hash."""
    rows = {item.sha256: {"key": item.sha256, **item.header.row} for item in batch if item.header is not None}
    if not rows:
        return {}
    from osler_contracts.engine import check_headers  # brings Great Expectations, seconds of import

    # A gate must not open because nobody could look.
    report = check_headers(header_table(rows.values()), contract, today).require_complete()
    verdicts = {}
    for key, hits in report.by_row().items():
        grave = [hit for hit in hits if hit.severity is not Severity.WARN]
        codes = list(dict.fromkeys(str(hit.code) for hit in grave))
        warnings = sorted({str(hit.code) for hit in hits if hit.severity is Severity.WARN})
        sentences = tuple(hit.sentence for hit in grave)
        verdicts[key] = Verdict(codes[0] if codes else None, sentences, tuple(codes[1:]), tuple(warnings))
    clear = Verdict(None, (), (), ())
    return {key: verdicts.get(key, clear) for key in rows}
