"""`osler model` as it is typed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from osler.cli.main import main
from osler.workspace import Workspace


def answer(capsys: pytest.CaptureFixture[str], *words: object, code: int = 0) -> dict[str, Any]:
    """Run a subcommand and return its JSON."""
    assert main(["model", *map(str, words), "--json"]) == code
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_from_one_workspace_to_another(
    workspace: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    home, away, package = workspace.root, tmp_path / "away", tmp_path / "chest.zip"
    sent = answer(capsys, "export", "chest", "--to", package, "--workspace", home, "--licence", "Apache-2.0")
    assert answer(capsys, "verify", package, "--sha256", sent["package"])["sound"]
    came = answer(capsys, "import", package, "--workspace", away, "--name", "theirs", "--sha256", sent["package"])
    assert (came["model"], came["fresh"], came["package"]) == ("theirs", True, sent["package"])
    assert not answer(capsys, "import", package, "--workspace", away, "--name", "theirs")["fresh"]
    rows = answer(capsys, "list", "--workspace", away)["models"]
    assert [(row["name"], row["error"]) for row in rows] == [("theirs", None)]
    assert answer(capsys, "verify", "theirs", "--workspace", away)["sound"]
    (away / "models" / "theirs" / "card.md").write_text("# Another\n")
    found = answer(capsys, "verify", "theirs", "--workspace", away, code=1)
    assert [one["error"]["code"] for one in found["checks"] if one["error"]] == ["model-hash-mismatch"]
    row = answer(capsys, "list", "--workspace", away)["models"][0]
    assert row["error"]["code"] == "model-hash-mismatch"


def test_a_person_is_told_what_to_do_next_and_what_nobody_stated(
    workspace: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["model", "export", "chest", "--to", str(tmp_path / "out.zip"), "--workspace", str(workspace.root)]
    assert main(command) == 0
    told = capsys.readouterr().out
    assert "Licence not stated: model, encoder encoder: weights, passages quoted by the bank." in told
    assert "Next: osler model import out.zip --sha256 " in told
    assert main(command) == 2
    assert "is there already" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "code", "status"),
    [
        (("verify", "nothing"), "model-invalid", 1),
        (("verify", "../up"), "usage", 2),
        (("import", "nothing.zip"), "source-missing", 1),
        (("export", "nothing", "--to", "x.zip"), "model-invalid", 1),
    ],
)
def test_what_is_not_there_is_told(
    workspace: Workspace,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    words: tuple[str, ...],
    code: str,
    status: int,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert answer(capsys, *words, "--workspace", workspace.root, code=status)["error"]["code"] == code
