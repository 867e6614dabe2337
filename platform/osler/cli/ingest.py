"""`osler ingest`: DICOM files from wherever they are into the archive."""

from __future__ import annotations

import argparse
from pathlib import Path

from osler.cli.command import CommandResult, add_workspace, say
from osler.cli.crosswalk import add_crosswalk, chosen
from osler.cli.engine import add_engine, chosen_engine
from osler.sources.address import FORMS, parse_place, parse_query

SUMMARY = "take DICOM files through a data contract into the de-identified archive"
SAY_EVERY = 512

_EPILOG = """\
SOURCE is one of:

{forms}

A DICOMweb server or a PACS is listed first and then fetched; what is settled is noted in the workspace, so that a run
that was stopped goes on where it was, and the next one fetches what is new. Its login comes from the environment
(OSLER_DICOMWEB_USER and OSLER_DICOMWEB_PASSWORD, or OSLER_DICOMWEB_TOKEN) or from --login-file.

Exit codes: 0 done, 1 failed, 2 wrong usage, 3 done but some files were refused.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `osler ingest`."""
    width = max(len(example) for example, _ in FORMS)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = _EPILOG.format(forms="\n".join(f"  {example:{width}}  {what}" for example, what in FORMS))
    parser.add_argument("source", metavar="SOURCE", help="where the files are, see below")
    parser.add_argument("--site", required=True, help="name of the hospital that the files come from")
    add_workspace(parser)
    parser.add_argument("--contract", default="chest-radiograph", help="name of a shipped contract, or path of one")
    parser.add_argument(
        "--key-file", type=Path, help="key of the pseudonyms (default: $OSLER_KEY_FILE, else a new one)"
    )
    parser.add_argument(
        "--labels", type=Path, metavar="CSV", help="labels and de-identified reports by study_instance_uid"
    )
    add_engine(parser)
    _add_deid_options(parser)
    _add_server_options(parser)
    _add_listener_options(parser)


def _add_deid_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("de-identification")
    group.add_argument(
        "--burned-in",
        choices=["quarantine", "box", "strict", "unjudged"],
        default="quarantine",
        help="images with text in their pixels: refuse them, blank the text, refuse all that may have text too, or do not "
        "look (default: quarantine)",
    )
    group.add_argument(
        "--retain",
        action="append",
        default=[],
        choices=["device-identity", "patient-characteristics", "safe-private"],
        help="option of PS3.15 to keep more than the Basic Profile does; repeatable",
    )
    add_crosswalk(group, required=False)


def _add_server_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("DICOMweb and PACS")
    group.add_argument(
        "--query",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="take only studies that match, such as StudyDate=20240101-20241231 or ModalitiesInStudy=DX; repeatable",
    )
    group.add_argument("--refetch", action="store_true", help="fetch again what an earlier run has settled")
    group.add_argument("--login-file", type=Path, metavar="FILE", help="logins in the format of netrc, mode 0600")
    group.add_argument("--page", type=_positive, metavar="N", help="QIDO results asked for at a time (default: 200)")
    group.add_argument("--ca", type=Path, metavar="PEM", help="certificates to trust, for https and --tls")
    how = group.add_mutually_exclusive_group()
    how.add_argument("--move", dest="retrieve", action="store_const", const="move", help="fetch by C-MOVE")
    how.add_argument("--get", dest="retrieve", action="store_const", const="get", help="fetch by C-GET")
    group.add_argument("--title", help="our own AE title towards a PACS (default: OSLER)")
    group.add_argument(
        "--receive",
        metavar="[HOST:]PORT",
        help="where C-MOVE sends to, as the PACS has it for --title (default: 11112)",
    )


def _add_listener_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("listener, and TLS of PACS and listener")
    group.add_argument(
        "--caller", action="append", default=[], metavar="TITLE", help="AE title that may send to us; repeatable"
    )
    group.add_argument("--idle", type=_seconds, metavar="SECONDS", help="stop after so long without traffic")
    group.add_argument("--until", type=_positive, metavar="COUNT", help="stop after so many objects")
    group.add_argument("--tls", action="store_true", help="associations with TLS")
    group.add_argument("--certificate", type=Path, metavar="PEM", help="our own certificate")
    group.add_argument("--private-key", type=Path, metavar="PEM", help="its private key")


def run(arguments: argparse.Namespace) -> CommandResult:
    """Ingest, with progress on stderr."""
    from osler.deid import load_key
    from osler.deid.options import BurnedIn, Option, Profile
    from osler.ingest import ingest
    from osler.sources.opening import SourceOptions, check_options, open_source
    from osler.workspace import Workspace

    options = SourceOptions(
        query=parse_query(arguments.query),
        refetch=arguments.refetch,
        login_file=arguments.login_file,
        ca=arguments.ca,
        page=arguments.page,
        retrieve=arguments.retrieve,
        title=arguments.title,
        receive=parse_place(arguments.receive) if arguments.receive else None,
        tls=arguments.tls,
        certificate=arguments.certificate,
        private_key=arguments.private_key,
        callers=tuple(arguments.caller),
        idle_s=arguments.idle,
        until=arguments.until,
    )
    check_options(arguments.source, options)  # before a workspace is made for nothing
    engine = chosen_engine(arguments)
    workspace = Workspace.open(arguments.workspace, create=True)
    key = load_key(arguments.key_file, create=True, workspace=workspace.root)
    source = open_source(arguments.source, workspace=workspace, site=arguments.site, key=key, options=options)
    said = 0

    def progress(done: int, total: int | None) -> None:
        nonlocal said
        if done == total or done >= said + SAY_EVERY:
            said = done
            say(f"{done} files" if total is None else f"{done} of {total} files")

    summary = ingest(
        source,
        site=arguments.site,
        workspace=workspace,
        contract=arguments.contract,
        key=key,
        engine=engine,
        labels=arguments.labels,
        progress=progress,
        profile=Profile(BurnedIn(arguments.burned_in), frozenset(map(Option, arguments.retain))),
        crosswalk=chosen(arguments, workspace, create=True),
    )
    payload, lines = summary.to_dict(), summary.lines()
    known = getattr(source, "known", None)
    if known is not None:
        payload["known"] = known
        if known:
            lines.insert(0, f"{known} images were settled by an earlier run and not fetched again (--refetch does).")
            if not summary.received:
                payload["code"] = None
                lines = lines[:2]
    return CommandResult(payload, lines, summary.quarantined)


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise ValueError
    return value


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 < value < float("inf"):
        raise ValueError
    return value


_positive.__name__, _seconds.__name__ = "positive number", "number of seconds"  # argparse names them in its errors
