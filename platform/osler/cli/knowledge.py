"""`osler knowledge`: build a concept bank from medical text, search the text, show a concept, check a bank."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from osler.cli.command import CommandResult, add_workspace, say

if TYPE_CHECKING:
    from osler_knowledge.bank import Concept, ConceptBank
    from osler_knowledge.corpus import Corpus

SUMMARY = "build a concept bank from medical text; search, show and check it"
BANK_FILE = "bank.json"
INDEX_FOLDER = "index"
_SIGNS = {1: "for", 0: "neither", -1: "against"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the four actions."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    build = _action(actions, "build", "build a bank from a corpus")
    build.add_argument("--out", type=Path, metavar="FILE", help="where to write the bank (default: in the workspace)")
    search = _action(actions, "search", "search the corpus")
    search.add_argument("query", metavar="QUERY")
    search.add_argument("-k", type=int, default=5, help="number of passages (default: 5)")
    show = _action(actions, "show", "show one concept: question, passage and prior")
    show.add_argument("concept", metavar="CONCEPT")
    show.add_argument("--bank", type=Path, metavar="FILE", help="the bank (default: the workspace's, else a new one)")
    check = _action(actions, "check", "check a bank against the lexicon and the corpus")
    check.add_argument("bank", type=Path, metavar="BANK.json")


def _action(actions: Any, name: str, summary: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = actions.add_parser(name, help=summary, description=summary)
    add_workspace(parser)
    parser.add_argument("--corpus", type=Path, metavar="DIR", help="Markdown entries (default: the starter corpus)")
    return parser


def run(arguments: argparse.Namespace) -> CommandResult:
    """Run one action."""
    return {"build": _build, "search": _search, "show": _show, "check": _check}[arguments.action](arguments)


def _corpus(arguments: argparse.Namespace) -> Corpus:
    from osler_knowledge.corpus import load_corpus

    return load_corpus(arguments.corpus)


def _kept(arguments: argparse.Namespace, name: str) -> Path | None:
    """Return the path of what the workspace keeps under `name`, or None where there is no workspace."""
    from osler.workspace import MARKER, Workspace

    root: Path = arguments.workspace
    return Workspace.open(root).knowledge / name if (root / MARKER).is_file() else None


def _build(arguments: argparse.Namespace) -> CommandResult:
    from osler.workspace import Workspace
    from osler_knowledge.propose import build_bank
    from osler_knowledge.retrieval import Retriever

    corpus = _corpus(arguments)
    say(f"Reading {len(corpus.entries)} entries.")
    if arguments.out:
        bank, path = build_bank(corpus), arguments.out
        path.parent.mkdir(parents=True, exist_ok=True)
    else:
        folder = Workspace.open(arguments.workspace, create=True).knowledge
        bank, path = build_bank(retriever=Retriever.open(corpus, folder / INDEX_FOLDER)), folder / BANK_FILE
    bank.save(path)
    evidence = sum(len(concept.prior) for concept in bank.concepts)
    payload = {"bank": str(path), "concepts": len(bank.concepts), "with_citation": len(bank.concepts)}
    payload |= {"digest": bank.digest, "entries": len(corpus.entries), "prior_values": evidence}
    line = f"{len(bank.concepts)} concepts, each with its passage, and {evidence} prior values: {path}"
    return CommandResult(payload, [line, _reviewed(corpus)])


def _reviewed(corpus: Corpus) -> str:
    missing = sum(not entry.clinically_reviewed for entry in corpus.entries)
    return (
        f"Not clinically reviewed: {missing} of {len(corpus.entries)} entries." if missing else "Clinically reviewed."
    )


def _search(arguments: argparse.Namespace) -> CommandResult:
    from osler_knowledge.retrieval import Retriever

    corpus, folder = _corpus(arguments), _kept(arguments, INDEX_FOLDER)
    retriever = Retriever.open(corpus, folder) if folder else Retriever(corpus)
    hits = retriever.search(arguments.query, arguments.k)
    records = [{"entry": hit.snippet.entry, "score": round(hit.score, 4), "passage": hit.snippet.text} for hit in hits]
    lines = [f"{hit.score:6.2f}  {hit.snippet.entry}: {hit.snippet.text}" for hit in hits]
    return CommandResult(
        {"query": arguments.query, "hits": records}, lines or ["Nothing shares a word with the query."]
    )


def _show(arguments: argparse.Namespace) -> CommandResult:
    from dataclasses import asdict

    concept = _bank_to_show(arguments).concept(arguments.concept)
    return CommandResult(asdict(concept), _lines(concept))


def _bank_to_show(arguments: argparse.Namespace) -> ConceptBank:
    """Return the bank that is named, else the workspace's, else a new one."""
    from osler_knowledge.bank import ConceptBank
    from osler_knowledge.propose import build_bank

    kept = None if arguments.corpus else _kept(arguments, BANK_FILE)
    path: Path | None = arguments.bank or (kept if kept and kept.is_file() else None)
    return ConceptBank.load(path) if path else build_bank(_corpus(arguments))


def _lines(concept: Concept) -> list[str]:
    lines = [f"{concept.name} ({concept.status}; {concept.region})", concept.question]
    lines += [f'  "{concept.citation.passage}"', f"  {concept.citation.title} [{concept.citation.entry}]"]
    lines += [f"  {reference}" for reference in concept.citation.references]
    for finding, one in concept.prior.items():
        passage = f': "{one.citation.passage}"' if one.citation else ""
        lines.append(f"{_SIGNS[one.value]:>8} {finding} ({one.confidence:.2f}){passage}")
    return lines


def _check(arguments: argparse.Namespace) -> CommandResult:
    from osler_knowledge.bank import ConceptBank
    from osler_knowledge.check import check_citations, check_concepts
    from osler_knowledge.lexicon import starter_lexicon

    bank = ConceptBank.load(arguments.bank)
    check_concepts(bank, starter_lexicon())
    passages = check_citations(bank, _corpus(arguments))
    payload = {"bank": bank.name, "version": bank.version, "concepts": len(bank.concepts), "passages": passages}
    payload["digest"] = bank.digest
    return CommandResult(
        payload, [f"The bank {bank.name!r} is sound: {len(bank.concepts)} concepts, {passages} passages."]
    )
