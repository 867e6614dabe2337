"""The words around a mention that deny it, doubt it or take it out of the present: three term sets for negspacy.

negspacy's clinical English is the base; `context.yaml` says what is changed. "Rule out", "evaluate for" and the like ask
and deny nothing; "versus" and "cannot be excluded" doubt; "is not seen", "has resolved" and their kin deny what stands
before them; and a denial ends where a new statement begins ("no effusion, the heart is enlarged").
"""

from __future__ import annotations

from importlib import resources
from itertools import product

import yaml
from negspacy.negation import default_ts

TermSet = dict[str, list[str]]

_WORDS: dict[str, list[str]] = yaml.safe_load(
    resources.files("osler_knowledge").joinpath("context.yaml").read_text(encoding="utf-8")
)


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
_DOUBTS_WITH_NOT = [term for term in _WORDS["doubt_before"] + _WORDS["doubt_after"] if "not" in term.split()]

NEGATION: TermSet = {
    "pseudo_negations": _BASE["pseudo_negations"] + _WORDS["keeps"] + _WORDS["asks"] + _STILL_THERE + _DOUBTS_WITH_NOT,
    "preceding_negations": _BASE["preceding_negations"] + _WORDS["deny_before"],
    "following_negations": _BASE["following_negations"] + _WORDS["deny_after"] + _NOT_SEEN,
    "termination": _STARTS + _WORDS["deny_ends"] + _joined(_WORDS["unseen"], [","]),
}
DOUBTFUL_WORDS = _WORDS["doubtful_words"]
DOUBT: TermSet = {
    "pseudo_negations": [],
    "preceding_negations": _WORDS["doubt_before"],
    "following_negations": _WORDS["doubt_after"],
    "termination": _STARTS,
}
NOT_NOW: TermSet = {
    "pseudo_negations": [term for term in _WORDS["doubt_before"] if term.endswith(("exclude", "rule out"))],
    "preceding_negations": _WORDS["asks"] + _WORDS["past"],
    "following_negations": ["in the past"],
    "termination": _STARTS,
}
