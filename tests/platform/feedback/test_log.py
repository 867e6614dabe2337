"""Reviews are appended, never changed, and survive a torn line."""

from __future__ import annotations

import json
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

import pytest

from osler.feedback import FILE, Conclusion, Review, read_reviews, save_review, store_of
from osler.workspace import Workspace
from osler_contracts.errors import OslerError

REVIEW = Review(
    study="2.25.1",
    site="b",
    reviewer="A. Reader",
    corrections={"perihilar_haze": True},
    before=Conclusion("pneumonia", 0.6),
    after=Conclusion("heart_failure", 0.7),
    model="m" * 64,
    bank="b" * 64,
    comment="Haze on both sides.\nÜber dem Hilus.\u2028A line separator is not the end of a line here.",
)


@pytest.fixture
def workspace(kept_in: str, tmp_path: Path) -> Workspace:
    return Workspace.open(tmp_path / "w", create=True)


def test_what_is_saved_is_read(workspace: Workspace) -> None:
    second = replace(REVIEW, study="2.25.2", corrections={}, patch="abc")
    save_review(workspace, REVIEW)
    first_bytes = store_of(workspace).read()
    save_review(workspace, second)
    assert store_of(workspace).read().startswith(first_bytes)
    assert read_reviews(workspace) == [REVIEW, second]


@pytest.mark.parametrize("kept_in", ["files"], indirect=True)
def test_a_torn_line_costs_only_itself(workspace: Workspace) -> None:
    save_review(workspace, REVIEW)
    with (workspace.feedback / FILE).open("a") as file:
        file.write('{"study": "2.25.9", "sit')
    save_review(workspace, REVIEW)
    assert read_reviews(workspace) == [REVIEW, REVIEW]


def _save_many(root: Path, reader: int) -> None:
    workspace = Workspace.open(root)
    for number in range(40):
        save_review(workspace, replace(REVIEW, reviewer=f"reader {reader}", comment="x" * 2000, study=f"2.25.{number}"))


def test_readers_at_once_do_not_interleave(workspace: Workspace) -> None:
    context = get_context("fork")
    writers = [context.Process(target=_save_many, args=(workspace.root, reader)) for reader in range(3)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
        assert writer.exitcode == 0
    lines = store_of(workspace).read().splitlines()
    assert len([json.loads(line) for line in lines]) == 120
    assert sorted({review.reviewer for review in read_reviews(workspace)}) == ["reader 0", "reader 1", "reader 2"]


@pytest.mark.parametrize("change", [{"reviewer": "  "}, {"reviewer": "x" * 81}, {"comment": "x" * 4001}])
def test_a_review_needs_a_name_and_a_bounded_comment(change: dict[str, str]) -> None:
    with pytest.raises(OslerError):
        replace(REVIEW, **change)


def test_no_review_is_an_empty_list(workspace: Workspace) -> None:
    assert read_reviews(workspace) == []
