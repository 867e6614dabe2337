"""`osler knowledge annotate`: what a table of reports says of each concept, with the place of the words that say so."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from osler.cli.command import CommandResult, say
from osler.cli.knowledge.common import add_action, bank_file, kept
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

if TYPE_CHECKING:
    from osler.annotations import Sheet
    from osler_knowledge.annotate import Phrases
    from osler_knowledge.annotate_batch import Reader
    from osler_knowledge.report_table import BadRow, ReportTable

CACHE = "annotations.sqlite"
_MEANINGS = {
    Code.ANSWER_INVALID: "got no usable answer of the server",
    Code.SERVER_UNREACHABLE: "got no answer of the server",
    Code.ROW_EMPTY: "holds no report",
    Code.ROW_ENCODING: "is not in the table's encoding",
    Code.ROW_INVALID: "is not a row of the header's columns",
    Code.ROW_REPEATED: "has no identifier of its own",
}
_SHOWN = 10  # bad rows that a person is shown


def declare(actions: Any) -> None:
    """Declare the action."""
    parser = add_action(actions, "annotate", "read concepts from a table of reports", _annotate)
    parser.add_argument("reports", type=Path, metavar="REPORTS.csv")
    parser.add_argument(
        "--column", action="append", required=True, metavar="C", help="a column that holds report text; may be repeated"
    )
    parser.add_argument("--id-column", metavar="C", help="a column that names the report (default: the row's number)")
    parser.add_argument("--encoding", default="utf-8-sig", help="the table's encoding (default: UTF-8)")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="a .csv or .json file")
    parser.add_argument("--all", action="store_true", help="write a row too for what a report does not mention")
    phrases = parser.add_mutually_exclusive_group()
    phrases.add_argument(
        "--bank", type=Path, metavar="FILE", help="the bank (default: the workspace's, else a new one)"
    )
    phrases.add_argument(
        "--findings",
        metavar="LIST",
        help="findings instead: `lexicon`, a list that is shipped (chest-findings), or FILE",
    )

    server = parser.add_argument_group(
        "a language server instead of phrases and rules",
        "The reports leave this machine for the server that you name; its key, if any, is read from OSLER_LLM_KEY.",
    )
    server.add_argument("--llm", metavar="URL", help="a server with the OpenAI chat protocol: http://localhost:8000/v1")
    server.add_argument("--model", metavar="NAME", help="the model's name on that server")
    server.add_argument("--budget-calls", type=int, metavar="N", help="send at most N requests, retries included")
    server.add_argument("--budget-tokens", type=int, metavar="N", help="stop once N tokens are used")


def _annotate(arguments: argparse.Namespace) -> CommandResult:
    from osler.annotations import write_sheet
    from osler.workspace import Workspace
    from osler_knowledge.report_table import ReportTable

    phrases = _phrases(arguments)
    reader = _reader(arguments, phrases)
    workspace = Workspace.open(arguments.workspace, create=True)
    table = ReportTable(arguments.reports, arguments.column, arguments.id_column, arguments.encoding)
    sheet = write_sheet(
        _told(table),
        reader,
        arguments.out,
        columns=table.columns,
        concepts=tuple(phrases),
        every=arguments.all,
        cache=workspace.knowledge / CACHE,
    )
    return _result(sheet, reader, arguments.out)


def _told(table: ReportTable) -> Iterator[Any]:
    for number, row in enumerate(table, start=1):
        if number % 10_000 == 0:
            say(f"{number} rows")
        yield row


def _phrases(arguments: argparse.Namespace) -> dict[str, Phrases]:
    """Return what to look for: a list of findings where one is named, else the concepts of the bank."""
    from osler_knowledge.annotate import phrases_of
    from osler_knowledge.bank import ConceptBank
    from osler_knowledge.lexicon import starter_lexicon
    from osler_knowledge.propose import build_bank
    from osler_knowledge.report_findings import finding_lists, load_findings, report_findings

    if arguments.findings == "lexicon":
        return phrases_of(starter_lexicon(arguments.task).findings)
    if arguments.findings:
        shipped = arguments.findings in finding_lists()
        return report_findings(arguments.findings) if shipped else load_findings(Path(arguments.findings))
    stored = kept(arguments, bank_file(arguments.task))
    path: Path | None = arguments.bank or (stored if stored and stored.is_file() else None)
    return phrases_of((ConceptBank.load(path) if path else build_bank(task=arguments.task)).concepts)


def _reader(arguments: argparse.Namespace, phrases: dict[str, Phrases]) -> Reader:
    """Return the server that the arguments name, else the phrases.

    Raises:
        OslerError: `usage` where the options do not fit together.
    """
    if not arguments.llm:
        if arguments.model or arguments.budget_calls or arguments.budget_tokens:
            raise _usage("--model, --budget-calls and --budget-tokens speak of a server, and none is named.")
        from osler_knowledge.annotate_batch import PhraseReader

        return PhraseReader(phrases)
    if not arguments.model:
        raise _usage("--llm names a server, and --model is missing.")
    from osler_knowledge.llm.annotator import ServerReader
    from osler_knowledge.llm.client import Client
    from osler_knowledge.llm.server import Budget, Server, find_key

    server = Server(arguments.llm, arguments.model, find_key())
    say(f"Reports go to {server.host}.")
    budget = Budget(arguments.budget_calls, arguments.budget_tokens)
    return ServerReader(Client(server, budget), {key: key.replace("_", " ") for key in phrases})


def _usage(message: str) -> OslerError:
    return OslerError(Code.USAGE, message, "Run `osler knowledge annotate --help`.")


def _result(sheet: Sheet, reader: Reader, out: Path) -> CommandResult:
    payload = {
        "reports": sheet.reports,
        "kept_from_before": sheet.kept,
        "states": dict(sheet.states),
        "bad_rows": [{"row": one.row, "code": str(one.code)} for one in sheet.bad],
        "out": str(out),
    }
    dropped = dict(sorted(getattr(reader, "drops", {}).items()))
    payload |= {"dropped": dropped} if dropped else {}
    told = ", ".join(f"{count} {state}" for state, count in sheet.states.items())
    lines = [f"{sheet.reports} reports ({sheet.kept} read before): {told or 'nothing mentioned'}: {out}"]
    lines += [f"{count} statements of the server dropped: {reason}." for reason, count in dropped.items()]
    return CommandResult(payload, lines + _bad_lines(sheet.bad), refused=len(sheet.bad))


def _bad_lines(bad: list[BadRow]) -> list[str]:
    lines = [f"Row {one.row} {_MEANINGS.get(one.code, 'was not read')} [{one.code}]." for one in bad[:_SHOWN]]
    if len(bad) > _SHOWN:
        counts = Counter(str(one.code) for one in bad)
        lines.append(f"{len(bad)} rows left out: " + ", ".join(f"{n} {code}" for code, n in sorted(counts.items())))
    return lines
