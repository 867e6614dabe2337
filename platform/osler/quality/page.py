"""The bank report: one page that needs no network, written for a clinician."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from html import escape

import numpy as np

from osler.quality.learnability import Learnt
from osler.quality.measure import Measured, Quality
from osler.quality.stability import UNSTABLE
from osler_knowledge.bank import ConceptBank
from osler_knowledge.concept import Concept, Figure
from osler_knowledge.diff import told
from osler_knowledge.quality import CONCEPTS_A_FINDING, MOST_SHOWN, RAREST, SIMILAR, Pair
from osler_knowledge.review import SIGNS, notice

_STYLE = """
body{font:16px/1.5 system-ui,sans-serif;color:#1c2733;max-width:70rem;margin:2rem auto;padding:0 1rem}
h1{font-size:1.6rem;margin:0}h2{font-size:1.15rem;margin:2rem 0 .5rem}p{max-width:46rem}
.notice{background:#fff4dc;border-left:4px solid #c98500;padding:.6rem .9rem;max-width:none}
table{border-collapse:collapse;width:100%;font-size:.92rem}
th{text-align:left;font-weight:600;border-bottom:2px solid #c7d0d9;padding:.3rem .6rem .3rem 0}
td{vertical-align:top;border-bottom:1px solid #e3e8ed;padding:.35rem .6rem .35rem 0}
td.n{white-space:nowrap;font-variant-numeric:tabular-nums}.flag{color:#a33b00;font-weight:600}
.soft{color:#5a6875;font-size:.88rem}mark{background:#e2f0ea}details{margin:.2rem 0}summary{cursor:pointer}
.retired{opacity:.6}@media print{details{display:block}}
"""
_POLICY = "default-src 'none'; style-src 'unsafe-inline'"


def page(bank: ConceptBank, quality: Quality, time: str) -> str:
    """Return the report as HTML that loads nothing and runs nothing.

    Args:
        bank: The bank, with its figures.
        quality: What was measured.
        time: When, as the history writes it.
    """
    title = f"Concept bank {bank.name}, version {bank.version}"
    body = [
        f"<h1>{escape(title)}</h1>",
        f'<p class="soft">{escape(bank.modality)} · written {escape(time)} · digest {bank.digest[:12]}</p>',
        f'<p class="notice">{escape(notice(bank))} Research use only; not a medical device.</p>',
        *_summary(bank, quality),
        *_findings(bank, quality),
        *_concepts(bank, quality),
        *_pairs(quality),
        *_history(bank),
        *_method(quality),
    ]
    head = (
        f'<meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="{escape(_POLICY)}">'
        f'<meta name="viewport" content="width=device-width"><title>{escape(title)}</title><style>{_STYLE}</style>'
    )
    lines = "\n".join(body)
    return f'<!doctype html>\n<html lang="en"><head>{head}</head>\n<body>\n{lines}\n</body></html>\n'


def _summary(bank: ConceptBank, quality: Quality) -> Iterator[str]:
    text, measured = quality.text, quality.measured
    yield "<h2>In short</h2><ul>"
    over = f"; a study's page shows the {MOST_SHOWN} that matter most to it" if text.concepts > MOST_SHOWN else ""
    yield _item(f"{text.concepts} concepts are in use and {len(bank.concepts) - text.concepts} are retired{over}.")
    yield _item(
        f"{_percent(text.findings_covered)} of the findings have {CONCEPTS_A_FINDING} or more concepts that speak for or "
        "against them."
    )
    yield _item(f"Diversity of the questions: {text.diversity:.2f} (1: no two share a word; 0: each has a double).")
    if text.covered:
        yield _item(f"{_shown(text.covered)} of {text.reports} reports mention at least one concept.")
    if text.figures:
        good = sum(one["groundable"].value >= RAREST for one in text.figures.values())
        yield _item(f"{good} of {text.concepts} concepts have both answers in at least {RAREST:.0%} of the reports.")
    if measured:
        known = [one for one, learnt in measured.concepts.items() if not np.isnan(learnt.nap)]
        hard = sum(bool(measured.harder[one]) for one in known)
        yield _item(f"Learnability was measured for {len(known)} concepts; {hard} are harder than what they explain.")
        cosines = [one for one in measured.stable.values() if one is not None]
        if cosines:
            low = sum(one < UNSTABLE for one in cosines)
            yield _item(
                f"{low} of {len(cosines)} concepts look like something else at the second site (below {UNSTABLE})."
            )
    yield from (_item(one) for one in quality.missing)
    yield "</ul>"


def _findings(bank: ConceptBank, quality: Quality) -> Iterator[str]:
    yield "<h2>Findings</h2><table><tr><th>Finding<th>Concepts for or against<th>Learnability</tr>"
    for finding in bank.findings:
        count = quality.text.argued[finding]
        few = ' <span class="flag">few</span>' if count < CONCEPTS_A_FINDING else ""
        learnt = quality.measured.findings[finding] if quality.measured else None
        yield f'<tr><td>{_said(finding)}<td class="n">{count}{few}<td class="n">{_learnt(learnt)}</tr>'
    yield "</table>"


def _concepts(bank: ConceptBank, quality: Quality) -> Iterator[str]:
    yield "<h2>Concepts</h2><table><tr><th>Concept<th>Status<th>In reports<th>Rarer answer<th>Learnability<th>Stability</tr>"
    for one in bank.concepts:
        figures = {} if one.status == "retired" else one.figures
        rarer = figures.get("groundable")
        few = ' <span class="flag">too rare</span>' if rarer and rarer.value < RAREST else ""
        yield (
            f'<tr class="{one.status}"><td>{_concept(one, bank.findings)}<td>{one.status}'
            f'<td class="n">{_shown(figures.get("coverage"))}<td class="n">{_shown(rarer)}{few}'
            f"<td>{_learnability(one, quality.measured)}<td>{_stability(one, quality.measured)}</tr>"
        )
    yield "</table>"


def _concept(one: Concept, findings: Iterable[str]) -> str:
    cited = one.citation
    prior = []
    for finding in findings:
        evidence = one.prior.get(finding)
        if evidence is not None:
            why = evidence.citation.passage if evidence.citation else evidence.reason
            prior.append(
                f"<li>{SIGNS[evidence.value]} {_said(finding)} ({escape(evidence.evidence)}): {escape(why)}</li>"
            )
    unknown = [_said(finding) for finding in findings if finding not in one.prior]
    open_ones = f"<li>unknown: {', '.join(unknown)}</li>" if unknown else ""
    codes = "".join(f" · {escape(system)} {escape(code)}" for system, code in one.codes.items())
    references = "".join(f'<div class="soft">{escape(text)}</div>' for text in cited.references)
    return (
        f'<b>{escape(one.name)}</b> <span class="soft">{escape(one.region)}{codes}</span><br>{escape(one.question)}'
        f"<details><summary>passage and prior</summary><mark>{escape(cited.passage)}</mark>"
        f'<div class="soft">{escape(cited.title)} ({escape(cited.entry)}, characters {cited.start} to {cited.end})</div>'
        f"{references}<ul>{''.join(prior)}{open_ones}</ul></details>"
    )


def _learnability(one: Concept, measured: Measured | None) -> str:
    learnt = measured.concepts.get(one.id) if measured else None
    harder = measured.harder.get(one.id, ()) if measured else ()
    flag = f'<br><span class="flag">harder than {", ".join(map(_said, harder))}</span>' if harder else ""
    return _learnt(learnt) + flag


def _learnt(learnt: Learnt | None) -> str:
    if learnt is None:
        return '<span class="soft">not measured</span>'
    if np.isnan(learnt.nap):
        return f'<span class="soft">{escape(learnt.why_not)}</span>'
    return f'{learnt.nap:.2f} <span class="soft">({learnt.low:.2f} to {learnt.high:.2f})</span>'


def _stability(one: Concept, measured: Measured | None) -> str:
    cosine = measured.stable.get(one.id) if measured else None
    if measured is None or cosine is None:
        return '<span class="soft">not measured</span>'
    chance = measured.chance.get(one.id)
    beside = "" if chance is None else f' <span class="soft">(same site {chance:.2f})</span>'
    flag = ' <span class="flag">unstable</span>' if cosine < UNSTABLE else ""
    return f"{cosine:.2f}{beside}{flag}"


def _pairs(quality: Quality) -> Iterator[str]:
    for pairs, title, empty in (
        (quality.text.alike, "Questions that are alike", f"No two questions share {SIMILAR:.0%} of their words."),
        (quality.text.together, "Concepts that reports cannot tell apart", ""),
    ):
        if pairs or empty:
            yield f"<h2>{title}</h2>"
            yield f"<ul>{''.join(map(_pair, pairs))}</ul>" if pairs else f"<p>{empty}</p>"


def _pair(pair: Pair) -> str:
    return _item(f"{pair.first} and {pair.second}: {pair.value:.2f}")


def _history(bank: ConceptBank) -> Iterator[str]:
    yield "<h2>Who decided what</h2><table><tr><th>Version<th>When<th>Who<th>What</tr>"
    for one in bank.history:
        yield f'<tr><td class="n">{one.version}<td class="n">{one.time}<td>{escape(one.by)}<td>{escape(told(one))}</tr>'
    yield "</table>"


def _method(quality: Quality) -> Iterator[str]:
    yield "<h2>How to read the figures</h2>"
    for text in (
        (
            "In reports: the share of the reports that speak of the concept at all. Rarer answer: the share of the rarer of yes "
            f"and no; below {RAREST:.0%} a model cannot learn the concept from these reports. A report's silence counts as no."
        ),
        (
            "Learnability: how well a simple model that sees the image finds the concept in patients that it never saw, from 0 to "
            "1. It is average precision, counted as if every concept and finding were equally frequent, so that it can be "
            "compared between them. A concept that is harder to see than the finding that it speaks for explains little; the mark "
            "goes by the estimates, and where the intervals overlap the order may be chance."
        ),
        (
            "Stability: how alike the concept looks to the model at two sites, from -1 to 1, beside the same figure between two "
            f"halves of one site, which shows what chance does. Below {UNSTABLE} the concept is something else elsewhere."
        ),
        (
            "Intervals hold 95%: of shares by Wilson's formula, of learnability by drawing patients anew. Answers come from "
            "reports by rules, not from readers of the images, and rules err."
        ),
    ):
        yield f"<p>{escape(text)}</p>"
    if quality.measured:
        sites = ", ".join(f"{escape(site)} ({n} studies)" for site, n in quality.measured.studies.items())
        yield f"<p>Measured at {sites}; every concept counted as present in {quality.measured.prevalence:.0%}.</p>"


def _item(text: str) -> str:
    return f"<li>{escape(text)}</li>"


def _said(finding: str) -> str:
    return escape(finding.replace("_", " "))


def _percent(value: float) -> str:
    """Write a share as a percentage that never rounds a doubt away."""
    if 0.995 <= value < 1:
        return "> 99%"
    return "< 1%" if 0 < value < 0.005 else f"{100 * value:.0f}%"


def _shown(figure: Figure | None) -> str:
    if figure is None:
        return "not measured"
    if figure.low is None or figure.high is None:
        return _percent(figure.value)
    return f"{_percent(figure.value)} ({_percent(figure.low)} to {_percent(figure.high)})"
