"""`osler knowledge index | search`: make text of any size searchable, and show passages in their place."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from osler.cli.command import CommandResult, say
from osler.cli.knowledge.common import INDEX_FOLDER, add_action, kept, load

if TYPE_CHECKING:
    from osler_knowledge.corpus import Entry
    from osler_knowledge.index.search import DiskIndex
    from osler_knowledge.readers.base import Options
    from osler_knowledge.readers.read import Tally
    from osler_knowledge.retrieval import Hit, Searcher

# Indexes that a user names stand apart from those that Osler keeps of a task's own corpus.
NAMED_FOLDER = "indexes"
_SAY_EVERY = 50_000


def declare(actions: Any) -> None:
    """Declare the two actions."""
    index = add_action(actions, "index", "index text: PubMed, JATS, JSON lines, Markdown, text, PDF, CSV", _index)
    index.add_argument("sources", nargs="+", type=Path, metavar="SOURCE", help="a file, or a folder of files")
    index.add_argument("--name", required=True, metavar="NAME", help="what the index is called in the workspace")
    index.add_argument("--format", default="auto", metavar="FORMAT", help="of all files (default: by name and content)")
    index.add_argument(
        "--column", action="append", default=[], metavar="NAME", help="column of text in a CSV; again for more"
    )
    index.add_argument("--id-column", metavar="NAME", help="column that identifies a row (default: id, uid or pmid)")
    index.add_argument("--licence", default="", metavar="TEXT", help="licence of documents that state none")
    index.add_argument("--edition", default="", metavar="TEXT", help="edition or date of documents that state none")
    _add_dense(index)
    search = add_action(actions, "search", "search the task's corpus or an index", _search)
    search.add_argument("query", metavar="QUERY")
    search.add_argument("--index", metavar="NAME", help="an index of the workspace (default: the task's corpus)")
    search.add_argument("-k", type=int, default=5, help="number of passages (default: 5)")
    _add_dense(search)


def _add_dense(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--dense", type=Path, metavar="DIR", help="a local sentence-transformers model: vectors beside BM25"
    )


def index_folder(arguments: argparse.Namespace, name: str) -> Path:
    """Return the folder of a named index of the workspace, whether it is there or not.

    Raises:
        OslerError: `usage` where the name is not a plain word, `workspace-invalid`.
    """
    from osler.workspace import Workspace
    from osler_contracts.codes import Code
    from osler_contracts.errors import OslerError

    if not name.replace("-", "").replace("_", "").isalnum():
        raise OslerError(
            Code.USAGE, "The name of an index has letters, digits, hyphens and underscores.", "Choose another."
        )
    return Workspace.open(arguments.workspace).knowledge / NAMED_FOLDER / name


def open_index(arguments: argparse.Namespace, name: str) -> DiskIndex:
    """Open a named index of the workspace.

    Raises:
        OslerError: `unknown-index`, `index-invalid`, and as `index_folder`.
    """
    from osler_contracts.codes import Code
    from osler_contracts.errors import OslerError
    from osler_knowledge.index.search import DiskIndex

    folder = index_folder(arguments, name)
    if not folder.is_dir():
        there = sorted(one.name for one in folder.parent.glob("[!.]*") if one.is_dir())
        raise OslerError(
            Code.UNKNOWN_INDEX,
            f"The workspace has no index {name!r}; it has: {', '.join(there) or 'none'}.",
            "Build it with `osler knowledge index`.",
        )
    dense: Path | None = getattr(arguments, "dense", None)
    name_of_model = dense.name if dense else ""
    return DiskIndex(folder, encoder=_encoder(dense), encoder_name=name_of_model, compiled=False)


def _encoder(folder: Path | None) -> Any:
    from osler_knowledge.index.dense import sentence_transformer

    return sentence_transformer(folder) if folder else None


def _index(arguments: argparse.Namespace) -> CommandResult:
    from osler.workspace import Workspace
    from osler_knowledge.index.build import build_index
    from osler_knowledge.readers.read import Tally, read

    options = _options(arguments)
    Workspace.open(arguments.workspace, create=True)
    folder, tally, dense = index_folder(arguments, arguments.name), Tally(), arguments.dense
    entries = _counted(tally.accepted(read(arguments.sources, options, arguments.format)))
    marker = build_index(
        entries, folder, tally=tally, encoder=_encoder(dense), encoder_name=dense.name if dense else ""
    )
    payload = {"index": str(folder), "entries": marker.entries, "snippets": marker.snippets, "terms": marker.terms}
    payload |= {"corpus": marker.corpus, "refused": tally.total}
    payload["refusals"] = {
        str(code): {"count": tally.counts[code], "first": tally.first[code]} for code in tally.counts
    }
    line = f"{marker.entries} documents, {marker.snippets} passages: {folder}"
    return CommandResult(payload, [line, *_told(tally)], refused=tally.total)


def _options(arguments: argparse.Namespace) -> Options:
    from osler_contracts.codes import Code
    from osler_contracts.errors import OslerError
    from osler_knowledge.readers.base import Options
    from osler_knowledge.readers.read import AUTO, FORMATS

    if arguments.format not in (AUTO, *FORMATS):
        raise OslerError(Code.USAGE, f"Formats: {', '.join((AUTO, *FORMATS))}.", "Name one of them with --format.")
    return Options(
        licence=arguments.licence,
        edition=arguments.edition,
        columns=tuple(arguments.column),
        id_column=arguments.id_column,
    )


def _counted(entries: Iterable[Entry]) -> Iterator[Entry]:
    for number, entry in enumerate(entries, 1):
        if number % _SAY_EVERY == 0:
            say(f"{number} documents read.")
        yield entry


def _told(tally: Tally) -> list[str]:
    lines = []
    for code, count in sorted(tally.counts.items()):
        lines += [f"refused {count}: {code}", *(f"  {name}" for name in tally.first[code])]
    return lines


def _search(arguments: argparse.Namespace) -> CommandResult:
    searcher: Searcher = open_index(arguments, arguments.index) if arguments.index else _of_task(arguments)
    hits = searcher.search(arguments.query, arguments.k)
    records = [_record(hit, searcher.entry(hit.snippet.entry)) for hit in hits]
    lines = [line for record in records for line in _shown(record)]
    return CommandResult(
        {"query": arguments.query, "hits": records}, lines or ["Nothing shares a word with the query."]
    )


def _of_task(arguments: argparse.Namespace) -> Searcher:
    from osler_knowledge.retrieval import Retriever

    corpus, folder = load(arguments), kept(arguments, INDEX_FOLDER, arguments.task)
    return Retriever.open(corpus, folder) if folder else Retriever(corpus)


def _record(hit: Hit, entry: Entry) -> dict[str, Any]:
    snippet = hit.snippet
    return {
        "entry": entry.id,
        "title": entry.title,
        "section": snippet.section,
        "edition": entry.edition,
        "licence": entry.licence,
        "source": entry.source,
        "references": list(entry.references),
        "start": snippet.start,
        "end": snippet.end,
        "score": round(hit.score, 4),
        "passage": snippet.text,
    }


def _shown(record: dict[str, Any]) -> list[str]:
    place = [
        record["title"] or record["entry"],
        record["section"],
        record["edition"],
        record["licence"] or "licence not stated",
    ]
    where = f"[{record['entry']}, characters {record['start']} to {record['end']}]"
    return [f"{record['score']:8.4f}  {' | '.join(one for one in place if one)}  {where}", f'  "{record["passage"]}"']
