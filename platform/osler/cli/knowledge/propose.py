"""`osler knowledge propose | show | check`: a bank from a corpus, one concept of it, and its checks."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from osler.cli.command import CommandResult, say
from osler.cli.knowledge.common import INDEX_FOLDER, add_action, bank_file, kept, load

if TYPE_CHECKING:
    from osler_knowledge.bank import Concept, ConceptBank
    from osler_knowledge.corpus import Corpus

_SIGNS = {1: "for", 0: "neither", -1: "against"}


def declare(actions: Any) -> None:
    """Declare the three actions."""
    propose = add_action(actions, "propose", "build a bank from a corpus", _propose)
    propose.add_argument("--out", type=Path, metavar="FILE", help="where to write the bank (default: in the workspace)")
    show = add_action(actions, "show", "show one concept: question, passage and prior", _show)
    show.add_argument("concept", metavar="CONCEPT")
    show.add_argument("--bank", type=Path, metavar="FILE", help="the bank (default: the workspace's, else a new one)")
    check = add_action(actions, "check", "check a bank against the lexicon and the corpus", _check)
    check.add_argument("bank", type=Path, metavar="BANK.json")


def _propose(arguments: argparse.Namespace) -> CommandResult:
    from osler.workspace import Workspace
    from osler_knowledge.propose import build_bank
    from osler_knowledge.retrieval import Retriever

    corpus = load(arguments)
    say(f"Reading {len(corpus.entries)} entries.")
    if arguments.out:
        bank, path = build_bank(corpus, task=arguments.task), arguments.out
        path.parent.mkdir(parents=True, exist_ok=True)
    else:
        folder = Workspace.open(arguments.workspace, create=True).knowledge
        bank, path = (
            build_bank(retriever=Retriever.open(corpus, folder / INDEX_FOLDER / arguments.task), task=arguments.task),
            folder / bank_file(arguments.task),
        )
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


def _show(arguments: argparse.Namespace) -> CommandResult:
    from dataclasses import asdict

    concept = _bank_to_show(arguments).concept(arguments.concept)
    return CommandResult(asdict(concept), _lines(concept))


def _bank_to_show(arguments: argparse.Namespace) -> ConceptBank:
    """Return the bank that is named, else the workspace's, else a new one."""
    from osler_knowledge.bank import ConceptBank
    from osler_knowledge.propose import build_bank

    stored = None if arguments.corpus else kept(arguments, bank_file(arguments.task))
    path: Path | None = arguments.bank or (stored if stored and stored.is_file() else None)
    return ConceptBank.load(path) if path else build_bank(load(arguments), task=arguments.task)


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
    check_concepts(bank, starter_lexicon(arguments.task))
    passages = check_citations(bank, load(arguments))
    payload = {"bank": bank.name, "version": bank.version, "concepts": len(bank.concepts), "passages": passages}
    payload["digest"] = bank.digest
    return CommandResult(
        payload, [f"The bank {bank.name!r} is sound: {len(bank.concepts)} concepts, {passages} passages."]
    )
