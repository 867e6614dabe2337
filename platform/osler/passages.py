"""Where the passages of a bank stand: in the user's own entries, in the shipped ones, or in an index of the workspace."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from functools import cached_property

from osler.banks import BankStore
from osler_contracts.errors import OslerError
from osler_knowledge.concept import Citation
from osler_knowledge.corpus import Corpus, Entry, load_corpus
from osler_knowledge.in_place import AROUND, InPlace, in_place
from osler_knowledge.index.documents import DocumentReader

INDEXES = "indexes"


class PassageFinder:
    """Finds the entries that a bank cites.

    Args:
        store: The bank.
        corpus: Entries to look in first, where the user names some.
    """

    def __init__(self, store: BankStore, corpus: Corpus | None = None) -> None:
        self._store = store
        self._named = corpus

    def place(self, citation: Citation, around: int = AROUND) -> InPlace:
        """Return a passage with the text around it; without the text where nothing at hand has the passage."""
        return in_place(citation, self._entries(citation.entry), around)

    @cached_property
    def _corpora(self) -> list[Corpus]:
        found = [self._named] if self._named else []
        own = self._store.own_corpus
        for folder in ([own] if own.is_dir() else []) + [None]:
            try:
                found.append(load_corpus(folder, self._store.task))
            except OslerError:
                continue  # entries that cannot be read, or a task for which none are shipped
        return found

    def _entries(self, entry_id: str) -> Iterator[Entry]:
        for corpus in self._corpora:
            if entry_id in corpus.by_id:
                yield corpus.by_id[entry_id]
        for folder in sorted(self._store.workspace.knowledge.joinpath(INDEXES).glob("[!.]*")):
            try:
                reader = DocumentReader(folder)
            except (OSError, sqlite3.Error):
                continue  # no index, or a damaged one: searching in it says so
            try:
                entry = reader.entry(entry_id)
            except (OSError, sqlite3.Error, ValueError, KeyError, TypeError):
                entry = None
            finally:
                reader.close()
            if entry is not None:
                yield entry
