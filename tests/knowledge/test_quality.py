"""What text alone says of a bank, against closed forms."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from osler_knowledge.annotate import Mention, annotate
from osler_knowledge.bank import Citation, Concept, ConceptBank, PriorEvidence
from osler_knowledge.quality import likeness, phi, share, text_quality

HERE = Citation("entry", "Title", "words", 3, 8)


def bank(**questions: str) -> ConceptBank:
    concepts = tuple(
        Concept(name, name, text, "lungs", HERE, {"pneumonia": PriorEvidence(1, 0.5, HERE)}, (name,))
        for name, text in questions.items()
    )
    return ConceptBank("tiny", 1, "chest radiograph", ("heart_failure", "pneumonia"), concepts)


def test_a_share_has_the_interval_of_wilson() -> None:
    for count, n in ((0, 10), (3, 10), (10, 10), (120, 400)):
        figure, expected = share(count, n, "x"), stats.binomtest(count, n).proportion_ci(method="wilson")
        assert (figure.low, figure.high) == (pytest.approx(expected.low), pytest.approx(expected.high))


def test_independent_concepts_do_not_occur_together_and_copies_do() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 2, (2, 5000)).astype(float)
    assert abs(phi(a, b)) < 0.05
    assert phi(a, a) == pytest.approx(1.0)
    assert phi(a, 1 - a) == pytest.approx(-1.0)
    assert phi(a, np.ones(5000)) == 0.0


def test_paraphrases_are_found_and_lower_the_diversity() -> None:
    same = bank(a="Are septal lines seen at the base?", b="Are septal lines at the base seen?")
    other = bank(a="Are septal lines seen at the base?", b="Is the trachea displaced?")
    assert likeness(same)[0].value == pytest.approx(1.0)
    assert text_quality(same).diversity == pytest.approx(0.0)
    assert text_quality(other).diversity == pytest.approx(1.0)
    assert text_quality(same).alike
    assert not text_quality(other).alike


def test_findings_need_enough_concepts() -> None:
    quality = text_quality(bank(a="One?", b="Two?", c="Three?"))
    assert quality.argued == {"heart_failure": 0, "pneumonia": 3}
    assert quality.findings_covered == 0.5


def test_reports_give_coverage_and_the_share_of_the_rarer_answer() -> None:
    held = bank(a="One?", b="Two?")
    mentions = [{"a": Mention("present", 0, 1)}] * 3 + [{"a": Mention("absent", 0, 1)}] * 2 + [{}] * 5
    quality = text_quality(held, mentions)
    assert quality.figures is not None
    assert quality.figures["a"]["coverage"].value == pytest.approx(0.5)
    assert quality.figures["a"]["groundable"].value == pytest.approx(0.3)
    assert quality.figures["b"]["coverage"].value == 0.0
    assert quality.covered is not None
    assert quality.covered.value == pytest.approx(0.5)


def test_real_sentences_reach_the_figures(bank: ConceptBank) -> None:
    reports = ["Kerley B lines at both bases.", "No Kerley B lines. Cardiomegaly.", "Clear lungs."]
    used = replace(bank, history=())
    quality = text_quality(used, annotate(reports, used))
    assert quality.figures is not None
    assert quality.figures["kerley_b_lines"]["coverage"].value == pytest.approx(2 / 3)
