"""Build an index on disk from a stream of documents, in memory that does not grow with the corpus."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from osler_contracts.codes import Code
from osler_contracts.errors import OslerError
from osler_knowledge.corpus import Entry, Snippet, entry_record
from osler_knowledge.index.dense import Encoder, VectorWriter
from osler_knowledge.index.documents import DocumentWriter
from osler_knowledge.index.layout import Marker, replacing, write_marker
from osler_knowledge.index.postings import PostingsWriter
from osler_knowledge.passages import passages
from osler_knowledge.readers.base import Refusal
from osler_knowledge.readers.read import Tally
from osler_knowledge.retrieval import searched

SCRATCH = "scratch"
_DUPLICATE = "A document with the same identifier was read before."


def build_index(
    entries: Iterable[Entry],
    target: Path,
    *,
    tally: Tally | None = None,
    encoder: Encoder | None = None,
    encoder_name: str = "",
    cut: Callable[[Entry], Iterator[Snippet]] = passages,
    progress: Callable[[int], None] = lambda _: None,
) -> Marker:
    """Build an index and put it in its place as a whole.

    Args:
        entries: The documents; the second of two with one identifier is refused.
        target: Folder of the index; an index that is there is replaced when the new one is finished.
        tally: Where refusals are counted.
        encoder: Makes vectors of passages, for dense retrieval beside BM25; none by default.
        encoder_name: What to call it; an index is only searched with vectors from an encoder of the same name.
        cut: Cuts a document into passages.
        progress: Told the number of documents after each.

    Raises:
        OslerError: `empty-source` where nothing could be indexed, `workspace-occupied`, `index-invalid` where something
            else is in the target's place. No index is left then, and the former one stays.
    """
    tally = Tally() if tally is None else tally
    with replacing(target) as folder:
        scratch = folder / SCRATCH
        scratch.mkdir()
        digest = hashlib.sha256()
        postings = PostingsWriter(folder, scratch)
        vectors = VectorWriter(folder, encoder) if encoder else None
        with DocumentWriter(folder) as documents:
            for entry in entries:
                snippets = documents.add(entry, cut(entry))
                if snippets is None:
                    tally.add(Refusal(entry.source or "a document", Code.DOCUMENT_DUPLICATE, _DUPLICATE))
                    continue
                digest.update(json.dumps(entry_record(entry)).encode() + b"\n")
                for snippet in snippets:
                    text = searched(entry.title, snippet.text)
                    postings.add(text)
                    if vectors:
                        vectors.add(text)
                progress(documents.entries)
            if documents.snippets == 0:
                raise _nothing(tally)
            documents.add_terms(postings.vocabulary)
        postings.finish()
        if vectors:
            vectors.finish()
        shutil.rmtree(scratch)
        return write_marker(
            folder,
            corpus=digest.hexdigest(),
            entries=documents.entries,
            snippets=documents.snippets,
            terms=len(postings.vocabulary),
            encoder=encoder_name if encoder else "",
        )


def _nothing(tally: Tally) -> OslerError:
    why = ", ".join(f"{count} {code}" for code, count in sorted(tally.counts.items())) or "nothing"
    return OslerError(
        Code.EMPTY_SOURCE, f"Nothing could be indexed; refused: {why}.", "Look at the files, at --format and --column."
    )
