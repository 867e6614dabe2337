"""Which proposer `osler knowledge propose` uses: the offline one, or a language server that the user names."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from osler.cli.command import say
from osler.cli.knowledge.common import load_lexicon
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

if TYPE_CHECKING:
    from osler_knowledge.lexicon import Lexicon
    from osler_knowledge.llm.client import Client
    from osler_knowledge.llm.prior import ServerPrior
    from osler_knowledge.llm.proposer import ServerProposer
    from osler_knowledge.propose import Proposed, ReportSample
    from osler_knowledge.retrieval import Searcher

LOG_FOLDER = "llm"


def add_server_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options that name a language server."""
    server = parser.add_argument_group(
        "a language server instead of the offline proposer",
        "Passages of the corpus leave this machine for the server that you name; its key, if any, is read from"
        " OSLER_LLM_KEY.",
    )
    server.add_argument("--llm", metavar="URL", help="a server with the OpenAI chat protocol: http://localhost:8000/v1")
    server.add_argument("--model", metavar="NAME", help="the model's name on that server")
    server.add_argument("--budget-calls", type=int, metavar="N", help="send at most N requests, retries included")
    server.add_argument("--budget-tokens", type=int, metavar="N", help="stop once N tokens are used")
    server.add_argument("--cache", type=Path, metavar="DIR", help="where answers are kept (default: in the workspace)")


@dataclass(frozen=True)
class Talk:
    """A conversation with a server, as proposer and as source of priors."""

    client: Client
    propose: ServerProposer
    prior: ServerPrior
    log: Path

    def payload(self, proposed: Proposed) -> dict[str, Any]:
        """Return what the conversation came to."""
        budget = self.client.budget
        return {
            "server": self.client.server.host,
            "model": self.client.server.model,
            "requests": budget.spent_calls,
            "tokens": budget.spent_tokens,
            "answers": dict(sorted(self.client.asked.items())),
            "faults": dict(sorted(self.client.faults.items())),
            "prior_values_dropped": {str(reason): count for reason, count in sorted(self.prior.drops.items())},
            "log": str(self.log),
            "stopped": proposed.stopped or self.prior.stopped,
        }

    def lines(self, proposed: Proposed) -> list[str]:
        """Return the same for a person."""
        asked, budget = self.client.asked, self.client.budget
        told = (
            f"{self.client.server.host} answered {asked['server']} questions, {asked['cache']} answers were kept from"
            f" before, {asked['none']} questions had no usable answer: {budget.spent_calls} requests,"
            f" {budget.spent_tokens} tokens. Log: {self.log}"
        )
        lines = [told]
        lines += [f"  {count} x {reason}" for reason, count in self.client.faults.most_common()]
        lines += [f"  {count} prior values dropped: {reason}" for reason, count in self.prior.drops.most_common()]
        stopped = proposed.stopped or self.prior.stopped
        return [*lines, f"Stopped early. {stopped}"] if stopped else lines


def open_talk(arguments: argparse.Namespace, retriever: Searcher, lexicon: Lexicon) -> Talk | None:
    """Return the conversation that the arguments ask for, None for the offline proposer.

    Raises:
        OslerError: `usage` where the options do not fit together.
    """
    if not arguments.llm:
        if arguments.model or arguments.budget_calls or arguments.budget_tokens or arguments.cache:
            raise _usage("--model, --budget-calls, --budget-tokens and --cache speak of a server, and none is named.")
        return None
    if not arguments.model:
        raise _usage("--llm names a server, and --model is missing.")
    from osler.workspace import Workspace
    from osler_knowledge.llm.client import Client
    from osler_knowledge.llm.prior import ServerPrior
    from osler_knowledge.llm.proposer import ServerProposer
    from osler_knowledge.llm.server import Budget, Server, find_key
    from osler_knowledge.llm.store import AnswerCache, Journal

    workspace = Workspace.open(arguments.workspace, create=True)
    server = Server(arguments.llm, arguments.model, find_key())
    log = workspace.knowledge / LOG_FOLDER / f"{arguments.task}.jsonl"
    client = Client(
        server,
        Budget(arguments.budget_calls, arguments.budget_tokens),
        AnswerCache(arguments.cache or workspace.cache / LOG_FOLDER),
        Journal(log, server.key),
    )
    say(f"Passages of the corpus go to {server.host}.")
    proposer = ServerProposer(client, load_lexicon(arguments))
    return Talk(client, proposer, ServerPrior(proposer, retriever), log)


def add_report_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options that name reports in which concepts have to occur."""
    parser.add_argument(
        "--reports",
        type=Path,
        metavar="FILE.csv",
        help="keep only concepts that 10%% to 90%% of 100 reports each assert",
    )
    parser.add_argument(
        "--column",
        action="append",
        default=[],
        metavar="C",
        help="a column of --reports that holds text; again for more",
    )


def read_reports(arguments: argparse.Namespace) -> ReportSample | None:
    """Return the reports that the arguments name, None where they name none; rows that cannot be read are told.

    Raises:
        OslerError: `usage` without a column, `table-invalid`, `unreadable`, `support-insufficient`.
    """
    if not arguments.reports:
        if arguments.column:
            raise _usage("--column names a column of --reports, which is missing.")
        return None
    if not arguments.column:
        raise _usage("--reports names a table, and --column is missing.")
    from osler_knowledge.propose import ReportSample
    from osler_knowledge.report_table import Report, ReportTable

    rows = list(ReportTable(arguments.reports, arguments.column))
    texts = [row.text for row in rows if isinstance(row, Report)]
    say(f"{len(texts)} reports, {len(rows) - len(texts)} rows that cannot be read.")
    return ReportSample(texts)


def _usage(message: str) -> OslerError:
    return OslerError(Code.USAGE, message, "Run `osler knowledge propose --help`.")
