"""`osler knowledge propose | show | check`: a bank from a corpus, one concept of it, and its checks."""

from __future__ import annotations

import argparse
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from osler.cli.command import CommandResult, say
from osler.cli.knowledge.common import (
    INDEX_FOLDER,
    add_action,
    add_lexicon,
    bank_file,
    keep_sources,
    kept,
    load,
    load_lexicon,
)
from osler.cli.knowledge.proposers import add_report_arguments, add_server_arguments, open_talk, read_reports
from osler.cli.knowledge.search import open_index

if TYPE_CHECKING:
    from osler.banks import BankStore
    from osler_knowledge.bank import Concept, ConceptBank
    from osler_knowledge.propose import Proposed
    from osler_knowledge.retrieval import Searcher

_SIGNS = {1: "for", 0: "neither", -1: "against"}


def declare(actions: Any) -> None:
    """Declare the three actions."""
    propose = add_action(actions, "propose", "build a bank from a corpus", _propose)
    add_lexicon(propose)
    propose.add_argument("--index", metavar="NAME", help="an index of the workspace instead of the task's corpus")
    add_report_arguments(propose)
    add_server_arguments(propose)
    propose.add_argument("--out", type=Path, metavar="FILE", help="where to write the bank (default: in the workspace)")
    show = add_action(actions, "show", "show one concept: question, passage and prior", _show)
    show.add_argument("concept", metavar="CONCEPT")
    show.add_argument("--bank", type=Path, metavar="FILE", help="the bank (default: the workspace's, else a new one)")
    check = add_action(actions, "check", "check a bank against the lexicon and the corpus", _check)
    check.add_argument("bank", type=Path, metavar="BANK.json")
    add_lexicon(check)


def _propose(arguments: argparse.Namespace) -> CommandResult:
    from osler.banks import BankStore
    from osler.workspace import Workspace
    from osler_knowledge.history import now
    from osler_knowledge.propose import propose_bank
    from osler_knowledge.review import Reviewer

    store = None if arguments.out else BankStore(Workspace.open(arguments.workspace, create=True), arguments.task)
    lexicon, reports = load_lexicon(arguments), read_reports(arguments)
    retriever, source = _searcher(arguments, store)
    talk = open_talk(arguments, retriever, lexicon)
    begin = time.perf_counter()
    proposed = propose_bank(
        retriever,
        lexicon,
        propose=talk.propose if talk else None,
        prior_of=talk.prior if talk else None,
        reports=reports,
        task=arguments.task,
    )
    seconds = time.perf_counter() - begin
    if store is None:
        bank, path = proposed.bank, arguments.out
        path.parent.mkdir(parents=True, exist_ok=True)
        bank.save(path)
    else:
        fresh = _with_the_rest(proposed, store.load() if store.exists() else None)
        bank, path = store.propose(fresh, Reviewer("osler", now(), f"from {source}")), store.path
        keep_sources(arguments, store)
    evidence = sum(len(concept.prior) for concept in bank.concepts)
    payload = {"bank": str(path), "concepts": len(bank.concepts), "with_citation": len(proposed.bank.concepts)}
    payload |= {"digest": bank.digest, "source": source, "prior_values": evidence, "passages": proposed.passages}
    payload |= {"seconds": round(seconds, 2), "queries": proposed.queries, "dropped": _dropped(proposed)}
    payload |= {"contradictions": [list(pair) for pair in proposed.conflicts]}
    payload |= {"server": talk.payload(proposed)} if talk else {}
    lines = [
        f"{len(bank.concepts)} concepts, each with its passage, and {evidence} prior values: {path}",
        f"{proposed.queries} queries in {seconds:.1f} s; {proposed.passages} passages found at their places.",
        *_drop_lines(proposed),
        *(f"The text contradicts itself on {sign} and {finding}." for sign, finding in proposed.conflicts),
        *(talk.lines(proposed) if talk else []),
        _reviewed(retriever, proposed.bank),
    ]
    return CommandResult(payload, lines)


def _searcher(arguments: argparse.Namespace, store: BankStore | None) -> tuple[Searcher, str]:
    """Return the index that the arguments name, else that of the corpus, and what to call it."""
    from osler_knowledge.retrieval import Retriever

    if arguments.index:
        return open_index(arguments, arguments.index), f"the index {arguments.index}"
    corpus = load(arguments)
    source = f"{len(corpus.entries)} entries"
    say(f"Reading {source}.")
    if store is None:
        return Retriever(corpus), source
    return Retriever.open(corpus, store.workspace.knowledge / INDEX_FOLDER / arguments.task), source


def _with_the_rest(proposed: Proposed, held: ConceptBank | None) -> ConceptBank:
    """Return the new bank; where the proposer stopped early, what it did not come to is kept from the bank held."""
    fresh = proposed.bank
    if not proposed.stopped or held is None:
        return fresh
    rest = tuple(one for one in held.concepts if one.id not in fresh.ids)
    findings = tuple(dict.fromkeys((*fresh.findings, *held.findings)))
    return replace(fresh, concepts=(*fresh.concepts, *rest), findings=findings)


def _dropped(proposed: Proposed) -> list[dict[str, Any]]:
    """Return what was dropped, by reason: what it was, what it collided with, and how often."""
    drops = sorted(proposed.drops.items(), key=lambda one: (one[0].reason, one[0].name, one[0].detail))
    return [{"name": one.name, "reason": one.reason, "with": one.detail, "times": times} for one, times in drops]


def _drop_lines(proposed: Proposed) -> list[str]:
    """Return a line for each reason: how many were dropped, and which."""
    named: dict[str, dict[str, None]] = {}
    times: Counter[str] = Counter()
    for one in sorted(proposed.drops, key=lambda drop: (drop.name, drop.detail)):
        told = f"{one.name} ({one.detail})" if one.detail else one.name
        named.setdefault(one.reason, {})[told] = None
        times[one.reason] += proposed.drops[one]
    lines = []
    for reason, names in sorted(named.items()):
        told = ", ".join(name for name in names if name)
        lines.append(f"Dropped {times[reason]} times, {reason}" + (f": {told}" if told else "."))
    return lines


def _reviewed(retriever: Searcher, bank: ConceptBank) -> str:
    cited = {one.citation.entry for one in bank.concepts}
    missing = sum(not retriever.entry(one).clinically_reviewed for one in cited)
    return (
        f"Not clinically reviewed: {missing} of the {len(cited)} entries cited." if missing else "Clinically reviewed."
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

    bank = ConceptBank.load(arguments.bank)
    check_concepts(bank, load_lexicon(arguments))
    passages = check_citations(bank, load(arguments))
    payload = {"bank": bank.name, "version": bank.version, "concepts": len(bank.concepts), "passages": passages}
    payload["digest"] = bank.digest
    return CommandResult(
        payload, [f"The bank {bank.name!r} is sound: {len(bank.concepts)} concepts, {passages} passages."]
    )
