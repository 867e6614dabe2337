"""The coding scheme: values are stable, short, one for each meaning, and carry what terminologies say."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from osler.report.codes import SCHEME, Own, concept_code, finding_code, meaning_of, seen_code
from osler.report.content import percent
from osler.report.making import person_name
from osler.report.sr import plain
from osler.report.words import LONGEST, shortened


def test_values_never_change() -> None:
    assert concept_code("kerley_b_lines", "Kerley B lines").value == "C3EED5FFD8E15"
    assert finding_code("pneumonia").value == "F9F7341DED77C"
    values = [own.value[0] for own in Own]
    assert len(set(values)) == len(values)
    assert all(len(value) <= 16 and len(meaning) <= 64 for value, meaning in (own.value for own in Own))


def test_standard_codes_go_along_as_equivalents() -> None:
    code = concept_code("kerley_b_lines", "Kerley B lines", {"RadLex": "RID35802", "SNOMED CT": "1234", "Other": "7"})
    assert code.scheme_designator == SCHEME
    held = {(one.CodingSchemeDesignator, one.CodeValue) for one in code.EquivalentCodeSequence}
    assert held == {("RADLEX", "RID35802"), ("SCT", "1234")}
    assert finding_code("heart_failure").EquivalentCodeSequence[0].CodeValue == "84114007"
    assert "EquivalentCodeSequence" not in concept_code("a", "a", {"RadLex": "no code\\at all"})


def test_ignored_is_not_absent() -> None:
    assert seen_code("ignored").value == "OSL-300"
    assert seen_code("absent").scheme_designator == "SCT"
    assert len({seen_code(seen).value for seen in ("present", "absent", "uncertain", "ignored")}) == 4


@given(st.text(max_size=200))
def test_any_text_becomes_one_that_dicom_can_hold(text: str) -> None:
    meaning, name = meaning_of(text), person_name(text)
    assert 0 < len(meaning) <= 64
    assert meaning.isprintable()
    assert "\\" not in meaning
    assert 0 < len(name) <= 64
    assert name.count("^") == 1
    assert not set("\\=") & set(name)
    assert all(one.isprintable() or one == "\n" for one in plain(text))
    line = shortened(text)
    assert len(line) <= LONGEST
    assert "\\" not in line


def test_probabilities_are_never_said_to_be_certain() -> None:
    assert [percent(value) for value in (0.0, 0.004, 0.5, 0.994, 1.0)] == [
        "below 1%",
        "below 1%",
        "50%",
        "above 99%",
        "above 99%",
    ]
