"""The account file: hashes only, for its owner only, whole after every change, and audited."""

from __future__ import annotations

import json
import os
import stat
import threading
from pathlib import Path

import pytest
from argon2 import PasswordHasher

from osler import audit
from osler.access import Role
from osler.access.accounts import AccountFile
from osler.access.passwords import hash_password, matches
from osler.workspace import Workspace
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

GOOD = "four plain words here"


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    monkeypatch.delenv("OSLER_ACCOUNTS_FILE", raising=False)
    return Workspace.open(tmp_path / "workspace", create=True)


@pytest.fixture
def file(workspace: Workspace) -> AccountFile:
    return AccountFile(workspace)


def code_of(refused: pytest.ExceptionInfo[OslerError]) -> Code:
    return refused.value.code


def test_an_account_is_written_without_its_password_for_its_owner_alone(file: AccountFile) -> None:
    file.add("Dr Ada", ["clinician"], GOOD, actor="root")
    content = file.path.read_text()
    assert GOOD not in content
    assert "$argon2id$" in content
    assert stat.S_IMODE(file.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.path.parent.stat().st_mode) == 0o700
    (held,) = AccountFile(file._workspace).all()
    assert (held.name, held.roles, held.active) == ("Dr Ada", {Role.CLINICIAN}, True)


def test_the_library_itself_verifies_the_hash(file: AccountFile) -> None:
    from argon2.low_level import Type, verify_secret

    hashed = file.add("Dr Ada", ["clinician"], GOOD, actor="root").hash
    assert verify_secret(hashed.encode(), GOOD.encode(), Type.ID)
    assert matches(hashed, GOOD)
    assert not matches(hashed, GOOD + " ")
    assert not matches(None, "no account has this password"), "the stand-in for a missing account lets nobody in"
    assert not matches("nonsense", GOOD)


def test_hashes_cost_what_rfc_9106_recommends(cheap_hashes: PasswordHasher) -> None:
    """Section 4: 64 MiB and 3 passes where 2 GiB are too much."""
    assert cheap_hashes.memory_cost >= 64 * 1024
    assert cheap_hashes.time_cost >= 3


def test_equal_passwords_have_unequal_hashes_and_keyboards_agree() -> None:
    one, two = hash_password("pássword für Ångström", "x"), hash_password("pássword für Ångström", "x")
    assert one != two
    assert matches(one, "pa\u0301ssword fu\u0308r A\u030angstro\u0308m")


@pytest.mark.parametrize(
    "password", ["", "short", "a" * 300, "aaaaaaaaaaaaaaaa", "abababababababab", "xx dr ada xx yy", "x" * 11]
)
def test_weak_passwords_are_refused(file: AccountFile, password: str) -> None:
    with pytest.raises(OslerError) as refused:
        file.add("Dr Ada", ["clinician"], password, actor="root")
    assert code_of(refused) is Code.USAGE
    assert password not in refused.value.message or not password
    assert file.all() == []


@pytest.mark.parametrize("name", ["", "  ", "a\nb", "a\x1b[2J", "x" * 81, "\u202eevil", "osler", "Unknown", "a\u0000b"])
def test_hostile_names_are_refused(file: AccountFile, name: str) -> None:
    with pytest.raises(OslerError) as refused:
        file.add(name, ["clinician"], GOOD, actor="root")
    assert code_of(refused) is Code.USAGE
    assert not file.path.exists()


@pytest.mark.parametrize("again", ["Dr Ada", "dr ada", "DR ADA", " Dr Ada ", "Dr\u00a0Ada", "\uff24r Ada"])
def test_one_name_is_one_person(file: AccountFile, again: str) -> None:
    file.add("Dr Ada", ["clinician"], GOOD, actor="root")
    with pytest.raises(OslerError) as refused:
        file.add(again, ["administrator"], GOOD, actor="root")
    assert code_of(refused) is Code.USAGE
    assert len(file.all()) == 1


def test_markup_in_a_name_is_kept_as_it_is(file: AccountFile) -> None:
    file.add("<img src=x onerror=alert(1)>", ["engineer"], GOOD, actor="root")
    assert AccountFile(file._workspace).all()[0].name == "<img src=x onerror=alert(1)>"


def test_changes_are_audited_without_password_or_hash(file: AccountFile, workspace: Workspace) -> None:
    file.add("Dr Ada", ["clinician", "administrator"], GOOD, actor="root")
    file.add("Eng", ["engineer"], GOOD, actor="root")
    file.change("eng", actor="Dr Ada", roles=["engineer", "researcher"], password="another good phrase")
    file.change("eng", actor="Dr Ada", active=False)
    file.remove("Eng", actor="Dr Ada")
    told = [(one.actor, one.action, one.subject) for one in audit.entries(workspace)]
    assert told == [
        ("root", "account.add", "Dr Ada"),
        ("root", "account.add", "Eng"),
        ("Dr Ada", "account.change", "Eng"),
        ("Dr Ada", "account.change", "Eng"),
        ("Dr Ada", "account.remove", "Eng"),
    ]
    log = (workspace.feedback / audit.LOG).read_text()
    assert "argon2" not in log
    assert "phrase" not in log
    assert audit.entries(workspace)[2].details["password"] == "changed"
    assert audit.verify(workspace).fault is None


def test_the_last_administrator_stays(file: AccountFile) -> None:
    file.add("Dr Ada", ["administrator"], GOOD, actor="root")
    file.add("Dr Bo", ["clinician"], GOOD, actor="root")
    for change in (
        lambda: file.remove("Dr Ada", actor="root"),
        lambda: file.change("Dr Ada", actor="root", roles=["clinician"]),
        lambda: file.change("Dr Ada", actor="root", active=False),
    ):
        with pytest.raises(OslerError, match="last administrator"):
            change()
    file.change("Dr Bo", actor="root", roles=["clinician", "administrator"])
    file.remove("Dr Ada", actor="root")
    assert [one.name for one in file.all()] == ["Dr Bo"]


def test_unknown_accounts_are_named_by_code(file: AccountFile) -> None:
    for change in (lambda: file.remove("x", actor="root"), lambda: file.change("x", actor="root", active=True)):
        with pytest.raises(OslerError) as refused:
            change()
        assert code_of(refused) is Code.UNKNOWN_ACCOUNT


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o666])
def test_a_file_open_to_others_is_refused(file: AccountFile, mode: int) -> None:
    file.add("Dr Ada", ["clinician"], GOOD, actor="root")
    file.path.chmod(mode)
    with pytest.raises(OslerError, match="open to other users") as refused:
        AccountFile(file._workspace).all()
    assert code_of(refused) is Code.ACCESS_INVALID


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "{}",
        '{"version": 2, "accounts": []}',
        '{"version": 1, "accounts": [{"name": "x"}]}',
        '{"version": 1, "accounts": [{"name": 1, "roles": [], "hash": "", "changed": "2026-01-01T00:00:00+00:00"}]}',
        '{"version": 1, "accounts": [{"name": "x", "roles": [], "hash": "", "changed": "yesterday"}]}',
        '{"version": 1, "accounts": [{"name": "x", "roles": [], "hash": "", "changed": "2026-01-01T00:00:00"}]}',
        "\ud800",
        "[" * 9999,
    ],
)
def test_a_damaged_file_is_refused_and_nobody_gets_in_by_it(file: AccountFile, content: str) -> None:
    file.add("Dr Ada", ["clinician"], GOOD, actor="root")
    file.path.write_bytes(content.encode("utf-8", "surrogatepass"))
    with pytest.raises(OslerError) as refused:
        file.all()
    assert code_of(refused) is Code.ACCESS_INVALID


def test_a_role_that_is_unknown_here_is_refused(file: AccountFile) -> None:
    file.add("Dr Ada", ["clinician"], GOOD, actor="root")
    content = json.loads(file.path.read_text())
    content["accounts"][0]["roles"] = ["root"]
    file.path.write_text(json.dumps(content))
    os.utime(file.path, ns=(1, 1))
    with pytest.raises(OslerError):
        file.all()


def test_people_added_at_once_are_all_there(workspace: Workspace) -> None:
    names = [f"Reader {number}" for number in range(8)]
    threads = [
        threading.Thread(target=lambda name=name: AccountFile(workspace).add(name, ["clinician"], GOOD, actor="root"))
        for name in names
    ]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert [one.name for one in AccountFile(workspace).all()] == names
    assert audit.verify(workspace).count == len(names)


def test_the_file_may_lie_elsewhere(workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OSLER_ACCOUNTS_FILE", str(tmp_path / "etc" / "people.json"))
    AccountFile(workspace).add("Dr Ada", ["clinician"], GOOD, actor="root")
    assert (tmp_path / "etc" / "people.json").exists()
    assert not (workspace.root / "access").exists()
