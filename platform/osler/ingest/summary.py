"""What a run of ingestion comes to."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from osler.archive.records import Outcome
from osler_contracts.codes import Code


@dataclass
class IngestSummary:
    """Counts of one run; received = accepted + quarantined + duplicates.

    Attributes:
        accepted: Files that entered the archive.
        quarantined: Files refused.
        duplicates: Files whose content was in the archive already, from this run or an earlier one.
        by_reason: Refused files by code.
        warnings: Accepted files by code of warning; a file may have several.
        eligible_frontal: Accepted files that a frontal model may see.
        labelled: Studies that the table of labels named and the archive holds.
        unmatched: Studies that it named and the archive does not hold.
    """

    accepted: int = 0
    quarantined: int = 0
    duplicates: int = 0
    by_reason: Counter[str] = field(default_factory=Counter)
    warnings: Counter[str] = field(default_factory=Counter)
    eligible_frontal: int = 0
    labelled: int = 0
    unmatched: int = 0

    @property
    def received(self) -> int:
        """Number of files that the source holds."""
        return self.accepted + self.quarantined + self.duplicates

    @property
    def code(self) -> Code | None:
        """`nothing-eligible` where the archive has none of the files."""
        return None if self.accepted or self.duplicates else Code.NOTHING_ELIGIBLE

    def count(self, outcome: Outcome, code: str) -> None:
        """Count one file."""
        if outcome is Outcome.ACCEPTED:
            self.accepted += 1
        elif outcome is Outcome.DUPLICATE:
            self.duplicates += 1
        else:
            self.quarantined += 1
            self.by_reason[code] += 1

    def to_dict(self) -> dict[str, Any]:
        """Return the summary as JSON."""
        return {
            "received": self.received,
            "accepted": self.accepted,
            "quarantined": self.quarantined,
            "duplicates": self.duplicates,
            "by_reason": dict(sorted(self.by_reason.items())),
            "warnings": dict(sorted(self.warnings.items())),
            "eligible_frontal": self.eligible_frontal,
            "labelled": self.labelled,
            "unmatched": self.unmatched,
            "code": self.code and str(self.code),
        }

    def lines(self) -> list[str]:
        """Return the summary for a person."""
        rest = f"quarantined {self.quarantined}, duplicates {self.duplicates}"
        lines = [f"Received {self.received}: accepted {self.accepted}, {rest}."]
        lines += [f"  {count:6d}  {code}" for code, count in self.by_reason.most_common()]
        if self.code:
            lines.append(
                "Nothing was accepted: no file of the source is an image that the contract takes; "
                f"see `osler quarantine list`. [{self.code}]"
            )
        return lines
