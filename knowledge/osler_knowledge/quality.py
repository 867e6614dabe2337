"""What text alone can say of a bank before it is used: coverage, groundable share, diversity, co-occurrence (M20.1)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from osler_knowledge.annotate import Mention
from osler_knowledge.bank import ConceptBank
from osler_knowledge.concept import Figure
from osler_knowledge.language import english, normalise

MOST_SHOWN = 32  # concepts: human studies find that more are of no use
RAREST = 0.10  # share of the rarer answer below which a concept cannot be grounded
CONCEPTS_A_FINDING = 3  # that a finding needs before a bank can argue for or against it
SIMILAR = 0.5  # shared words of two questions (Jaccard) above which a reader should look at the pair
TOGETHER = 0.9  # |phi| above which two concepts cannot be told apart by their labels
_Z = 1.959963984540054  # 95%


@dataclass(frozen=True)
class Pair:
    """Two concepts and how alike they are."""

    first: str
    second: str
    value: float


@dataclass(frozen=True)
class TextQuality:
    """What text says of a bank.

    Attributes:
        concepts: Number of concepts in use.
        argued: Number of concepts that speak for or against each finding.
        diversity: One minus the likeness of each question to its nearest, on average.
        alike: Pairs of questions that share many words, most alike first.
        reports: Number of reports that were read; 0 where there are none.
        figures: Figures by concept: `coverage`, and `groundable`, the share of the rarer answer.
        together: Pairs that the reports nearly always name together, or never.
        covered: Share of the reports that mention a concept at all; None without reports.
    """

    concepts: int
    argued: Mapping[str, int]
    diversity: float
    alike: tuple[Pair, ...]
    reports: int = 0
    figures: Mapping[str, Mapping[str, Figure]] | None = None
    together: tuple[Pair, ...] = ()
    covered: Figure | None = None

    @property
    def findings_covered(self) -> float:
        """Share of the findings that have enough concepts to argue with."""
        enough = sum(count >= CONCEPTS_A_FINDING for count in self.argued.values())
        return enough / len(self.argued) if self.argued else 0.0


def share(count: int, n: int, source: str) -> Figure:
    """Return a share with its 95% interval by Wilson, which holds near 0 and 1 too."""
    if n == 0:
        return Figure(0.0, None, None, 0, source)
    p = count / n
    middle = (p + _Z**2 / (2 * n)) / (1 + _Z**2 / n)
    half = _Z / (1 + _Z**2 / n) * float(np.sqrt(p * (1 - p) / n + _Z**2 / (4 * n**2)))
    return Figure(p, max(0.0, middle - half), min(1.0, middle + half), n, source)


def likeness(bank: ConceptBank) -> list[Pair]:
    """Return every pair of concepts with the share of words that their questions have in common, most alike first."""
    words = {one.id: _words(one.question) for one in bank.concepts}
    pairs = [
        Pair(a, b, len(words[a] & words[b]) / max(len(words[a] | words[b]), 1)) for a, b in combinations(bank.ids, 2)
    ]
    return sorted(pairs, key=lambda pair: (-pair.value, pair.first, pair.second))


def _words(text: str) -> frozenset[str]:
    """Return the words of a question that carry something."""
    doc = english().make_doc(text)
    return frozenset(normalise(token.text) for token in doc if token.is_alpha and not token.is_stop)


def labels(mentions: Sequence[Mapping[str, Mention]], ids: Sequence[str]) -> NDArray[np.float64]:
    """Return labels (n, C): 1 present, 0 absent or passed over in silence, NaN uncertain; as models are fitted on."""
    value = {"present": 1.0, "absent": 0.0, "uncertain": np.nan}
    rows = [[value[one[i].state] if i in one else 0.0 for i in ids] for one in mentions]
    return np.array(rows, np.float64).reshape(len(mentions), len(ids))


def phi(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    """Return the correlation of two yes/no labels over the reports that answer both; 0 where one never varies."""
    both = ~(np.isnan(first) | np.isnan(second))
    a, b = first[both], second[both]
    if len(a) == 0 or a.std() == 0 or b.std() == 0:
        return 0.0
    return float(np.corrcoef(a, b)[0, 1])


def text_quality(
    bank: ConceptBank, mentions: Sequence[Mapping[str, Mention]] | None = None, source: str = "reports"
) -> TextQuality:
    """Judge a bank by its own text and, where there are reports, by what they say.

    Args:
        bank: The concepts in use.
        mentions: What each report says of each concept, as `osler_knowledge.annotate.annotate` returns it.
        source: What the reports are, in words.
    """
    argued = {
        finding: sum(finding in one.prior and one.prior[finding].value != 0 for one in bank.concepts)
        for finding in bank.findings
    }
    pairs = likeness(bank)
    nearest = dict.fromkeys(bank.ids, 0.0)
    for pair in pairs:
        for one in (pair.first, pair.second):
            nearest[one] = max(nearest[one], pair.value)
    diversity = 1 - float(np.mean(list(nearest.values()))) if nearest else 0.0
    alike = tuple(pair for pair in pairs if pair.value >= SIMILAR)
    if not mentions:
        return TextQuality(len(bank.concepts), argued, diversity, alike)
    y, n = labels(mentions, bank.ids), len(mentions)
    figures = {}
    for place, one in enumerate(bank.ids):
        answered = y[:, place][~np.isnan(y[:, place])]
        rarer = int(min(answered.sum(), len(answered) - answered.sum()))
        figures[one] = {
            "coverage": share(sum(one in held for held in mentions), n, source),
            "groundable": share(rarer, len(answered), source),
        }
    found = [Pair(a, b, phi(y[:, i], y[:, j])) for (i, a), (j, b) in combinations(enumerate(bank.ids), 2)]
    together = tuple(sorted((one for one in found if abs(one.value) > TOGETHER), key=lambda one: -abs(one.value)))
    covered = share(sum(bool(held.keys() & set(bank.ids)) for held in mentions), n, source)
    return TextQuality(len(bank.concepts), argued, diversity, alike, n, figures, together, covered)
