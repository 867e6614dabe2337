"""Reads one sentence: which observations it names, which findings, and what the cues between them say.

The words are walked over from left to right. Observations before a forward cue are its subjects; each finding behind it,
until the clause ends, is spoken of. A backward cue ("shows") is the other way round. "Over" and "rather than" turn the cue
round, so does the absence of an observation, and "unlike" does so for the finding that it names.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from spacy.tokens import Doc

from osler_knowledge.language import Found
from osler_knowledge.prior_cues import (
    ABSENCES,
    ALIKE,
    ASIDES,
    CLAUSES,
    COMPARED,
    CONTRASTS,
    CUES,
    DENIALS,
    DOUBTFUL,
    INCLUDE_WORDS,
    INCLUDES,
    MAKES,
    SIGNS_OF,
    UNLIKE,
    VERDICT,
    VERDICTS,
    Cue,
)

Reading = tuple[str, str, int, float]  # observation, finding, value, confidence
NEAR = 6  # tokens between a weak cue and what it binds
BACK = 3  # tokens between a finding and its backward cue
INDIRECT = 0.6  # confidence at most of what is read from an absence or from "unlike"
_CUES = tuple(CUES)
_AND = {"and", "or", "but", ",", "nor"}


def cue_phrases() -> dict[str, tuple[str, ...]]:
    """Return the phrases that a finder needs, by key."""
    phrases: dict[str, tuple[str, ...]] = {f"cue:{number}": CUES[cue] for number, cue in enumerate(_CUES)}
    kinds = {"contrast": CONTRASTS, "than": COMPARED, "unlike": UNLIKE, "clause": CLAUSES, "aside": ASIDES}
    kinds |= {
        "doubt": DOUBTFUL,
        "denial": DENIALS,
        "absence": ABSENCES,
        "signs": SIGNS_OF,
        "include": INCLUDE_WORDS,
        "alike": ALIKE,
    }
    phrases |= {"make:": MAKES} | {f"verdict:{value}": words for value, words in VERDICTS.items()}
    return phrases | {f"{kind}:": words for kind, words in kinds.items()}


@dataclass
class _Clause:
    """What is known in the middle of a clause; a subject is an observation with the sign that an absence gives it."""

    subjects: dict[str, int] = field(default_factory=dict)
    next_subjects: dict[str, int] = field(default_factory=dict)
    refused: list[str] = field(default_factory=list)
    made: list[str] | None = None
    before: list[Found] = field(default_factory=list)
    unlike: list[str] = field(default_factory=list)
    cue: Cue | None = None
    began: bool = False
    turned: int = 1
    absence: int = 1
    denied: bool = False
    signs_of: bool = False
    unlike_next: bool = False
    aside: bool = False
    alike: bool = False
    last: int = -1  # end of the cue, or of what it bound last


def readings(doc: Doc, found: list[Found], findings: tuple[str, ...]) -> Iterator[Reading]:
    """Walk over one sentence and yield what it says.

    Args:
        doc: The document.
        found: What stands in the sentence, in reading order, each within nothing longer.
        findings: What a word for any finding stands for.
    """
    if any(_kind(one) == "doubt" for one in found) or (found and doc[found[-1].start].sent.text.rstrip().endswith("?")):
        return
    alike = any(_kind(one) == "alike" for one in found)
    clause = _Clause(alike=alike)
    for place, one in enumerate(found):
        kind = _kind(one)
        if kind == "clause":
            subjects = {} if _has_own_subject(found[place + 1 :]) else clause.subjects
            clause = _Clause(subjects, alike=alike)
        elif clause.aside:
            clause.aside = not _resumes(doc, one)
        if clause.aside or kind not in _STEPS:
            continue
        yield from _STEPS[kind](clause, one, doc, findings)


def _kind(found: Found) -> str:
    return found.key.split(":", 1)[0]


def _has_own_subject(rest: list[Found]) -> bool:
    """Whether a clause names an observation before its first cue; one that does not goes on with those before."""
    for one in rest:
        if _kind(one) in ("cue", "clause"):
            return False
        if _kind(one) in ("sign", "finding"):
            return True
    return False


def _resumes(doc: Doc, one: Found) -> bool:
    """Whether a comma closed the aside before `one`; only an aside that opens the sentence is closed by one."""
    return doc[one.start].sent.start < one.start and doc[one.start - 1].text == ","


def _on_cue(clause: _Clause, one: Found, doc: Doc, _: tuple[str, ...]) -> Iterator[Reading]:
    cue = _CUES[int(one.key.split(":")[1])]
    if clause.denied and clause.last < 0 and _follows_denial(doc, one):
        clause.cue = None
        return
    if cue.backward:
        held = clause.before and one.start - clause.before[-1].end <= BACK and not clause.subjects
        if not held:
            return  # "cause" and "show" are common words
    elif clause.next_subjects and doc[one.start - 1].lower_ not in _AND:
        clause.subjects = clause.next_subjects
    clause.cue = None if cue.near and clause.alike else cue
    clause.next_subjects = {}
    clause.began, clause.turned, clause.denied, clause.last = True, 1, False, one.end
    yield from ()


def _follows_denial(doc: Doc, one: Found) -> bool:
    return any(
        token.lower_ in {"not", "n't", "cannot", "never", "to"} for token in doc[max(one.start - 2, 0) : one.start]
    )


def _on_include(clause: _Clause, one: Found, _: Doc, __: tuple[str, ...]) -> Iterator[Reading]:
    if clause.signs_of and clause.before and not clause.began:
        clause.cue, clause.began, clause.turned, clause.last = INCLUDES, True, 1, one.end
    yield from ()


def _on_sign(clause: _Clause, one: Found, doc: Doc, _: tuple[str, ...]) -> Iterator[Reading]:
    name = one.key.split(":", 1)[1]
    if clause.cue and clause.cue.backward:
        if clause.cue.near and one.start - clause.last > NEAR:
            clause.cue = None
            return
        cue = replace(clause.cue, value=-clause.cue.value) if clause.denied else clause.cue
        spoken = [key.key.split(":", 1)[1] for key in clause.before if key.key.split(":", 1)[1] not in clause.unlike]
        for finding in spoken:
            yield from _read(name, finding, cue, clause.turned * clause.absence)
        for finding in clause.unlike:
            yield from _read(name, finding, cue, -clause.turned * clause.absence, indirect=True)
        clause.last = one.end
    elif not clause.began:
        if clause.denied:
            clause.refused.append(name)
        else:
            clause.subjects[name] = clause.absence
    else:
        clause.next_subjects[name] = 1


def _on_finding(clause: _Clause, one: Found, doc: Doc, findings: tuple[str, ...]) -> Iterator[Reading]:
    name = one.key.split(":", 1)[1]
    if clause.unlike_next:
        clause.unlike.append(name)
        clause.unlike_next = doc[one.end].lower_ in _AND - {","} if one.end < len(doc) else False
        if not clause.began:
            return
    if clause.made is not None:
        clause.made.append(name)
        return
    if clause.cue is None or clause.cue.backward:
        if not clause.began:
            clause.before.append(one)
        return
    if clause.cue.near and one.start - clause.last > NEAR:
        clause.cue = None
        return
    clause.last = one.end
    refused = clause.refused if clause.cue.describes else []
    for sign, absence in (*clause.subjects.items(), *((sign, -1) for sign in refused)):
        for finding in findings if name == "*" else (name,):
            yield from _read(sign, finding, clause.cue, clause.turned * absence, indirect=absence < 0)
        for finding in [] if name in clause.unlike else clause.unlike:
            yield from _read(sign, finding, clause.cue, -clause.turned * absence, indirect=True)


def _on_make(clause: _Clause, _: Found, __: Doc, ___: tuple[str, ...]) -> Iterator[Reading]:
    clause.made, clause.began = [], True
    yield from ()


def _on_verdict(clause: _Clause, one: Found, _: Doc, __: tuple[str, ...]) -> Iterator[Reading]:
    """End "makes ... likely"; "likely to" speaks of something else."""
    value = int(one.key.split(":")[1])
    for finding in clause.made or () if value else ():
        for sign, absence in clause.subjects.items():
            yield from _read(sign, finding, Cue(value, VERDICT), absence, indirect=absence < 0)
    clause.made = None


def _on_contrast(clause: _Clause, _: Found, __: Doc, ___: tuple[str, ...]) -> Iterator[Reading]:
    if clause.cue:
        clause.turned = -1
    yield from ()


def _on_than(clause: _Clause, _: Found, __: Doc, ___: tuple[str, ...]) -> Iterator[Reading]:
    if clause.cue and clause.cue.compares:
        clause.turned = -1
    yield from ()


def _on_unlike(clause: _Clause, one: Found, doc: Doc, findings: tuple[str, ...]) -> Iterator[Reading]:
    if clause.cue and not clause.cue.backward:
        clause.turned = -1
    else:
        clause.unlike_next = True
    yield from ()


def _on_aside(clause: _Clause, _: Found, __: Doc, ___: tuple[str, ...]) -> Iterator[Reading]:
    clause.aside, clause.cue = True, None
    yield from ()


def _on_denial(clause: _Clause, _: Found, __: Doc, ___: tuple[str, ...]) -> Iterator[Reading]:
    clause.denied = True
    yield from ()


def _on_absence(clause: _Clause, _: Found, __: Doc, ___: tuple[str, ...]) -> Iterator[Reading]:
    clause.absence = -1
    yield from ()


def _on_signs(clause: _Clause, _: Found, __: Doc, ___: tuple[str, ...]) -> Iterator[Reading]:
    clause.signs_of = True
    yield from ()


def _read(sign: str, finding: str, cue: Cue, turned: int, *, indirect: bool = False) -> Iterator[Reading]:
    confidence = min(cue.confidence, INDIRECT) if indirect else cue.confidence
    yield sign, finding, cue.value * turned, confidence


_STEPS: Mapping[str, Callable[[_Clause, Found, Doc, tuple[str, ...]], Iterator[Reading]]] = {
    "cue": _on_cue,
    "include": _on_include,
    "sign": _on_sign,
    "finding": _on_finding,
    "make": _on_make,
    "verdict": _on_verdict,
    "contrast": _on_contrast,
    "than": _on_than,
    "unlike": _on_unlike,
    "aside": _on_aside,
    "denial": _on_denial,
    "absence": _on_absence,
    "signs": _on_signs,
}
