"""Reports as files in a folder: all of a study or none."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from osler import audit
from osler.files import write_atomically
from osler.report.service import Report, Reporter
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError, from_os_error


def write_reports(
    reporter: Reporter, studies: Sequence[str], formats: Sequence[str], folder: Path, *, actor: str
) -> list[tuple[Report, Path]]:
    """Write reports under the archive's pseudonyms, each study's when all of its objects are made; audited.

    Raises:
        OslerError: As `Reporter.make`; `usage` where the folder is a file; `disk-full`. What was written stays.
    """
    if folder.exists() and not folder.is_dir():
        raise OslerError(Code.USAGE, f"{folder} is not a folder.", "Name a folder with --out.")
    for study in studies:
        reporter.explainer.archive.study(study)  # a UID that is wrong is told before anything is written
    written: list[tuple[Report, Path]] = []
    for study in dict.fromkeys(studies):
        made = [reporter.make(study, format) for format in dict.fromkeys(formats)]
        details = {"formats": " ".join(report.format for report in made), "digest": made[0].content.digest}
        audit.record(reporter.explainer.workspace, actor=actor, action="report.make", subject=study, details=details)
        written += [(report, _write(report, folder)) for report in made]
    return written


def _write(report: Report, folder: Path) -> Path:
    path = folder / report.name
    try:
        write_atomically(path, report.data)
    except OSError as error:
        raise from_os_error(error) from None
    return path
