"""What is taken as the address of a database, and that no password gets into one."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from osler.database_address import SETTING, VARIABLE, Address, address_of
from osler.workspace import Workspace
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError


@pytest.mark.parametrize(
    ("text", "shown", "parts"),
    [
        ("postgresql://osler@db:5433/osler", "osler at db:5433", {"user": "osler", "host": "db", "port": 5433}),
        ("postgres://db/osler", "osler at db", {"host": "db"}),
        ("postgresql+psycopg://a%40b@db/osler?sslmode=verify-full", "osler at db", {"user": "a@b", "host": "db"}),
        ("postgresql:///osler?host=/run/postgresql", "osler at /run/postgresql", {}),
        ("postgresql://[::1]/osler", "osler at ::1", {"host": "::1"}),
    ],
)
def test_addresses_are_read_as_libpq_reads_them(text: str, shown: str, parts: dict[str, object]) -> None:
    address = Address(text)
    assert address.shown == shown
    assert address.parts == parts | {"dbname": "osler"}


@pytest.mark.parametrize(
    "text",
    [
        "postgresql://osler:hunter2@db/osler",
        "postgresql://osler:hunter2",
        "postgresql://osler:@db/osler",
        "postgresql://db/osler?password=hunter2",
        "postgresql://db/osler?options=-c%20hunter2",
        "postgresql://db/osler?sslpassword=hunter2",
        "sqlite:///hunter2",
        "mysql://db/hunter2",
        "postgresql://db",
        "postgresql://db:hunter2/osler",
        "postgresql://[hunter2/osler",
        "hunter2",
        "",
    ],
)
def test_what_is_none_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(OslerError) as caught:
        Address(text)
    assert caught.value.code is Code.DATABASE_INVALID
    assert "hunter2" not in str(caught.value)
    assert caught.value.mend


@given(st.text(max_size=60))
def test_any_text_is_an_address_or_an_error(text: str) -> None:
    with suppress(OslerError):  # any other error fails the test
        assert Address(text).parts["dbname"]


def test_the_environment_goes_first_then_the_workspace_then_files(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert address_of(workspace) is None
    (workspace.root / SETTING).write_text('{"claimed": true, "id": "1", "url": "postgresql://db/own"}')
    assert address_of(workspace) == Address("postgresql://db/own")
    monkeypatch.setenv(VARIABLE, "postgresql://db/other")
    assert address_of(workspace) == Address("postgresql://db/other")
    monkeypatch.setenv(VARIABLE, "  ")
    assert address_of(workspace) == Address("postgresql://db/own")


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"url": "x"}', '{"id": "1", "url": 5}', "[" * 100_000])
def test_a_note_that_cannot_be_read_does_not_lead_back_to_files(workspace: Workspace, content: str) -> None:
    (workspace.root / SETTING).write_text(content)
    with pytest.raises(OslerError) as caught:
        address_of(workspace)
    assert caught.value.code is Code.DATABASE_INVALID
