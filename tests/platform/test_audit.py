"""The audit log is appended only, survives a torn line, and tells the number of an entry that was tampered with."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable
from multiprocessing import get_context
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text as sql

from osler.audit import HEAD, LOG, RECOVERED, START, entries, record, verify
from osler.audit.store import BATCH
from osler.cli.main import main
from osler.database import open_database
from osler.database_address import address_of
from osler.workspace import Workspace
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

from .database.postgres import in_files

Change = Callable[[list[bytes]], list[bytes]]


def _write(workspace: Workspace, count: int) -> list[bytes]:
    for number in range(count):
        record(workspace, actor="A. Reader", action="quarantine.release", subject=f"{number:064x}")
    return _stored(workspace)


@pytest.fixture
def workspace(kept_in: str, tmp_path: Path) -> Workspace:
    """Return a new workspace whose log is in files, then in PostgreSQL."""
    return Workspace.open(tmp_path / "workspace", create=True)


def _stored(workspace: Workspace) -> list[bytes]:
    """Return the lines where they lie, past Osler."""
    if address_of(workspace) is None:
        return (workspace.feedback / LOG).read_bytes().splitlines(keepends=True)
    with open_database(workspace).connect() as connection:
        return [
            line.encode() + b"\n"
            for (line,) in connection.execute(sql("SELECT line FROM audit_entries ORDER BY number"))
        ]


def _overwrite(workspace: Workspace, lines: list[bytes]) -> None:
    """Put lines in the place of the log, as its administrator could."""
    if address_of(workspace) is None:
        (workspace.feedback / LOG).write_bytes(b"".join(lines))
        return
    with open_database(workspace).begin() as connection:
        connection.execute(sql("ALTER TABLE audit_entries DISABLE TRIGGER ALL"))
        connection.execute(sql("DELETE FROM audit_entries"))
        for number, line in enumerate(lines, 1):
            given = {"number": number, "line": line.rstrip(b"\n").decode()}
            connection.execute(sql("INSERT INTO audit_entries VALUES (:number, :line)"), given)
        connection.execute(sql("ALTER TABLE audit_entries ENABLE TRIGGER ALL"))


def _forged(line: bytes, **values: object) -> bytes:
    """Rewrite an entry as someone would who knows how its hash is made."""
    content = json.loads(line) | values
    del content["sha256"]
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    content["sha256"] = hashlib.sha256(text.encode()).hexdigest()
    return json.dumps(content, sort_keys=True, separators=(",", ":")).encode() + b"\n"


def test_entries_come_back_in_their_order_with_the_hash_that_any_tool_computes(workspace: Workspace) -> None:
    first = record(workspace, actor="Ä. Reader", action="crosswalk.open", subject="2.25.1", details={"reason": "“Ja”"})
    second = record(workspace, actor="B", action="crosswalk.open", subject="2.25.2")
    assert entries(workspace) == [first, second]
    assert (first.number, second.number, first.previous, second.previous) == (1, 2, START, first.sha256)
    for line in _stored(workspace):
        content = json.loads(line)
        stated = content.pop("sha256")
        canonical = json.dumps(content, sort_keys=True, separators=(",", ":")).encode()
        assert hashlib.sha256(canonical).hexdigest() == stated
    found = verify(workspace)
    assert (found.count, found.head, found.fault, found.torn) == (2, second.sha256, None, 0)


@in_files()
def test_the_file_is_its_owners_alone(workspace: Workspace) -> None:
    _write(workspace, 1)
    assert (workspace.feedback / LOG).stat().st_mode & 0o077 == 0


def test_an_empty_log_is_sound(workspace: Workspace) -> None:
    assert verify(workspace).fault is None
    assert entries(workspace) == []


@pytest.mark.parametrize(
    ("change", "number"),
    [
        (lambda lines: [lines[0], lines[1].replace(b"A. Reader", b"B. Reader"), *lines[2:]], 2),
        (lambda lines: [lines[0], lines[1].replace(b":", b": ", 1), *lines[2:]], 2),
        (lambda lines: [lines[0], b"nothing\n", *lines[2:]], 2),
        (lambda lines: [lines[0], b"[" * 100_000 + b"\n", *lines[2:]], 2),
        (lambda lines: [lines[0], *lines[2:]], 2),
        (lambda lines: lines[1:], 1),
        (lambda lines: [lines[0], lines[2], lines[1], *lines[3:]], 2),
        (lambda lines: [*lines[:2], lines[1], *lines[2:]], 3),
        # The forger can mend the entry's own hash, but not those that follow from it, nor the head.
        (lambda lines: [lines[0], _forged(lines[1], actor="B"), *lines[2:]], 3),
        (lambda lines: [*lines[:-1], _forged(lines[-1], actor="B")], 5),
        (lambda lines: lines[:-1], 5),
        (lambda lines: lines[:2], 3),
        (lambda lines: [], 1),
    ],
    ids=[
        "edited", "spaced", "replaced", "nested", "removed", "beheaded", "swapped", "doubled", "forged", "forged-last",
        "shortened", "halved", "emptied",
    ],
)  # fmt: skip
def test_tampering_is_found_with_the_number_of_the_entry(workspace: Workspace, change: Change, number: int) -> None:
    lines = _write(workspace, 5)
    _overwrite(workspace, change(lines))
    found = verify(workspace)
    assert found.fault is not None
    assert (found.entry, found.count) == (number, number - 1)


@in_files()
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_changed_byte_is_found_in_its_entry(workspace: Workspace, data: st.DataObject) -> None:
    log = workspace.feedback / LOG
    whole = log.with_suffix(".whole")
    if not whole.exists():
        whole.write_bytes(b"".join(_write(workspace, 3)))
    content = bytearray(whole.read_bytes())
    place = data.draw(st.integers(0, len(content) - 2))
    struck = content[:place].count(b"\n") + 1
    content[place] ^= data.draw(st.integers(1, 255))
    log.write_bytes(content)
    assert verify(workspace).entry == struck


@pytest.mark.parametrize("kept", [lambda lines: lines[:-1], lambda lines: [*lines[:-1], _forged(lines[-1], actor="B")]])
def test_nothing_is_appended_to_a_log_whose_end_was_tampered_with(workspace: Workspace, kept: Change) -> None:
    """Otherwise the new head would hide what was cut off."""
    lines = _write(workspace, 3)
    _overwrite(workspace, kept(lines))
    with pytest.raises(OslerError) as caught:
        record(workspace, actor="A", action="test", subject="x")
    assert caught.value.code is Code.AUDIT_BROKEN


@in_files()
def test_an_entry_noted_elsewhere_must_still_be_there(workspace: Workspace) -> None:
    _write(workspace, 2)
    noted = verify(workspace)
    _write(workspace, 1)
    assert verify(workspace, (noted.count, noted.head)).fault is None
    # Whoever may write both files can begin a new log; the note tells.
    (workspace.feedback / LOG).unlink()
    (workspace.feedback / HEAD).unlink()
    _write(workspace, 3)
    assert verify(workspace).fault is None
    assert verify(workspace, (2, "f" * 64)).entry == 2
    assert verify(workspace, (7, noted.head)).entry == 4


@in_files()
def test_a_torn_line_is_told_set_aside_and_leaves_the_chain_whole(workspace: Workspace) -> None:
    lines = _write(workspace, 3)
    for cut in (1, len(lines[2]) // 2, len(lines[2]) - 1):
        log, head = workspace.feedback / LOG, workspace.feedback / HEAD
        log.write_bytes(b"".join(lines[:2]) + lines[2][:cut])
        head.write_text(f"2 {json.loads(lines[1])['sha256']}\n")
        assert verify(workspace).torn == cut
        assert verify(workspace).fault is None
        assert len(entries(workspace)) == 2
        record(workspace, actor="A", action="test", subject="x")
        recovered, last = entries(workspace)[2:]
        assert (recovered.action, last.action) == (RECOVERED, "test")
        assert recovered.details == {
            "torn_bytes": str(cut),
            "torn_sha256": hashlib.sha256(lines[2][:cut]).hexdigest(),
        }
        assert verify(workspace) == type(verify(workspace))(4, last.sha256)


@in_files()
def test_a_crash_between_line_and_head_is_no_fault(workspace: Workspace) -> None:
    _write(workspace, 2)
    head = (workspace.feedback / HEAD).read_bytes()
    _write(workspace, 1)
    (workspace.feedback / HEAD).write_bytes(head)
    assert verify(workspace).fault is None
    _write(workspace, 1)
    assert verify(workspace).count == 4
    # Written together or not, no crash leaves more than a batch behind the head.
    lines = _write(workspace, BATCH - 2)
    (workspace.feedback / HEAD).write_bytes(head)
    assert verify(workspace).fault is None
    _overwrite(workspace, [*lines, _forged(lines[-1], number=len(lines) + 1, previous=verify(workspace).head)])
    assert verify(workspace).entry == 3
    with pytest.raises(OslerError) as caught:
        record(workspace, actor="A", action="test", subject="x")
    assert caught.value.code is Code.AUDIT_BROKEN


def _write_many(root: Path, actor: int) -> None:
    workspace = Workspace.open(root)
    for number in range(15):
        record(workspace, actor=f"actor {actor}", action="test", subject=str(number), details={"text": "x" * 3000})


def test_writers_at_once_make_one_chain(workspace: Workspace) -> None:
    context = get_context("fork")
    writers = [context.Process(target=_write_many, args=(workspace.root, actor)) for actor in range(3)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
        assert writer.exitcode == 0
    found = verify(workspace)
    assert (found.count, found.fault) == (45, None)
    for actor in range(3):
        mine = [entry.subject for entry in entries(workspace) if entry.actor == f"actor {actor}"]
        assert mine == [str(number) for number in range(15)]


@in_files()
def test_a_log_that_cannot_be_written_is_an_error_that_says_so(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    _write(workspace, 1)
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OslerError) as caught:
        record(workspace, actor="A", action="test", subject="x")
    assert caught.value.code is Code.DISK_FULL
    monkeypatch.undo()
    _write(workspace, 1)
    assert verify(workspace).fault is None


@pytest.mark.parametrize(
    "words",
    [
        {"actor": ""},
        {"actor": " \n"},
        {"actor": "x" * 81},
        {"actor": "two\nlines"},
        {"actor": "\u202eright to left"},
        {"actor": "\ud800"},
        {"action": "Not a slug"},
        {"subject": "x" * 201},
        {"details": {"reason": "\x1b[2J"}},
        {"details": {"reason": "x" * 4001}},
        {"details": {"bad\nname": "x"}},
    ],
)
def test_names_are_lines_of_bounded_length(workspace: Workspace, words: dict[str, object]) -> None:
    good: dict[str, object] = {"actor": "A", "action": "test", "subject": "x"}
    with pytest.raises(OslerError) as caught:
        record(workspace, **good | words)  # type: ignore[arg-type]
    assert caught.value.code is Code.USAGE
    assert entries(workspace) == []


@settings(max_examples=20, deadline=None)
@given(text=st.text(min_size=1, max_size=80))
def test_whatever_is_taken_keeps_the_log_sound(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    workspace = Workspace.open(tmp_path_factory.mktemp("audit") / "w", create=True)
    try:
        entry = record(workspace, actor=text, action="test", subject=text, details={text: text})
    except OslerError:
        assert not text.strip() or not text.strip().isprintable()
        return
    assert entry.actor == text.strip()
    assert verify(workspace).count == 1
    assert entries(workspace) == [entry]


def _run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    status = main(["audit", *words])
    return status, capsys.readouterr().out


def test_the_command_shows_and_verifies(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    place = ("--workspace", str(workspace.root))
    record(workspace, actor="A", action="quarantine.release", subject="ab12", details={"reason": "seen it"})
    record(workspace, actor="B", action="archive.delete", subject="cd34")
    assert "reason: seen it" in _run(capsys, "show", *place)[1]
    for chosen in (("--actor", "B"), ("--do", "archive.delete"), ("--subject", "cd"), ("--last", "1")):
        status, out = _run(capsys, "show", *place, "--json", *chosen)
        assert (status, [entry["number"] for entry in json.loads(out)["entries"]]) == (0, [2])
    assert json.loads(_run(capsys, "show", *place, "--json", "--last", "0")[1])["entries"] == []
    status, out = _run(capsys, "verify", *place)
    noted = re.search(r"--noted (\S+)", out)
    assert status == 0
    assert noted is not None
    assert _run(capsys, "verify", *place, "--noted", noted[1])[0] == 0
    assert _run(capsys, "verify", *place, "--noted", "1:" + "f" * 64)[0] == 1
    assert _run(capsys, "verify", *place, "--noted", "nothing")[0] == 2
    _overwrite(workspace, [line.replace(b"seen it", b"\\u001b[2") for line in _stored(workspace)])
    status, out = _run(capsys, "verify", *place, "--json")
    assert (status, json.loads(out)["entry"]) == (1, 1)
    assert "?[2" in _run(capsys, "show", *place)[1]
