"""Upgrade and rollback through the command: an older installation answers the same, and a newer one is refused in words."""

from __future__ import annotations

import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from osler.bottleneck.artefact import FORMAT as MODEL
from osler.bottleneck.artefact import FORMER as OLDER_MODEL
from osler.cli.main import main
from osler.database.schema import HEAD, VERSIONS
from osler.seals import SEAL, written
from osler.workspace import MARKER, Workspace

OLDER_SCHEMA = "0001"


@pytest.fixture
def site(ward: Workspace) -> Path:
    """Return the folder of a workspace with studies and a model, and with nothing encoded."""
    return ward.root


def told(capsys: pytest.CaptureFixture[str], *words: str, expect: int = 0) -> Any:
    """Run the command; return what it answers as JSON."""
    capsys.readouterr()
    assert main([*words, "--json"]) == expect
    return json.loads(capsys.readouterr().out)


def make_older(root: Path) -> None:
    """Give a workspace the tables and the records of the first release."""
    with closing(sqlite3.connect(root / "archive" / "index.sqlite")) as connection:
        first = ["studies", "runs", "labels", "reports", "settings", "instances", "intake"]
        for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            connection.execute(f'DROP TRIGGER "{name}"')
        for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            if name not in first and not name.startswith("sqlite_"):
                connection.execute(f'DROP TABLE "{name}"')
        connection.execute("ALTER TABLE instances DROP COLUMN decoder")
        connection.execute("DELETE FROM settings WHERE name = 'schema'")
        connection.execute("INSERT INTO settings VALUES ('schema', '1')")
        connection.commit()
    for path in root.glob("models/*/bottleneck.json"):
        record = json.loads(path.read_text())
        record.pop(SEAL)
        path.write_text(json.dumps(record | {"format": OLDER_MODEL}, indent=1, sort_keys=True) + "\n")


def answers(capsys: pytest.CaptureFixture[str], root: Path) -> list[Any]:
    """Return what an installation says of three studies, once all of them are encoded: similar ones are sought among those."""
    with closing(sqlite3.connect(root / "archive" / "index.sqlite")) as connection:
        studies = [row[0] for row in connection.execute("SELECT uid FROM studies ORDER BY uid LIMIT 3")]
    for _ in range(2):
        found = [told(capsys, "explain", one, "--model", "random", "--workspace", str(root)) for one in studies]
    return found


def schema_of(path: Path) -> str | None:
    """Return the schema of an index as it is counted since the second release."""
    with closing(sqlite3.connect(path)) as connection:
        if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (VERSIONS,)).fetchone():
            return None
        return str(connection.execute(f"SELECT version_num FROM {VERSIONS}").fetchone()[0])


def test_the_first_release_is_upgraded_and_answers_the_same(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = answers(capsys, site)
    make_older(site)
    index = site / "archive" / "index.sqlite"
    done = told(capsys, "archive", "upgrade", "--workspace", str(site))
    assert (schema_of(index), HEAD in json.dumps(done)) == (HEAD, True)
    assert answers(capsys, site) == before
    assert told(capsys, "archive", "verify", "--workspace", str(site))
    assert [one.name for one in (site / "archive").glob("before-upgrade-*.sqlite")] == [
        f"before-upgrade-{OLDER_SCHEMA}.sqlite"
    ]


def test_a_copy_from_before_gives_the_earlier_answers(
    site: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = answers(capsys, site)
    copy = told(capsys, "backup", "make", "--into", str(tmp_path / "copies"), "--workspace", str(site))
    shutil.rmtree(site / "models")
    [made] = (tmp_path / "copies").glob("*/backup.json")
    assert copy
    told(capsys, "backup", "restore", str(made.parent), "--to", str(tmp_path / "back"))
    assert answers(capsys, tmp_path / "back") == before


def test_what_a_later_version_wrote_is_refused_in_words(
    site: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = site / "models" / "random" / "bottleneck.json"
    whole = model.read_bytes()
    record = json.loads(whole)
    record.pop(SEAL)
    model.write_bytes(written(record | {"format": "osler-bottleneck/3"}))
    with closing(sqlite3.connect(site / "archive" / "index.sqlite")) as connection:
        study = connection.execute("SELECT uid FROM studies LIMIT 1").fetchone()[0]
    ask = ("explain", study, "--model", "random", "--workspace", str(site))
    assert _refusal(capsys, *ask) == ("record-newer", f"reads formats up to {MODEL}")
    model.write_bytes(whole)
    with closing(sqlite3.connect(site / "archive" / "index.sqlite")) as connection:
        connection.execute(f"UPDATE {VERSIONS} SET version_num = '9999'")
        connection.commit()
    assert _refusal(capsys, *ask) == ("database-newer", f"knows schemas up to {HEAD}")
    (site / MARKER).write_text("2\n")
    assert _refusal(capsys, *ask) == ("record-newer", "knows forms up to 1")


def test_a_changed_number_alone_is_no_later_version(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = site / "models" / "random" / "bottleneck.json"
    model.write_bytes(model.read_bytes().replace(MODEL.encode(), b"osler-bottleneck/3"))
    with closing(sqlite3.connect(site / "archive" / "index.sqlite")) as connection:
        study = connection.execute("SELECT uid FROM studies LIMIT 1").fetchone()[0]
    code, _ = _refusal(capsys, "explain", study, "--model", "random", "--workspace", str(site))
    assert code == "model-invalid"


def _refusal(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[str, str]:
    """Return code and end of the first sentence of a refusal, which must be no trace."""
    capsys.readouterr()
    assert main([*words, "--json"]) != 0
    shown = capsys.readouterr()
    assert "Traceback" not in shown.out + shown.err
    error = json.loads(shown.out or shown.err)
    error = error.get("error", error)
    sentence = str(error["message"]).rstrip(".")
    return str(error["code"]), sentence.partition("this version of Osler ")[2]
