"""The words around a mention that deny it, doubt it or take it out of the present: four term sets for negspacy.

negspacy's clinical English is the base; `context.yaml` says what is changed. "Rule out", "evaluate for" and the like ask
and deny nothing; "is not seen", "has resolved" and their kin deny what stands before them; and a denial ends where a new
statement begins ("no effusion, the heart is enlarged"). Doubt has two grades: "probable" and "A versus B" lean towards
the finding, "may represent" and "cannot be excluded" leave it open.
"""

from __future__ import annotations

import hashlib
from importlib import resources
from itertools import product

import yaml
from negspacy.negation import Negex, default_ts
from spacy.language import Language
from spacy.matcher import PhraseMatcher
from spacy.tokens import Doc

TermSet = dict[str, list[str]]
_Match = tuple[int, int, int]

_TEXT = resources.files("osler_knowledge").joinpath("context.yaml").read_text(encoding="utf-8")
_WORDS: dict[str, list[str]] = yaml.safe_load(_TEXT)
DIGEST = hashlib.sha256(_TEXT.encode()).hexdigest()


def _joined(*parts: list[str]) -> list[str]:
    return [" ".join(words).strip() for words in product(*parts)]


_BASE: TermSet = {
    kind: [term for term in terms if term not in _WORDS["not_a_denial"] + _WORDS["asks"]]
    for kind, terms in default_ts.items()
}
_NOT_SEEN = _joined(["not"], _WORDS["unseen"]) + _joined(_WORDS["verbs"], ["not", "no longer"])
_STILL_THERE = _joined(["no", "without"], _WORDS["no_or_without"])
_STILL_THERE += _joined(["", *_WORDS["verbs"], "has", "have"], ["not"], _WORDS["not_done"])
_STARTS = _WORDS["starts"] + _joined(_WORDS["links"], _WORDS["asserted"])
# "Possible atelectasis, small infiltrate": the doubt goes on over a size.
_GOES_ON = set(_joined([",", "and", ", and"], _WORDS["sizes"]))
_DOUBT_ENDS = [term for term in _STARTS if term not in _GOES_ON]
_DOUBTS = [_WORDS[f"{grade}_{place}"] for grade in ("probable", "possible") for place in ("before", "after")]
_DOUBTS_WITH_NOT = [term for terms in _DOUBTS for term in terms if "not" in term.split()]

NEGATION: TermSet = {
    "pseudo_negations": _BASE["pseudo_negations"] + _WORDS["keeps"] + _WORDS["asks"] + _STILL_THERE + _DOUBTS_WITH_NOT,
    "preceding_negations": _BASE["preceding_negations"] + _WORDS["deny_before"],
    "following_negations": _BASE["following_negations"] + _WORDS["deny_after"] + _NOT_SEEN,
    "termination": _STARTS + _WORDS["deny_ends"] + _joined(_WORDS["unseen"], [","]),
}
PROBABLE_WORDS, POSSIBLE_WORDS = _WORDS["probable_words"], _WORDS["possible_words"]
PROBABLE: TermSet = {
    "pseudo_negations": ["less likely"],
    "preceding_negations": _WORDS["probable_before"],
    "following_negations": _WORDS["probable_after"],
    "termination": _DOUBT_ENDS,
}
POSSIBLE: TermSet = {
    "pseudo_negations": ["most suggestive of"],
    "preceding_negations": _WORDS["possible_before"],
    "following_negations": _WORDS["possible_after"],
    "termination": _DOUBT_ENDS,
}
NOT_NOW: TermSet = {
    "pseudo_negations": [term for term in _WORDS["possible_before"] if term.endswith(("exclude", "rule out"))],
    "preceding_negations": _WORDS["asks"] + _WORDS["past"],
    "following_negations": ["in the past"],
    "termination": _STARTS,
}


class Context(Negex):
    """negspacy's component, whose statements do not end inside a phrase that binds ("compatible with mild edema")."""

    def __init__(self, nlp: Language, name: str, terms: TermSet, *, span_key: str, words: list[str]) -> None:
        super().__init__(nlp, name, terms, extension_name=name, span_keys=[span_key], chunk_prefix=words)
        self._binds = PhraseMatcher(nlp.vocab, attr="LOWER")
        self._binds.add("binds", [nlp.make_doc(words) for words in _WORDS["binds"]])

    def process_negations(self, doc: Doc) -> tuple[list[_Match], list[_Match], list[_Match]]:
        """Return denials before and after, and what ends them, outside of phrases that bind."""
        before, after, ends = super().process_negations(doc)
        bound = {token for _, start, end in self._binds(doc) for token in range(start, end)}
        return before, after, [end for end in ends if end[1] not in bound]
