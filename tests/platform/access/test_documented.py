"""The table of roles in docs/access.md is the table that is used."""

from __future__ import annotations

import re
from pathlib import Path

from osler.access import ACTIONS, Action, Role

DOCUMENT = Path(__file__).parents[3] / "docs" / "access.md"


def test_the_documented_roles_are_those_in_force() -> None:
    rows = dict(re.findall(r"^\| (\w+) \| (.+) \|$", DOCUMENT.read_text(encoding="utf-8"), re.MULTILINE))
    assert rows.pop("Role") == "May"
    expected = {
        str(role).capitalize(): ", ".join(action.value for action in Action if action in ACTIONS[role]) for role in Role
    }
    assert rows == expected
