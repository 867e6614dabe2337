"""Whatever a person writes into a file of settings: it is read, or refused by the name of the line."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field

from osler.yaml_settings import parse_settings, read_settings
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError


class Kept(BaseModel):
    model_config = ConfigDict(extra="forbid")

    days: int = Field(default=7, ge=1)
    rooms: list[str] = []


def refused(what: str) -> OslerError:
    return OslerError(Code.USAGE, f"The settings cannot be used: {what}.", "Mend them.")


@pytest.mark.parametrize("text", ["", "# nothing yet\n", "{}", "null"])
def test_who_says_nothing_gets_the_defaults(text: str) -> None:
    assert parse_settings(text.encode(), Kept, refused) == Kept()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (b"[" * 60_000, "not YAML"),
        (b"days: 2024-99-99", "not YAML"),
        (b"\xff", "not YAML"),
        (b"days: 0", "days: "),
        (b"rooms: [1, {}]", "rooms.0: "),
        (b"day: 1", "day: "),
        (b"false", "the file: "),
        (b"!!python/object/apply:os.getcwd []", "not YAML"),
    ],
)
def test_what_is_wrong_is_named(text: bytes, told: str) -> None:
    with pytest.raises(OslerError, match=told):
        parse_settings(text, Kept, refused)


@given(st.binary(max_size=60) | st.text("[]{}:-,&*!|>'\"#%@ \nday1.", max_size=60).map(str.encode))
def test_whatever_is_written_is_read_or_refused(text: bytes) -> None:
    with suppress(OslerError):
        assert parse_settings(text, Kept, refused).days >= 1


def test_a_file_is_read_up_to_its_limit(tmp_path: Path) -> None:
    path = tmp_path / "settings.yaml"
    path.write_text("days: 3")
    assert read_settings(path, Kept, refused, largest=7).days == 3
    with pytest.raises(OslerError, match="too large"):
        read_settings(path, Kept, refused, largest=6)
    with pytest.raises(OslerError) as caught:
        read_settings(tmp_path, Kept, refused, largest=6)
    assert caught.value.code is Code.UNREADABLE
