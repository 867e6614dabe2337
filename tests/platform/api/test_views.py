"""Entries of the audit log for what is looked at: one each, and those of different people do not wait for each other."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, Lock

import pytest

from osler import audit
from osler.access.roles import Person
from osler.api.views import Views
from osler.workspace import Workspace
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError


def test_people_who_look_at_once_are_written_together(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    people = [Person(f"Dr {number}", frozenset()) for number in range(8)]
    together, record = Barrier(len(people), timeout=60), audit.record

    def met(workspace: Workspace, **words: str | Mapping[str, str]) -> object:
        together.wait()  # breaks where one of them waits for another
        return record(workspace, **words)  # type: ignore[arg-type]

    monkeypatch.setattr(audit, "record", met)
    views = Views(workspace)
    with ThreadPoolExecutor(len(people)) as threads:
        list(threads.map(lambda one: views.note(one.name, one, "study.view", "2.25.1"), people))
    assert sorted(one.actor for one in audit.entries(workspace)) == [one.name for one in people]
    assert audit.verify(workspace).fault is None


def test_one_token_that_asks_much_at_once_is_written_once(workspace: Workspace) -> None:
    views = Views(workspace)
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda _: views.note("t", Person("Dr A", frozenset()), "study.view", "2.25.1"), range(40)))
    assert len(audit.entries(workspace)) == 1


def test_what_could_not_be_written_is_tried_again(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    views, lock, record, calls = Views(workspace), Lock(), audit.record, []

    def fails_once(workspace: Workspace, **words: str | Mapping[str, str]) -> object:
        with lock:
            calls.append(words)
            if len(calls) == 1:
                raise OslerError(Code.DISK_FULL, "The disk is full.", "Make room.")
        return record(workspace, **words)  # type: ignore[arg-type]

    monkeypatch.setattr(audit, "record", fails_once)
    person = Person("Dr A", frozenset())
    with pytest.raises(OslerError):
        views.note("t", person, "study.view", "2.25.1")
    views.note("t", person, "study.view", "2.25.1")
    assert len(audit.entries(workspace)) == 1
