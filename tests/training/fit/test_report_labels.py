"""Labels out of prose: states, silence, and the reference that methods share."""

from __future__ import annotations

import numpy as np
import pytest

from osler.bottleneck.records import Features
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError
from osler_knowledge.bank import Citation, Concept, ConceptBank
from osler_training.fit.report_labels import labels_of, read_reference

CITED = Citation("entry", "An entry", "a passage", 0, 9)


def concept(name: str, *terms: str) -> Concept:
    return Concept(name, name, f"Is there {name}?", "lung", CITED, {}, terms)


BANK = ConceptBank(
    "b",
    1,
    "radiograph",
    ("heart_failure", "pneumonia"),
    (concept("kerley_b_lines", "kerley b lines"), concept("air_bronchograms", "air bronchograms")),
)
REPORTS = (
    "FINDINGS: There are Kerley B lines. No air bronchograms. IMPRESSION: Congestive heart failure.",
    "FINDINGS: Possible Kerley B lines. IMPRESSION: Pneumonia.",
    "FINDINGS: The bones are normal.",
)


def test_present_absent_uncertain_and_silent() -> None:
    reference = read_reference(Features(np.zeros((3, 2))), REPORTS, ("a", "b", "c"), BANK, BANK.findings)
    np.testing.assert_array_equal(reference.concepts, [[1, 0], [np.nan, 0], [0, 0]])
    np.testing.assert_array_equal(reference.findings, [[1, 0], [0, 1], [0, 0]])


def test_silence_can_mean_unknown() -> None:
    reference = read_reference(
        Features(np.zeros((3, 2))), REPORTS, ("a", "b", "c"), BANK, BANK.findings, not_mentioned="unknown"
    )
    np.testing.assert_array_equal(reference.concepts, [[1, 0], [np.nan, np.nan], [np.nan, np.nan]])


def test_no_report_and_no_concept() -> None:
    assert labels_of([], ["a"]).shape == (0, 1)
    assert labels_of([{}], []).shape == (1, 0)
    with pytest.raises(OslerError) as caught:
        read_reference(Features(np.zeros((1, 2))), [" "], ("a",), BANK, BANK.findings)
    assert caught.value.code == Code.EMPTY_SOURCE
