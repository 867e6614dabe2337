"""The phrases with which prose says that an observation speaks for or against a finding. Any number and spelling match.

A forward cue stands between observation and finding ("favours"), a backward cue between finding and observation ("shows").
Plain statements weigh more than hedged ones, and what is merely seen in a disease weighs least.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product


@dataclass(frozen=True)
class Cue:
    """A cue: the value it gives, with which confidence, and how it binds.

    Attributes:
        value: 1, -1 or 0.
        confidence: In [0, 1].
        backward: Whether the finding stands before the cue.
        near: Whether observation and finding have to stand close by: weak cues have other uses.
        compares: Whether "than" turns it round.
        describes: Whether "no ... is seen in" denies it of the observation.
    """

    value: int
    confidence: float
    backward: bool = False
    near: bool = False
    compares: bool = False
    describes: bool = False


def _joined(*parts: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(" ".join(" ".join(words).split()) for words in product(*parts))


_IS = ("is", "are")
_BE = (*_IS, "was", "were", "may be", "can be", "might be", "could be")
_OFTEN = ("", "often", "commonly", "frequently", "usually", "typically", "also", "mostly", "classically", "sometimes")
_SELDOM = ("rarely", "seldom", "hardly ever", "not", "never", "not usually", "not typically", "not often", "uncommonly")
_MET = ("seen in", "found in", "observed in", "encountered in", "present in", "met in", "described in")
_KINDS = ("typical of", "characteristic of", "diagnostic of", "pathognomonic of", "pathognomonic for", "specific for")
_SIGNS: tuple[str, ...] = (
    "a sign of",
    "sign of",
    "the hallmark of",
    "a hallmark of",
    "a feature of",
    "feature of",
    "evidence of",
)
_SIGNS += ("a classic sign of", "an early sign of", "an indicator of", "an early indicator of", "a marker of")
_HINTS = ("suggestive of", "indicative of", "suspicious for", "consistent with", "compatible with", "associated with")
_SHOWS = ("show", "present with", "present as", "manifest as", "manifest with", "cause", "produce", "demonstrate")
_DOES_NOT = ("does not", "do not", "cannot")

CUES: dict[Cue, tuple[str, ...]] = {
    Cue(1, 0.9): (
        *(
            "favor",
            "support",
            "indicate",
            "establish",
            "confirm",
            "prove",
            "speak for",
            "argue for",
            "speak in favor of",
        ),
        *_joined(_BE, ("", "highly", "very", "most"), _KINDS),
    ),
    Cue(1, 0.9, describes=True): _joined(_BE, ("", "all", "also"), _SIGNS),
    Cue(1, 0.6): (
        *("suggest", "may accompany", "can accompany", "accompany", "point to", "point towards", "imply", "hint at"),
        *("raise suspicion of", "raise the suspicion of", "raise the possibility of", "should suggest", "signify"),
        *_joined(_BE, ("", "highly", "strongly", "most"), _HINTS),
    ),
    Cue(-1, 0.9): (
        *("argue against", "speak against", "exclude", "rule out", "is incompatible with", "are incompatible with"),
        *_joined(_IS, ("not a feature of", "not features of", "not a sign of", "not signs of", "no sign of")),
        *_joined(_IS, ("not typical of", "not characteristic of", "atypical of", "atypical for")),
    ),
    Cue(-1, 0.6): (
        *_joined(_BE, ("uncommon in", "unusual in", "rare in", "absent in", "exceptional in", "unlikely in")),
        *_joined(_BE, _SELDOM, _MET),
        *_joined(("rarely", "seldom", "never", *_DOES_NOT), ("occur in", "accompany", "appear in")),
    ),
    Cue(0, 0.9): (
        *_joined(_DOES_NOT, ("discriminate", "separate", "distinguish", "differentiate")),
        *_joined(_DOES_NOT, ("help to discriminate", "help to separate", "help to distinguish")),
    ),
    Cue(0, 0.8): (
        *(
            "say nothing about",
            "tell nothing about",
            "tell nothing of",
            "neither support nor exclude",
            "neither supports nor excludes",
        ),
        *("has no bearing on", "have no bearing on", "is unrelated to", "are unrelated to", "is no evidence of"),
        *_joined(_IS, ("equally", "as"), ("common in", "frequent in", "often seen in", "likely in")),
    ),
    Cue(1, 0.5, near=True, describes=True): (
        *_joined(_BE, _OFTEN, _MET),
        *_joined(_BE, ("", "most", "particularly", "especially"), ("common in", "frequent in", "usual in")),
        *_joined(_OFTEN, ("occur in", "appear in", "result from")),
        *_joined(_BE, ("caused by", "due to", "produced by", "explained by")),
    ),
    Cue(1, 0.6, compares=True): (
        *_joined(_BE, ("more common in", "more frequent in", "more often seen in", "more usual in", "more likely in")),
        *_joined(_BE, ("more typical of", "more characteristic of", "more suggestive of", "commoner in")),
        *("occur more often in", "occur more commonly in", "occur more frequently in"),
    ),
    Cue(-1, 0.6, compares=True): (
        *_joined(_BE, ("less common in", "less frequent in", "less often seen in", "rarer in", "less likely in")),
        *_joined(_BE, ("less typical of", "less characteristic of", "less suggestive of")),
        "occur less often in",
    ),
    Cue(1, 0.6, backward=True, near=True): (
        *_joined(_OFTEN, _SHOWS),
        *_joined(("may", "can"), _SHOWS),
        *_joined(_BE, ("", "most", "strongly"), ("suggested by", "supported by", "indicated by", "favored by")),
        *_joined(_BE, ("", "often", "usually", "typically"), ("characterized by", "marked by", "recognized by")),
        *_joined(_BE, ("", "often", "usually", "commonly"), ("accompanied by", "associated with")),
    ),
    Cue(-1, 0.6, backward=True, near=True): (
        *_joined(("rarely", "seldom", "never", *_DOES_NOT), _SHOWS),
        *("lack", "argued against by"),
    ),
}
INCLUDES = Cue(1, 0.7, backward=True)  # only where the sentence speaks of the signs of a finding
INCLUDE_WORDS = ("include", "comprise", "consist of", "are", "is")
SIGNS_OF = _joined(("sign", "feature", "finding", "manifestation", "hallmark"), ("of", "in"))
CONTRASTS: tuple[str, ...] = (
    "over",
    "rather than",
    "and not of",
    "and not in",
    "but not of",
    "but not in",
    "but not",
    "instead of",
)
CONTRASTS += ("and against", "but against")
COMPARED = ("than", "than in", "than of", "than for")
UNLIKE = ("unlike", "unlike in", "in contrast to", "in contrast with", "as opposed to", "contrary to")
# A new clause has observations of its own; an aside says nothing that is read; a doubtful sentence is not read at all.
CLAUSES = ("whereas", "while", "but", "yet", "however", ", so")
ASIDES: tuple[str, ...] = (
    "because",
    "since",
    "although",
    "when",
    "unless",
    "if",
    "even when",
    "from other",
    "provided that",
)
ASIDES += (", in which", ", which", ", where", "so that", "whose")
DOUBTFUL = ("whether", "debate", "debatable", "controversial")
ALIKE = ("alike",)  # "occurs in A and B alike" tells neither from the other
DENIALS = ("no", "not", "without", "neither", "cannot", "never", "fail to")
ABSENCES = ("absence of", "lack of")
# "makes heart failure likely": the verb before the finding, the value behind it.
MAKES = ("make",)
VERDICTS: dict[int, tuple[str, ...]] = {
    1: ("likely", "more likely", "very likely", "probable", "more probable"),
    -1: ("unlikely", "less likely", "very unlikely", "improbable", "less probable"),
    0: ("likely to", "more likely to", "less likely to", "unlikely to"),
}
VERDICT = 0.7  # its confidence
