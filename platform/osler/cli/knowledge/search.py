"""`osler knowledge search`: passages of the corpus."""

from __future__ import annotations

import argparse
from typing import Any

from osler.cli.command import CommandResult
from osler.cli.knowledge.common import INDEX_FOLDER, add_action, kept, load


def declare(actions: Any) -> None:
    """Declare the action."""
    search = add_action(actions, "search", "search the corpus", _search)
    search.add_argument("query", metavar="QUERY")
    search.add_argument("-k", type=int, default=5, help="number of passages (default: 5)")


def _search(arguments: argparse.Namespace) -> CommandResult:
    from osler_knowledge.retrieval import Retriever

    corpus, folder = load(arguments), kept(arguments, INDEX_FOLDER, arguments.task)
    retriever = Retriever.open(corpus, folder) if folder else Retriever(corpus)
    hits = retriever.search(arguments.query, arguments.k)
    records = [{"entry": hit.snippet.entry, "score": round(hit.score, 4), "passage": hit.snippet.text} for hit in hits]
    lines = [f"{hit.score:6.2f}  {hit.snippet.entry}: {hit.snippet.text}" for hit in hits]
    return CommandResult(
        {"query": arguments.query, "hits": records}, lines or ["Nothing shares a word with the query."]
    )
