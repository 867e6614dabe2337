"""A bank has a life: each step is named, dated and kept, versions only go up, and the same steps give the same bytes."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from osler_contracts.codes import Code
from osler_contracts.errors import OslerError
from osler_knowledge.bank import Citation, Concept, ConceptBank, PriorEvidence
from osler_knowledge.check import require_line_of_descent, require_model_of
from osler_knowledge.concept import Figure
from osler_knowledge.diff import differences
from osler_knowledge.renewal import NO_LONGER, first_proposed, renewed
from osler_knowledge.review import Reviewer, accept, notice, retire, reword, set_codes, set_prior, with_figures

HERE = Citation("entry", "Title", "words", 3, 8, ("Book",))
FINDINGS = ("heart_failure", "pneumonia")
WHEN = "2025-01-31T09:00:00+00:00"


def who(reason: str = "why", by: str = "Dr A") -> Reviewer:
    return Reviewer(by, WHEN, reason)


def concept(name: str) -> Concept:
    return Concept(name, name, f"Is {name} seen?", "lungs", HERE, {"pneumonia": PriorEvidence(-1, 0.5, HERE)}, (name,))


def bank(*names: str) -> ConceptBank:
    return ConceptBank("tiny", 1, "chest radiograph", FINDINGS, tuple(map(concept, names or ("a", "b", "c"))))


def test_acceptance_makes_no_version_and_what_a_model_reads_does() -> None:
    first = bank()
    accepted = accept(first, "a", who(""))
    assert (accepted.version, accepted.digest) == (1, first.digest)
    for step in (
        retire(accepted, "a", who()),
        reword(accepted, "a", who(), question="Seen at all?"),
        set_prior(accepted, "a", "pneumonia", 1, who()),
    ):
        assert step.version == 2
        assert step.digest != accepted.digest
        assert step.history[:-1] == accepted.history
        assert (step.history[-1].by, step.history[-1].time, step.history[-1].reason) == ("Dr A", WHEN, "why")


def test_rewording_keeps_identifier_and_old_words_and_asks_for_acceptance_again() -> None:
    changed = reword(accept(bank(), "a", who()), "a", who(), question="Is it so?", name="A")
    assert changed.concept("a").question == "Is it so?"
    assert changed.concept("a").status == "proposed"
    assert changed.history[-1].before == {"question": "Is a seen?", "name": "a"}


def test_unknown_is_set_and_is_not_zero() -> None:
    unknown = set_prior(bank(), "a", "pneumonia", None, who())
    zero = set_prior(bank(), "a", "pneumonia", 0, who())
    assert unknown.prior_matrix(("pneumonia",))[0][0] is None
    assert zero.prior_matrix(("pneumonia",))[0][0] == 0
    held = zero.concept("a").prior["pneumonia"]
    assert (held.evidence, held.by, held.reason, held.citation) == ("by hand", "Dr A", "why", None)
    agreed = set_prior(bank(), "a", "pneumonia", -1, who()).concept("a").prior["pneumonia"]
    assert agreed.citation == HERE, "the passage stays where the value stays"


def test_a_retired_concept_stays_and_is_not_in_use() -> None:
    gone = retire(bank(), "b", who())
    assert gone.ids == ("a", "b", "c")
    assert gone.in_use().ids == ("a", "c")
    assert accept(gone, "b", who()).in_use().ids == ("a", "b", "c")


@pytest.mark.parametrize(
    ("step", "code"),
    [
        (lambda: accept(accept(bank(), "a", who()), "a", who()), Code.NOTHING_CHANGED),
        (lambda: retire(retire(bank(), "a", who()), "a", who()), Code.NOTHING_CHANGED),
        (lambda: reword(bank(), "a", who(), question="Is a seen?"), Code.NOTHING_CHANGED),
        (lambda: reword(bank(), "a", who()), Code.NOTHING_CHANGED),
        (lambda: set_prior(bank(), "a", "heart_failure", None, who()), Code.NOTHING_CHANGED),
        (lambda: accept(bank(), "z", who()), Code.UNKNOWN_CONCEPT),
        (lambda: retire(bank(), "a", who(" ")), Code.USAGE),
        (lambda: reword(bank(), "a", who(), question="two\nlines"), Code.BANK_INVALID),
        (lambda: set_prior(bank(), "a", "gout", 1, who()), Code.BANK_INVALID),
        (lambda: accept(bank(), "a", who(by="")), Code.BANK_INVALID),
        (lambda: accept(bank(), "a", who(by="a\x1b[2J")), Code.BANK_INVALID),
        (lambda: accept(bank(), "a", Reviewer("A", "2025-01-31 09:00", "")), Code.BANK_INVALID),
        (lambda: accept(bank(), "a", Reviewer("A", "yesterday", "")), Code.BANK_INVALID),
        (
            lambda: set_codes(set_codes(bank(), {"a": {"S": "1"}}, who()), {"a": {"S": "1"}}, who()),
            Code.NOTHING_CHANGED,
        ),
    ],
)
def test_steps_that_cannot_be_taken_have_their_code(step: object, code: Code) -> None:
    with pytest.raises(OslerError) as caught:
        step()  # type: ignore[operator]
    assert caught.value.code == code


def test_codes_and_figures_change_no_model() -> None:
    coded = set_codes(bank(), {"a": {"RadLex": "RID1"}}, who(""))
    measured = with_figures(coded, {"a": {"learnability": Figure(0.8, 0.7, 0.9, 120, "reports")}})
    assert (measured.digest, measured.version) == (bank().digest, 1)
    assert ConceptBank.from_json(measured.to_json()) == measured


def test_a_time_elsewhere_is_written_in_utc() -> None:
    assert accept(bank(), "a", Reviewer("A", "2025-01-31T10:00:00+01:00")).history[-1].time == WHEN


def test_people_are_named_once_all_is_accepted() -> None:
    held = bank("a", "b", "c")
    assert notice(held).startswith("Not clinically reviewed: nobody has accepted 3 of 3")
    held = accept(accept(retire(held, "c", who()), "a", who(by="Dr A")), "b", who(by="Dr B"))
    assert notice(held) == "All 2 concepts in use are accepted, by Dr A, Dr B."


STEPS = {
    "accept": lambda held, one, who: accept(held, one, who),
    "retire": lambda held, one, who: retire(held, one, who),
    "reword": lambda held, one, who: reword(held, one, who, question=f"{one}{len(held.history)}?"),
    "unknown": lambda held, one, who: set_prior(held, one, "pneumonia", None, who),
    "for": lambda held, one, who: set_prior(held, one, "heart_failure", 1, who),
    "codes": lambda held, one, who: set_codes(held, {one: {"S": str(len(held.history))}}, who),
}


def lived(steps: list[tuple[str, str]]) -> ConceptBank:
    held = bank()
    for name, one in steps:
        try:
            held = STEPS[name](held, one, who())
        except OslerError as error:
            if error.code != Code.NOTHING_CHANGED:
                raise
    return held


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(sorted(STEPS)), st.sampled_from(["a", "b", "c"])), max_size=12))
def test_any_life_is_repeatable_survives_the_disk_and_can_be_continued(steps: list[tuple[str, str]]) -> None:
    held = lived(steps)
    assert held.to_json() == lived(steps).to_json()
    assert ConceptBank.from_json(held.to_json()) == held
    for number in range(len(steps)):
        earlier = lived(steps[:number])
        assert earlier.version <= held.version
        require_line_of_descent(earlier, held)
        assert (earlier.version == held.version) <= earlier.same_content(held)
        if not differences(earlier, held):
            assert replace(earlier, version=held.version, history=()) == replace(held, history=())


def test_a_model_refuses_another_version_and_says_what_changed() -> None:
    first = bank("a", "b", "c")
    model = first.subset(("c", "a"))
    require_model_of(model, first)
    require_model_of(model, accept(first, "a", who()))
    second = reword(first, "a", who("too long"), question="Seen?")
    with pytest.raises(
        OslerError, match=r"version 1 .* version 2.*'Is a seen\?' became 'Seen\?' \(too long\)"
    ) as caught:
        require_model_of(model, second)
    assert caught.value.code == Code.BANK_MISMATCH
    with pytest.raises(OslerError, match="b was retired"):
        require_model_of(model, retire(first, "b", who()))
    touched = replace(first.concept("a"), prior={"pneumonia": PriorEvidence(1, 0.5, HERE)})
    with pytest.raises(OslerError, match="was against and is for"):
        require_model_of(model, replace(first, concepts=(touched, *first.concepts[1:])))
    with pytest.raises(OslerError, match="other"):
        require_model_of(model, replace(first, name="other"))


def test_proposing_again_keeps_what_people_decided() -> None:
    old = first_proposed(bank("a", "b", "c"), who())
    old = set_codes(reword(retire(old, "a", who()), "b", who(), question="Mine?"), {"b": {"S": "1"}}, who())
    assert renewed(old, bank("a", "b", "c"), who()) is old
    fresh = bank("d", "b", "a")
    joined = renewed(old, fresh, who("more text"))
    assert joined.version == old.version + 1
    assert joined.history[: len(old.history)] == old.history
    assert {one.id: one.status for one in joined.concepts} == {
        "d": "proposed",
        "b": "proposed",
        "a": "retired",
        "c": "retired",
    }
    assert joined.concept("b").question == "Mine?"
    assert [one.reason for one in joined.history if one.concept == "c"] == [NO_LONGER]
    again = renewed(joined, bank("a", "b", "c"), who("less text"))
    assert again.concept("c").status == "proposed", "the text proposes it once more, and no person had retired it"
    assert again.concept("a").status == "retired"


def test_histories_that_contradict_the_bank_are_refused() -> None:
    record = json.loads(retire(reword(bank(), "a", who(), question="Q?"), "b", who()).to_json())
    record.pop("sha256")  # the spoiler is a program that writes none
    for spoil in (
        lambda: record["history"][0].update(version=9),
        lambda: record.update(version=1),
        lambda: record["history"][0].update(concept="nobody"),
        lambda: record["history"][0].update(time="2025-01-31T10:00:00"),
        lambda: record["history"][0].update(action="improved"),
        lambda: record.update(version=True),
        lambda: record.update(version="2"),
    ):
        spoiled = json.dumps(record)
        spoil()
        with pytest.raises(OslerError) as caught:
            ConceptBank.from_json(json.dumps(record))
        assert caught.value.code == Code.BANK_INVALID
        record.clear()
        record.update(json.loads(spoiled))
