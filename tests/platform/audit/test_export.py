"""Exported messages have the structure of PS3.15 A.5.1, hold all that the log holds and no more, and tie back to it."""

from __future__ import annotations

import hashlib
import json
import re
from base64 import b64decode
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree
from tests.platform.database.postgres import in_files

from osler import audit
from osler.audit.entry import START, Words, entry_after, parse
from osler.audit.kinds import KINDS
from osler.audit.message import message_of
from osler.cli.main import main
from osler.workspace import Workspace

CODED = {"csd-code", "codeSystemName", "originalText"}
# PS3.15 A.5.1: the children of each element in their order, with how many there may be; its attributes, those it must have first.
CHILDREN = {
    "AuditMessage": "EventIdentification (ActiveParticipant )+AuditSourceIdentification (ParticipantObjectIdentification )*",
    "EventIdentification": "EventID (EventTypeCode )*(EventOutcomeDescription )?",
    "ActiveParticipant": "(RoleIDCode )*(MediaIdentifier )?",
    "MediaIdentifier": "MediaType ",
    "AuditSourceIdentification": "(AuditSourceTypeCode )*",
    "ParticipantObjectIdentification": "ParticipantObjectIDTypeCode (ParticipantObjectName |ParticipantObjectQuery )"
    "(ParticipantObjectDetail )*(ParticipantObjectDescription )*",
}
ATTRIBUTES: dict[str, tuple[set[str], set[str]]] = {
    "AuditMessage": (set(), set()),
    "EventIdentification": ({"EventDateTime", "EventOutcomeIndicator"}, {"EventActionCode"}),
    "ActiveParticipant": (
        {"UserID", "UserIsRequestor"},
        {"AlternativeUserID", "UserName", "NetworkAccessPointID", "NetworkAccessPointTypeCode"},
    ),
    "MediaIdentifier": (set(), set()),
    "AuditSourceIdentification": ({"AuditSourceID"}, {"AuditEnterpriseSiteID"}),
    "AuditSourceTypeCode": ({"csd-code"}, {"codeSystemName", "originalText", "displayName"}),
    "ParticipantObjectIdentification": (
        {"ParticipantObjectID"},
        {
            "ParticipantObjectTypeCode", "ParticipantObjectTypeCodeRole", "ParticipantObjectDataLifeCycle",
            "ParticipantObjectSensitivity",
        },
    ),
    "ParticipantObjectName": (set(), set()),
    "ParticipantObjectDetail": ({"type", "value"}, set()),
} | {
    name: (CODED, {"displayName"})
    for name in ("EventID", "EventTypeCode", "RoleIDCode", "MediaType", "ParticipantObjectIDTypeCode")
}  # fmt: skip
VALUES = {
    "EventActionCode": "[CRUDE]",
    "EventOutcomeIndicator": "0|4|8|12",
    "UserIsRequestor": "true|false",
    "NetworkAccessPointTypeCode": "[1-5]",
    "ParticipantObjectTypeCode": "[1-4]",
    "ParticipantObjectTypeCodeRole": "[1-9]|1[0-9]|2[0-6]",
    "ParticipantObjectDataLifeCycle": "[1-9]|1[0-5]",
}


def check(message: bytes) -> Any:
    """Check the structure of a message, and return it."""
    root = etree.fromstring(message)
    assert root.tag == "AuditMessage"
    for element in root.iter():
        needed, others = ATTRIBUTES[element.tag]
        assert needed <= set(element.attrib) <= needed | others, element.tag
        assert re.fullmatch(CHILDREN.get(element.tag, ""), "".join(f"{one.tag} " for one in element)), element.tag
        assert element.tag == "ParticipantObjectName" or not (element.text or "").strip()
        for name, value in element.attrib.items():
            assert re.fullmatch(VALUES.get(name, "(?s).*"), value), name
            assert value == value.strip()
    assert datetime.fromisoformat(root[0].get("EventDateTime")).tzinfo is not None
    return root


def details(root: Any) -> dict[str, str]:
    return {one.get("type"): b64decode(one.get("value")).decode() for one in root.iter("ParticipantObjectDetail")}


def messages(path: Path) -> list[Any]:
    return [check(line) for line in path.read_bytes().splitlines()]


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    status = main(["audit", "export", *words])
    held = capsys.readouterr()
    return status, held.out, held.err


@pytest.fixture
def workspace(kept_in: str, tmp_path: Path) -> Workspace:
    """Return a workspace with an entry of each kind, in files and in PostgreSQL."""
    made = Workspace.open(tmp_path / "workspace", create=True)
    for number, name in enumerate(KINDS):
        told = {"to": "AE <1> & co", "reason": "“why”"} if number % 2 else {}
        audit.record(made, actor="Ä. Reader", action=name, subject=f"2.25.{number}", details=told)
    return made


@pytest.mark.parametrize("name", [*KINDS, "kind.of-tomorrow"])
def test_each_kind_makes_a_message_of_the_standards_structure(name: str) -> None:
    entry = entry_after(4, "f" * 64, Words("A", name, "2.25.1", {"to": "PACS", "reason": 'a "b" <c>'}))
    root = check(message_of(entry, "osler at A", "Hospital A"))
    assert root.find("EventIdentification").get("EventDateTime") == entry.time
    assert [one.get("csd-code") for one in root.iter("EventTypeCode")][-1] == name
    assert root.find("ActiveParticipant").get("UserID") == "A"
    assert [one.get("UserIsRequestor") for one in root.iter("ActiveParticipant")].count("true") == 1
    assert root.find("AuditSourceIdentification").attrib == {
        "AuditSourceID": "osler at A",
        "AuditEnterpriseSiteID": "Hospital A",
    }
    place = {"osler.number": "5", "osler.sha256": entry.sha256, "osler.previous": "f" * 64}
    assert details(root) == place | dict(entry.details)


@settings(max_examples=60, deadline=None)
@given(
    actor=st.text(min_size=1, max_size=80),
    subject=st.text(min_size=1),
    told=st.dictionaries(st.text(min_size=1), st.text()),
)
def test_whatever_a_log_holds_makes_well_formed_messages(actor: str, subject: str, told: dict[str, str]) -> None:
    """Also what Osler would not have written: a log that is not sound may be exported as evidence."""
    entry = entry_after(0, START, Words(actor, "study.view", f"x{subject}x", told))
    root = etree.fromstring(message_of(entry, "s"))
    found = [one.get("value") for one in root.iter("ParticipantObjectDetail")][3:]
    assert [b64decode(one) for one in found] == [one.encode("utf-8", "replace") for one in told.values()]
    assert b"\n" not in message_of(entry, "s")


def test_an_export_holds_each_entry_once_and_ties_to_the_log(
    workspace: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    held, out = audit.entries(workspace), tmp_path / "log.xml"
    place = ("--workspace", str(workspace.root), "--actor", "S. Engineer")
    status, text, _ = run(capsys, *place, "--form", "dicom", "--out", str(out), "--json")
    said = json.loads(text)
    assert (status, said["messages"], said["first"], said["last"]) == (0, len(held), 1, len(held))
    assert said["sha256"] == hashlib.sha256(out.read_bytes()).hexdigest()
    assert said["end"] == [held[-1].number, held[-1].sha256]
    assert out.stat().st_mode & 0o077 == 0
    found = messages(out)
    assert [details(one)["osler.sha256"] for one in found] == [one.sha256 for one in held]
    assert [one.find("ParticipantObjectIdentification").get("ParticipantObjectID") for one in found] == [
        one.subject for one in held
    ]
    noted = audit.entries(workspace)[-1]
    assert (noted.actor, noted.action, noted.details) == ("S. Engineer", "audit.export", {"to": "log.xml"})
    assert audit.verify(workspace).fault is None
    again = tmp_path / "again.xml"
    assert run(capsys, *place, "--out", str(again), "--until", "2000-01-01")[0] == 0
    assert again.read_bytes() == b""
    assert run(capsys, *place, "--out", str(again))[0] == 2, "an export is not written over"


@in_files()
def test_the_next_export_goes_on_where_the_last_ended(
    workspace: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = ("--workspace", str(workspace.root))
    text = run(capsys, *place, "--out", str(tmp_path / "1.xml"))[1]
    after = re.search(r"--after (\S+)", text)
    assert after is not None
    audit.record(workspace, actor="A", action="study.sign", subject="2.25.9")
    run(capsys, *place, "--out", str(tmp_path / "2.xml"), "--after", after[1])
    numbers = [int(details(one)["osler.number"]) for one in messages(tmp_path / "2.xml")]
    assert numbers == [len(KINDS) + 1, len(KINDS) + 2]
    other = after[1].split(":")[0] + ":" + "f" * 64
    status, _, wrong = run(capsys, *place, "--out", str(tmp_path / "3.xml"), "--after", other)
    assert (status, "audit-broken" in wrong, (tmp_path / "3.xml").exists()) == (1, True, False)


@in_files()
def test_a_range_of_time(workspace: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = datetime.fromisoformat(audit.entries(workspace)[0].time)
    place = ("--workspace", str(workspace.root))
    wanted = {"a": ("--since", first.isoformat()), "b": ("--until", first.isoformat())}
    for name, words in wanted.items():
        run(capsys, *place, "--out", str(tmp_path / name), *words)
    assert len(messages(tmp_path / "a")) == len(KINDS)
    assert messages(tmp_path / "b") == []
    later = (first + timedelta(days=1)).isoformat()
    assert json.loads(run(capsys, *place, "--out", str(tmp_path / "c"), "--since", later, "--json")[1])["messages"] == 0
    status, _, wrong = run(capsys, *place, "--out", str(tmp_path / "d"), "--since", "yesterday")
    assert status == 2
    assert "'yesterday' is no moment such as 2026-03-01T08:00" in wrong


def test_a_broken_log_is_refused_unless_that_is_wanted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    workspace = Workspace.open(tmp_path / "workspace", create=True)
    for number in range(4):
        audit.record(workspace, actor="A", action="study.view", subject=f"2.25.{number}")
    log, out = workspace.feedback / audit.LOG, tmp_path / "log.xml"
    log.write_bytes(log.read_bytes().replace(b"2.25.1", b"2.25.7"))
    before, place = log.read_bytes(), ("--workspace", str(workspace.root), "--out", str(out))
    status, _, wrong = run(capsys, *place)
    assert (status, out.exists()) == (1, False)
    assert "Entry 2" in wrong
    assert "[audit-broken]" in wrong
    status, text, _ = run(capsys, *place, "--unsound")
    assert status == 1
    assert "NOT sound. Entry 2" in text
    assert len(messages(out)) == 4
    assert log.read_bytes() == before, "nothing is added to evidence"


@pytest.mark.parametrize(
    "change",
    [{"number": "2"}, {"actor": 7}, {"subject": None}, {"details": []}, {"details": {"to": 1}}, {"time": "ä long ago"}],
)
@pytest.mark.parametrize("form", ["dicom", "syslog"])
def test_what_can_be_read_of_a_broken_log_is_exported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], change: dict[str, object], form: str
) -> None:
    workspace = Workspace.open(tmp_path / "workspace", create=True)
    for number in range(3):
        audit.record(workspace, actor="A", action="study.view", subject=f"2.25.{number}")
    log, out = workspace.feedback / audit.LOG, tmp_path / "log.xml"
    lines = log.read_bytes().splitlines(keepends=True)
    lines[1] = json.dumps(json.loads(lines[1]) | change).encode() + b"\n"
    log.write_bytes(b"".join(lines))
    place = ("--workspace", str(workspace.root), "--out", str(out), "--unsound", "--form", form)
    assert "NOT sound. Entry 2" in run(capsys, *place)[1]
    assert out.read_bytes().count(b"<AuditMessage") == (3 if "time" in change else 2)
    assert main(["audit", "show", "--workspace", str(workspace.root), "--subject", "2.25"]) == 0


def test_a_log_changed_behind_the_check_is_noticed(tmp_path: Path) -> None:
    from osler.audit.export import _entries
    from osler_contracts.errors import OslerError

    workspace = Workspace.open(tmp_path / "workspace", create=True)
    for number in range(3):
        audit.record(workspace, actor="A", action="study.view", subject=f"2.25.{number}")
    checked, log = audit.verify(workspace), workspace.feedback / audit.LOG
    lines = log.read_bytes().splitlines(keepends=True)
    log.write_bytes(lines[0] + lines[1].replace(b"2.25.1", b"2.25.7") + lines[2])
    read = _entries(workspace, checked)
    assert next(read) == parse(lines[0])
    with pytest.raises(OslerError, match="while it was exported"):
        next(read)
