"""`osler report`: results out, as DICOM SR, presentation state, secondary capture or FHIR, to files or to a PACS."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from osler.cli.command import CommandResult, add_workspace
from osler.cli.crosswalk import add_crosswalk, chosen
from osler.cli.people import account

if TYPE_CHECKING:
    from osler.report.service import Reporter

SUMMARY = "write the results of studies as DICOM SR or FHIR, or send them to a PACS"
FORMATS = ("sr", "fhir", "gsps", "sc")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the actions of `osler report`."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    making = actions.add_parser("make", help="write reports under the archive's pseudonyms to a folder")
    _add_studies(making)
    making.add_argument("--actor", default=account(), help="who exports (default: this account)")
    making.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for the files")
    making.add_argument(
        "--format",
        action="append",
        choices=FORMATS,
        help="sr: structured report (default); fhir: DiagnosticReport; gsps: presentation state; sc: secondary capture; "
        "may be repeated",
    )
    sending = actions.add_parser(
        "send", help="send reports under the patients' own names to a PACS, through the crosswalk (audited)"
    )
    _add_studies(sending)
    sending.add_argument(
        "--to",
        required=True,
        metavar="ADDRESS",
        help="https://HOST/dicom-web for STOW-RS, or dicom://TITLE@HOST:PORT for C-STORE",
    )
    sending.add_argument("--actor", required=True, help="who sends")
    sending.add_argument("--reason", required=True, help="why")
    add_crosswalk(sending, required=False)
    _add_server_options(sending)
    showing = actions.add_parser("show", help="print SRs that Osler made as text")
    showing.add_argument("files", nargs="+", type=Path, metavar="FILE", help="an SR, or a folder of reports")


def _add_studies(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("studies", nargs="*", metavar="STUDY_UID", help="a study of `osler archive list`")
    parser.add_argument("--site", help="all studies of this site that have an image which the model reads")
    parser.add_argument("--limit", type=int, metavar="N", help="with --site: the first N of them")
    parser.add_argument("--model", metavar="NAME", help="a model of the workspace (default: that of report.yaml)")
    parser.add_argument(
        "--bank", type=Path, metavar="FILE", help="the bank to report with; refused where the model has another"
    )
    add_workspace(parser)


def _add_server_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--login-file", type=Path, metavar="FILE", help="logins in the format of netrc, mode 0600")
    parser.add_argument("--ca", type=Path, metavar="PEM", help="certificates to trust, for https and --tls")
    parser.add_argument("--title", help="our own AE title towards a PACS (default: that of report.yaml, else OSLER)")
    parser.add_argument("--tls", action="store_true", help="associations with TLS")
    parser.add_argument("--certificate", type=Path, metavar="PEM", help="our own certificate")
    parser.add_argument("--private-key", type=Path, metavar="PEM", help="its private key")


def run(arguments: argparse.Namespace) -> CommandResult:
    """Do one action."""
    actions = {"make": _make, "send": _send, "show": _show}
    return actions[arguments.action](arguments)


def _reporter(arguments: argparse.Namespace) -> Reporter:
    from osler.explain.service import StudyExplainer
    from osler.report.service import Reporter, chosen_model
    from osler.workspace import Workspace
    from osler_knowledge.bank import ConceptBank

    workspace = Workspace.open(arguments.workspace)
    bank = ConceptBank.load(arguments.bank) if arguments.bank else None
    return Reporter(StudyExplainer(workspace, chosen_model(workspace, arguments.model), bank))


def _chosen_studies(reporter: Reporter, arguments: argparse.Namespace) -> list[str]:
    from osler_contracts.codes import Code
    from osler_contracts.errors import OslerError

    if bool(arguments.studies) == bool(arguments.site):
        raise OslerError(Code.USAGE, "Studies are given by their UIDs or by --site.", "Give one of the two.")
    if arguments.limit is not None and (arguments.limit < 1 or not arguments.site):
        raise OslerError(Code.USAGE, "--limit is of --site, and 1 or more.", "Give 1 or more, or leave it out.")
    if arguments.studies:
        return list(arguments.studies)
    archive = reporter.explainer.archive
    found = [study.uid for study in archive.studies(arguments.site) if archive.image(study) is not None]
    if not found:
        raise OslerError(
            Code.NOTHING_ELIGIBLE,
            f"The archive has no study of {arguments.site} with an image that the model reads.",
            "See `osler archive list` for sites and studies.",
        )
    return found[: arguments.limit]


def _make(arguments: argparse.Namespace) -> CommandResult:
    from osler.report.files import write_reports

    reporter = _reporter(arguments)
    written = write_reports(
        reporter,
        _chosen_studies(reporter, arguments),
        tuple(arguments.format or ["sr"]),
        arguments.out,
        actor=arguments.actor,
    )
    rows: list[dict[str, object]] = [
        {
            "study": report.content.study,
            "format": report.format,
            "file": str(path),
            "sop_instance_uid": report.sop_uid,
            "replaces": report.predecessor,
            "signed": report.content.signature is not None,
        }
        for report, path in written
    ]
    lines = [f"{row['study']}  {row['format']:4s}  {_status(row)}  {row['file']}" for row in rows]
    return CommandResult({"reports": rows}, lines)


def _status(row: dict[str, object]) -> str:
    words = "final" if row["signed"] else "preliminary"
    return f"{words}, replaces {row['replaces']}" if row["replaces"] else words


def _send(arguments: argparse.Namespace) -> CommandResult:
    from osler.report.receivers import ReceiverOptions, open_receiver
    from osler.report.sending import send_reports

    reporter = _reporter(arguments)
    options = ReceiverOptions(
        login_file=arguments.login_file,
        ca=arguments.ca,
        title=arguments.title or reporter.settings.title,
        tls=arguments.tls,
        certificate=arguments.certificate,
        private_key=arguments.private_key,
    )
    sent = send_reports(
        reporter,
        _chosen_studies(reporter, arguments),
        open_receiver(arguments.to, options),
        chosen(arguments, reporter.explainer.workspace),
        actor=arguments.actor,
        reason=arguments.reason,
    )
    rows = [{"study": one.study, "format": one.format, "state": one.state, "signed": one.final} for one in sent]
    lines = [f"{one.study}  {one.format:4s}  {'final' if one.final else 'preliminary'}  {one.state}" for one in sent]
    return CommandResult({"to": arguments.to, "objects": rows}, lines)


def _show(arguments: argparse.Namespace) -> CommandResult:
    from osler.report.show import read_report, reports_in

    shown = [read_report(path) for path in reports_in(arguments.files)]
    lines = [line for one in shown for line in (*one.lines(), "")]
    return CommandResult({"reports": [one.to_dict() for one in shown]}, lines[:-1])
