"""How well are findings read from reports: precision, recall and F1 of annotators against a reference, with intervals.

Three readers share the same keywords: plain matching, a negation library as it comes, and Osler's annotator.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from negspacy.negation import Negex
from numpy.typing import NDArray
from spacy.tokens import Span

from osler.bottleneck.records import Array
from osler_knowledge.annotate import Annotator, Mention, Phrases
from osler_knowledge.language import PhraseFinder, blank_english
from osler_training.evaluate.bootstrap import Estimate

Flags = NDArray[np.bool_]
Reader = Callable[[Sequence[str], Mapping[str, Phrases]], Flags]
_SPANS = "keywords"


def read_keywords(texts: Sequence[str], phrases: Mapping[str, Phrases]) -> Flags:
    """Return which report holds a keyword of which finding (n, F)."""
    nlp = blank_english()
    finder = PhraseFinder(nlp, {key: one.terms for key, one in phrases.items()})
    found = [{one.key for one in finder(doc)} for doc in nlp.pipe(texts)]
    return np.array([[key in keys for key in phrases] for keys in found], bool)


def read_with_negation_library(texts: Sequence[str], phrases: Mapping[str, Phrases]) -> Flags:
    """Return which report holds a keyword that negspacy, with its own term set, does not call negated (n, F)."""
    nlp = blank_english()
    finder = PhraseFinder(nlp, {key: one.terms for key, one in phrases.items()})
    negex = Negex(nlp, "library", _default_terms(), extension_name="library_negated", span_keys=[_SPANS])
    rows = []
    for doc in nlp.pipe(texts):
        doc.spans[_SPANS] = [Span(doc, one.head, one.end, label=one.key) for one in finder(doc)]
        asserted = {span.label_ for span in negex(doc).spans[_SPANS] if not span._.library_negated}
        rows.append([key in asserted for key in phrases])
    return np.array(rows, bool)


def _default_terms() -> dict[str, list[str]]:
    from negspacy.negation import default_ts

    return {kind: list(terms) for kind, terms in default_ts.items()}


def read_with_osler(texts: Sequence[str], phrases: Mapping[str, Phrases]) -> Flags:
    """Return which report asserts which finding, or doubts it but leans towards it (n, F)."""
    return _read(texts, phrases, asserted)


def read_with_every_doubt(texts: Sequence[str], phrases: Mapping[str, Phrases]) -> Flags:
    """Return which report asserts or doubts which finding (n, F)."""
    return _read(texts, phrases, lambda mention: mention is not None and mention.state != "absent")


def read_without_doubt(texts: Sequence[str], phrases: Mapping[str, Phrases]) -> Flags:
    """Return which report asserts which finding without doubt (n, F)."""
    return _read(texts, phrases, lambda mention: mention is not None and mention.state == "present")


def _read(texts: Sequence[str], phrases: Mapping[str, Phrases], counts: Callable[[Mention | None], bool]) -> Flags:
    mentions = Annotator(phrases)(texts)
    return np.array([[counts(one.get(key)) for key in phrases] for one in mentions], bool)


def asserted(mention: Mention | None) -> bool:
    """Say whether a mention is one that an indexer would record: present, or doubted as probable."""
    return mention is not None and (mention.state == "present" or mention.doubt == "probable")


READERS: Mapping[str, Reader] = {
    "keywords": read_keywords,
    "negation library": read_with_negation_library,
    "osler": read_with_osler,
}
# The same annotator where doubts of both grades count, and where none does.
VARIANTS: Mapping[str, Reader] = {
    "osler, every doubt": read_with_every_doubt,
    "osler, no doubt": read_without_doubt,
}


@dataclass(frozen=True)
class Scores:
    """Precision, recall and F1 of each finding, in the order of the columns, with their bootstrap replicates."""

    precision: list[Estimate]
    recall: list[Estimate]
    f1: list[Estimate]

    def macro_f1(self, columns: Sequence[int]) -> Estimate:
        """Return the mean F1 over some columns; replicates where one of them is undefined are left out."""
        chosen = [self.f1[column] for column in columns]
        replicates = np.mean([one.replicates for one in chosen], axis=0)
        return Estimate(float(np.mean([one.value for one in chosen])), replicates)


def score(predicted: Flags, reference: Flags, weights: Array) -> Scores:
    """Return the scores of flags (n, F) against a reference (n, F) under bootstrap weights (R, n).

    Precision is NaN where nothing is predicted, recall and F1 where nothing is to be found; F1 counts 2 TP / (2 TP + FP + FN).
    """
    rows = np.vstack([np.ones((1, len(reference))), weights])
    hits, claimed, true = (rows @ flags.astype(float) for flags in (predicted & reference, predicted, reference))
    with np.errstate(invalid="ignore", divide="ignore"):
        precision, recall = hits / claimed, hits / true
        f1 = np.where(true > 0, 2 * hits / (claimed + true), np.nan)
    return Scores(*([Estimate(float(one[0]), one[1:]) for one in part.T] for part in (precision, recall, f1)))
