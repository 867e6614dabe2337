"""Sides, changes, grades of doubt, sections and phrases that mean something else."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from osler_knowledge.annotate import Annotator, Mention, Phrases
from osler_knowledge.report_findings import report_findings

ANNOTATOR = Annotator(report_findings())


def read(text: str, finding: str = "pleural_effusion") -> Mention:
    return next(iter(ANNOTATOR([text])))[finding]


@pytest.mark.parametrize(
    ("text", "side"),
    [
        ("Small left pleural effusion.", "left"),
        ("Effusion on the right.", "right"),
        ("Left-sided effusion.", "left"),
        ("R effusion.", "right"),
        ("Right lung clear, left effusion.", "left"),
        ("Bilateral effusions, left greater than right.", "bilateral"),
        ("Effusions, right and left.", "bilateral"),
        ("Left and right pleural effusions.", "bilateral"),
        ("Right effusion and left basilar atelectasis.", "right"),
        ("Left basilar atelectasis/effusion.", "left"),
        ("Atelectasis or effusion in the left base.", "left"),
        ("Left basilar opacity, likely effusion.", "left"),
        ("Left basilar opacity; effusion.", None),
        ("Effusion in the right upper zone and left base.", "bilateral"),
        ("Effusions at the bases.", "bilateral"),
        ("Small effusion at the right lung bases.", "right"),
        ("Effusion but the left lung is clear.", None),
        ("Pleural effusion.", None),
        ("Left effusion. Right effusion.", "bilateral"),
        ("No effusion on the right. Effusion on the left.", "left"),
    ],
)
def test_the_side_is_that_of_the_mention(text: str, side: str | None) -> None:
    assert read(text).side == side


@pytest.mark.parametrize(
    ("text", "state", "change"),
    [
        ("New left effusion.", "present", "new"),
        ("No new effusion.", "absent", "new"),
        ("Increased effusion.", "present", "worse"),
        ("The effusion has decreased.", "present", "better"),
        ("Stable effusion.", "present", "unchanged"),
        ("No change in the effusion.", "present", "unchanged"),
        ("The effusion has not resolved.", "present", "unchanged"),
        ("The effusion has resolved.", "absent", "resolved"),
        ("Interval resolution of the effusion.", "absent", "resolved"),
        ("Effusion.", "present", None),
    ],
)
def test_comparison_is_read(text: str, state: str, change: str | None) -> None:
    mention = read(text)
    assert (mention.state, mention.change) == (state, change)


@pytest.mark.parametrize(
    ("text", "doubt"),
    [
        ("Probable effusion.", "probable"),
        ("Likely small effusion.", "probable"),
        ("Effusion versus pleural thickening.", "probable"),
        ("Opacity most suggestive of effusion.", "probable"),
        ("Blunting which may represent an effusion.", "possible"),
        ("Blunting which may represent effusion versus thickening.", "possible"),
        ("An effusion cannot be excluded.", "possible"),
        ("Blunting, suggestive of effusion.", "possible"),
        ("Blunting may be compatible with mild effusion.", "possible"),
        ("Differential considerations include atelectasis, small effusion.", "possible"),
        ("An effusion is less likely.", "possible"),
    ],
)
def test_doubt_has_two_grades(text: str, doubt: str) -> None:
    mention = read(text)
    assert (mention.state, mention.doubt) == ("uncertain", doubt)


def test_what_leans_towards_a_finding_outweighs_what_leaves_it_open() -> None:
    text = "An effusion cannot be excluded. Probable left effusion."
    mention = read(text)
    assert (mention.doubt, mention.side, text[mention.start : mention.end]) == ("probable", "left", "effusion")
    assert mention.start > 30


@pytest.mark.parametrize("text", ["History of effusion.", "Evaluate for effusion.", "Pericardial effusion."])
def test_the_past_the_question_and_another_thing_are_not_read(text: str) -> None:
    assert next(iter(ANNOTATOR([text]))) == {}


def test_every_mention_is_kept_with_its_section() -> None:
    text = "FINDINGS: No effusion on the right. Left effusion. IMPRESSION: Effusion."
    mentions = next(iter(ANNOTATOR.all_mentions([text])))["pleural_effusion"]
    assert [(one.state, one.side, one.section) for one in mentions] == [
        ("absent", "right", "findings"),
        ("present", "left", "findings"),
        ("present", None, "impression"),
    ]
    assert all(text[one.start : one.end].lower() == "effusion" for one in mentions)


def test_an_own_list_needs_no_bank() -> None:
    annotator = Annotator({"nail": Phrases(("nail",), ("no metalwork",), ("nail bed",))})
    assert next(iter(annotator(["Nail bed normal."]))) == {}
    assert next(iter(annotator(["There is no metalwork."])))["nail"].state == "absent"
    assert next(iter(annotator(["Nail bed normal; intramedullary nails."])))["nail"].state == "present"


WORDS = [
    "no",
    "left",
    "right",
    "and",
    "effusion",
    "atelectasis",
    "possible",
    "new",
    "stable",
    ".",
    ",",
    "with",
    "but",
    "not",
    "resolved",
    "bilateral",
    "L",
]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from(WORDS), max_size=25))
def test_any_order_of_words_gives_spans_inside_the_text(words: list[str]) -> None:
    text = " ".join(words)
    for key, mentions in next(iter(ANNOTATOR.all_mentions([text]))).items():
        for one in mentions:
            assert text[one.start : one.end].lower() == ("effusion" if key == "pleural_effusion" else key)
            assert (one.doubt is not None) == (one.state == "uncertain")
            if one.side in ("left", "right"):
                assert {one.side, one.side[0].upper()} & set(words)
