"""The journal: what it was told it keeps, whatever cuts it short, and nobody can read a UID in it."""

from __future__ import annotations

import stat

from osler.sources.journal import Journal
from osler.workspace import Workspace

KEY = b"k" * 32
NAMES = [f"1.2.840.{number}/1.2.3/4.5.6.{number}" for number in range(5)]


def journal(workspace: Workspace, source: str = "https://pacs/dicom-web", key: bytes = KEY, **options: bool) -> Journal:
    return Journal(workspace, source, key, **options)


def test_keeps_what_is_settled(workspace: Workspace) -> None:
    with journal(workspace) as first:
        first.add(NAMES[:3])
        assert [name in first for name in NAMES] == [True] * 3 + [False] * 2
    with journal(workspace) as second:
        second.add(NAMES[3:4])
        assert [name in second for name in NAMES] == [True] * 4 + [False]


def test_sources_and_keys_are_told_apart_and_forgetting_begins_anew(workspace: Workspace) -> None:
    with journal(workspace) as first:
        first.add(NAMES)
    for other in (journal(workspace, source="https://other"), journal(workspace, key=b"x" * 32)):
        with other:
            assert not any(name in other for name in NAMES)
    with journal(workspace, forget=True) as anew:
        assert not any(name in anew for name in NAMES)


def test_a_line_cut_short_by_a_kill_is_passed_over(workspace: Workspace) -> None:
    with journal(workspace) as first:
        first.add(NAMES[:2])
    path = next((workspace.root / "spool").glob("*.journal"))
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with journal(workspace) as cut:
            cut.add(NAMES[2:3])
            kept = [name in cut for name in NAMES[:3]]
            assert kept == [length >= 32, length >= 65, True]
        with journal(workspace) as again:
            assert [name in again for name in NAMES[:3]] == kept


def test_holds_no_uid_and_is_its_owners_alone(workspace: Workspace) -> None:
    with journal(workspace) as first:
        first.add(NAMES)
    path = next((workspace.root / "spool").glob("*.journal"))
    assert "." not in path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
