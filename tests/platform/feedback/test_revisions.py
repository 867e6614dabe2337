"""Two readers at one study: nothing is lost, nothing counts unseen, and what is signed is amended and not changed."""

from __future__ import annotations

import json
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from osler.feedback import (
    FILE,
    Answer,
    Conclusion,
    Draft,
    Review,
    ReviewConflictError,
    ReviewState,
    confirm_review,
    forget_drafts,
    keep_draft,
    read_drafts,
    read_reviews,
    reviews_of,
    save_review,
    store_of,
    withdraw_review,
)
from osler.feedback.drafts import FOLDER
from osler.workspace import Workspace
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

STUDY = "2.25.1"


def review(reviewer: str = "A", based_on: str | None = "", **change: object) -> Review:
    """Return a review; the keyword arguments change it."""
    plain = Review(
        study=STUDY,
        site="b",
        reviewer=reviewer,
        corrections={},
        before=Conclusion("pneumonia", 0.6),
        after=Conclusion("pneumonia", 0.6),
        model="m" * 64,
        bank="b" * 64,
        based_on=based_on,
    )
    return replace(plain, **change)  # type: ignore[arg-type]


@pytest.fixture
def workspace(kept_in: str, tmp_path: Path) -> Workspace:
    return Workspace.open(tmp_path / "w", create=True)


def test_a_study_goes_from_to_review_to_amended_and_each_result_names_the_one_before(workspace: Workspace) -> None:
    assert reviews_of(workspace, STUDY).state is ReviewState.TO_REVIEW
    begun = save_review(workspace, review(signed=False))
    assert reviews_of(workspace, STUDY).state is ReviewState.IN_REVIEW
    assert reviews_of(workspace, STUDY).result is None
    signed = save_review(workspace, review(based_on=begun.id))
    held = reviews_of(workspace, STUDY)
    assert (held.state, held.result, held.revision) == (ReviewState.SIGNED, signed, signed.id)
    assert signed.amends == ""
    again = save_review(workspace, review("B", signed.id, signed=False))
    assert reviews_of(workspace, STUDY).result == signed, "work on an amendment leaves the result"
    amended = save_review(workspace, review("B", again.id, finding="heart_failure"))
    held = reviews_of(workspace, STUDY)
    assert held.state is ReviewState.AMENDED
    assert held.result is not None
    assert (held.result.amends, held.result.concluded) == (signed.id, "heart_failure")
    assert save_review(workspace, review("A", amended.id)).amends == amended.id


def test_the_later_of_two_is_kept_and_counts_once_it_is_confirmed(workspace: Workspace) -> None:
    first = save_review(workspace, review("A"))
    with pytest.raises(ReviewConflictError, match="A signed") as caught:
        save_review(workspace, review("B", "", answers={"haze": Answer.DOUBT}, comment="mine"))
    assert caught.value.code is Code.REVIEW_CONFLICT
    assert [one.id for one in caught.value.since] == [first.id]
    held = reviews_of(workspace, STUDY)
    assert [one.reviewer for one in held.counted] == ["A"]
    waiting = held.waiting_of("B")
    assert waiting is not None
    assert (waiting.id, waiting.comment, waiting.answers) == (caught.value.kept.id, "mine", {"haze": "doubt"})
    confirmed = confirm_review(workspace, waiting.id, reviewer="B", based_on=held.revision)
    held = reviews_of(workspace, STUDY)
    assert [one.reviewer for one in held.counted] == ["A", "B"]
    assert held.waiting == ()
    assert (confirmed.amends, confirmed.comment, held.state) == (first.id, "mine", ReviewState.AMENDED)


def test_confirming_after_yet_another_save_is_refused_and_keeps_the_one_that_waits(workspace: Workspace) -> None:
    first = save_review(workspace, review("A"))
    with pytest.raises(ReviewConflictError) as caught:
        save_review(workspace, review("B"))
    save_review(workspace, review("C", first.id))
    with pytest.raises(ReviewConflictError) as second:
        confirm_review(workspace, caught.value.kept.id, reviewer="B", based_on=first.id)
    assert second.value.kept.id == caught.value.kept.id
    assert [one.reviewer for one in second.value.since] == ["C"]
    held = reviews_of(workspace, STUDY)
    assert [one.id for one in held.waiting] == [caught.value.kept.id]
    confirm_review(workspace, caught.value.kept.id, reviewer="B", based_on=held.revision)
    assert [one.reviewer for one in read_reviews(workspace)] == ["A", "C", "B"]


def test_only_its_reader_settles_a_review_and_only_once(workspace: Workspace) -> None:
    save_review(workspace, review("A"))
    with pytest.raises(ReviewConflictError) as caught:
        save_review(workspace, review("B", comment="mine"))
    kept = caught.value.kept.id
    with pytest.raises(OslerError) as refused:
        withdraw_review(workspace, kept, reviewer="A")
    assert refused.value.code is Code.UNKNOWN_REVIEW
    withdraw_review(workspace, kept, reviewer="B")
    assert reviews_of(workspace, STUDY).waiting == ()
    assert b"mine" in store_of(workspace).read(), "a withdrawn line stays"
    with pytest.raises(OslerError):
        confirm_review(workspace, kept, reviewer="B", based_on=reviews_of(workspace, STUDY).revision)


def _sign(root: Path, reviewer: int) -> None:
    workspace = Workspace.open(root)
    try:
        save_review(workspace, review(f"reader {reviewer}"))
    except ReviewConflictError:
        return


def test_of_readers_at_once_one_is_first_and_the_others_wait(workspace: Workspace) -> None:
    writers = [get_context("fork").Process(target=_sign, args=(workspace.root, number)) for number in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
        assert writer.exitcode == 0
    held = reviews_of(workspace, STUDY)
    assert (len(held.counted), len(held.waiting)) == (1, 3)
    assert {one.reviewer for one in (*held.counted, *held.waiting)} == {f"reader {number}" for number in range(4)}


@pytest.mark.parametrize("kept_in", ["files"], indirect=True)
def test_lines_of_the_first_version_read_as_signed_and_can_be_built_on(workspace: Workspace) -> None:
    old = {
        "study": STUDY,
        "site": "b",
        "reviewer": "A",
        "corrections": {"haze": True},
        "before": {"finding": "x", "probability": 0.5},
        "after": {"finding": "y", "probability": 0.7},
        "model": "m",
        "bank": "b",
        "patch": None,
        "comment": "",
        "saved": "2025-01-01T00:00:00+00:00",
    }
    (workspace.feedback / FILE).write_text(json.dumps(old) + "\n")
    held = reviews_of(workspace, STUDY)
    assert (held.state, held.counted[0].answers) == (ReviewState.SIGNED, {"haze": Answer.PRESENT})
    assert held.revision == reviews_of(workspace, STUDY).revision != ""
    assert save_review(workspace, review("B", held.revision)).amends == held.revision


def test_answers_and_corrections_say_the_same_or_are_refused() -> None:
    given = review(answers={"haze": Answer.ABSENT, "lines": Answer.CONFIRM})
    assert given.corrections == {"haze": False}
    assert review(corrections={"haze": True}).answers == {"haze": Answer.PRESENT}
    with pytest.raises(OslerError):
        review(corrections={"haze": True}, answers={"haze": Answer.ABSENT})
    with pytest.raises(ValueError, match="perhaps"):
        review(answers={"haze": "perhaps"})


@given(
    moves=st.lists(
        st.tuples(st.sampled_from("ABC"), st.booleans(), st.booleans(), st.sampled_from(["", "confirm", "withdraw"])),
        max_size=12,
    )
)
@settings(max_examples=12, deadline=None)
def test_no_word_is_lost_whatever_the_order(tmp_path_factory: pytest.TempPathFactory, moves: list[tuple]) -> None:
    workspace = Workspace.open(tmp_path_factory.mktemp("w") / "w", create=True)
    counted: list[str] = []
    waiting: dict[str, list[str]] = {"A": [], "B": [], "C": []}
    for number, (reader, fresh, signed, then) in enumerate(moves):
        words = f"word {number}"
        based_on = reviews_of(workspace, STUDY).revision if fresh else "never seen"
        try:
            save_review(workspace, review(reader, based_on, signed=signed, comment=words))
            counted.append(words)
        except ReviewConflictError:
            waiting[reader].append(words)
        held = reviews_of(workspace, STUDY).waiting_of(reader)
        if then and held is not None:
            if then == "confirm":
                confirm_review(workspace, held.id, reviewer=reader, based_on=reviews_of(workspace, STUDY).revision)
                counted.append(held.comment)
            else:
                withdraw_review(workspace, held.id, reviewer=reader)
            waiting[reader].remove(held.comment)
    found = reviews_of(workspace, STUDY)
    assert [one.comment for one in found.counted] == counted
    assert sorted(one.comment for one in found.waiting) == sorted(words for kept in waiting.values() for words in kept)
    results = found.signed
    assert [one.amends for one in results] == ["", *(one.id for one in results)][: len(results)]


def test_a_draft_outlives_its_session_and_remembers_what_it_began_from(workspace: Workspace) -> None:
    draft = Draft({"haze": Answer.DOUBT}, "half a sen", "heart_failure", "abc")
    keep_draft(workspace, "A", STUDY, draft)
    keep_draft(workspace, "A", "2.25.2", Draft().answered("haze", Answer.PRESENT))
    keep_draft(workspace, "B", STUDY, Draft(comment="another's"))
    assert read_drafts(workspace, "A") == {STUDY: draft, "2.25.2": Draft({"haze": Answer.PRESENT})}
    assert draft.answered("haze", Answer.ABSENT).corrections == {"haze": False}
    keep_draft(workspace, "A", STUDY, Draft(based_on="abc"))
    assert set(read_drafts(workspace, "A")) == {"2.25.2"}
    assert set(read_drafts(workspace, "B")) == {STUDY}
    for path in (workspace.feedback / "drafts").glob("*.json"):
        path.write_text("{torn")
    assert read_drafts(workspace, "A") == {}


@pytest.mark.parametrize("content", [b"[]", b"{", b"7", b"\xff", b"[" * 100_000])
def test_a_damaged_file_of_drafts_costs_its_person_alone(workspace: Workspace, content: bytes) -> None:
    for person in ("A", "B"):
        keep_draft(workspace, person, STUDY, Draft(comment="so far"))
    (spoilt, _) = sorted((workspace.feedback / FOLDER).glob("*.json"))
    spoilt.write_bytes(content)
    assert sorted(len(read_drafts(workspace, person)) for person in ("A", "B")) == [0, 1]
    assert forget_drafts(workspace, [STUDY]) == 1
    assert [read_drafts(workspace, person) for person in ("A", "B")] == [{}, {}]
