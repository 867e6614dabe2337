"""A report in lines of text, for pictures and overlays: no identity, at most a screen of it."""

from __future__ import annotations

from osler.report.codes import readable
from osler.report.content import FindingLine, ReportContent, percent

FIRST = 8  # concepts, M20.1
LONGEST = 96
_SEEN = {"present": "present", "absent": "absent", "uncertain": "uncertain", "ignored": "ignored at this site"}


def summary_lines(content: ReportContent, concepts: int = FIRST) -> list[str]:
    """Return the notice, the finding, and the concepts of the largest effect; each line printable and short."""
    status = "signed by a reader" if content.signature else "preliminary, not reviewed"
    lines = [
        f"Osler {content.software}: research use, not a medical device ({status})",
        f"Finding: {finding_words(content.finding)}",
    ]
    if content.prediction_set:
        lines.append(f"Prediction set: {content.prediction_set}")
    elif content.abstention:
        lines.append(content.abstention)
    lines += [f"  {one.name}: {_SEEN[one.seen]}" for one in content.concepts[:concepts]]
    lines += [f"Warning: {one}" for one in content.warnings[:2]]
    return [shortened(line) for line in lines]


def finding_words(finding: FindingLine) -> str:
    """Return a finding with its probability as people read it."""
    known = finding.calibrated
    told = f"{percent(finding.raw)}, not calibrated" if known is None else f"{percent(known)}, calibrated"
    called = "" if finding.decision == "no operating point" else f", {finding.decision}"
    return f"{readable(finding.id)} ({told}{called})"


def shortened(line: str) -> str:
    """Return one printable line of limited length; a backslash would begin another value in DICOM."""
    plain = " ".join("".join(one if one.isprintable() and one != "\\" else " " for one in line).split())
    indent = "  " if line.startswith("  ") else ""
    plain = indent + plain
    return plain if len(plain) <= LONGEST else plain[: LONGEST - 3].rstrip() + "..."
