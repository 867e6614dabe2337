"""The command `osler`: quick, predictable in its exit codes, and alone on stdout."""

from __future__ import annotations

import argparse
import errno
import json
import os
import resource
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import EntryPoint
from pathlib import Path
from types import SimpleNamespace

import pytest

from osler.cli import main as cli
from osler.cli.command import CommandResult, installed_commands
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

HEAVY = {
    "torch",
    "torchvision",
    "pandas",
    "numpy",
    "mlflow",
    "great_expectations",
    "spacy",
    "open_clip",
    "sqlalchemy",
    "streamlit",
    "pydicom",
    "sklearn",
    "scipy",
    "pydantic",
}
IMPORT_ALL = f"""
import sys
import osler.cli.main
from osler.cli.command import installed_commands, load
for entry in installed_commands().values():
    load(entry)
    loaded = sorted({HEAVY!r} & set(sys.modules))
    assert not loaded, f"{{entry.value}} imports {{loaded}}"
"""


def _osler(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "osler.cli.main", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=300, cwd=cwd)


def test_help_lists_every_command_with_its_summary() -> None:
    done = _osler("--help")
    assert done.returncode == 0
    lines = done.stdout.splitlines()
    for name in installed_commands():
        assert any(line.split()[:1] == [name] and len(line.split()) > 1 for line in lines), f"{name} is not in the help"
    assert "cannot be imported" not in done.stdout
    assert "not a medical device" in " ".join(done.stdout.split())


def test_help_is_quick() -> None:
    # Time on the processor, which is what it takes on an idle machine: this one may be busy with other tests.
    times = []
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        _osler("--help")
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        times.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    assert min(times) < 0.5


def test_no_command_module_imports_anything_heavy() -> None:
    done = subprocess.run([sys.executable, "-c", IMPORT_ALL], capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", sorted(installed_commands()))
def test_each_command_has_help_and_json(name: str) -> None:
    parser, _ = cli.build_parser([name])
    action = next(action for action in parser._actions if isinstance(action, argparse._SubParsersAction))
    assert "--json" in action.choices[name].format_help()


def test_an_unknown_command_is_wrong_usage() -> None:
    done = _osler("diagnose")
    assert (done.returncode, done.stdout) == (2, "")
    assert "diagnose" in done.stderr
    assert "doctor" in done.stderr


def test_wrong_usage_is_told_as_json_too() -> None:
    done = _osler("contract", "check", "--json")
    assert done.returncode == 2
    assert json.loads(done.stdout)["error"]["code"] == "usage"


def test_a_failure_is_one_line_and_one_object(tmp_path: Path) -> None:
    done = _osler("contract", "check", "--headers", "none.csv", "--json", cwd=tmp_path)
    assert done.returncode == 1
    assert set(json.loads(done.stdout)) == {"error"}
    assert json.loads(done.stdout)["error"]["code"] == "source-missing"
    assert len(done.stderr.splitlines()) == 1


def test_done_and_done_with_refusals(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = tmp_path / "headers.csv"
    table.write_text("Modality\nCR\nMR\n", encoding="utf-8")
    assert cli.main(["contract", "check", "--headers", str(table), "--json"]) == 3
    assert json.loads(capsys.readouterr().out)["counts"]["refuse"] == 1
    assert cli.main(["contract", "check", "--headers", str(table)]) == 3
    assert capsys.readouterr().out.startswith("chest-radiograph 2: 2 rows")
    table.write_text("Modality\nCR\nDX\n", encoding="utf-8")
    assert cli.main(["contract", "check", "--headers", str(table)]) == 0
    capsys.readouterr()
    assert cli.main(["contract", "explain", "any-image", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["name"] == "any-image"


def test_json_may_stand_before_or_after_a_nested_command(capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["contract", "--json", "explain", "any-image"], ["contract", "explain", "any-image", "--json"]):
        assert cli.main(words) == 0
        assert json.loads(capsys.readouterr().out)["name"] == "any-image"
    assert cli.main(["contract", "explain", "any-image"]) == 0
    assert capsys.readouterr().out.startswith("any-image 3:")


def test_the_doctor_answers_with_checks_whatever_it_finds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    code = cli.main(["doctor", "--json"])
    answer = json.loads(capsys.readouterr().out)
    failed = [check for check in answer["checks"] if check["state"] == "fail"]
    assert code == (1 if failed else 0)
    assert answer["ok"] is not bool(failed)


def _install(monkeypatch: pytest.MonkeyPatch, run: Callable[[argparse.Namespace], CommandResult]) -> None:
    """Put a subcommand `probe` in the place of the installed ones."""
    module = SimpleNamespace(SUMMARY="probe", add_arguments=lambda parser: None, run=run)
    monkeypatch.setattr(cli, "installed_commands", lambda: {"probe": EntryPoint("probe", "probe", "osler.commands")})
    monkeypatch.setattr(cli, "load", lambda entry: module)
    monkeypatch.delenv("OSLER_DEBUG", raising=False)


def _raising(error: BaseException) -> Callable[[argparse.Namespace], CommandResult]:
    def run(arguments: argparse.Namespace) -> CommandResult:
        raise error

    return run


def _wrapped(cause: Exception) -> Exception:
    error = RuntimeError("the library's own words about DOE^JANE")
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (OslerError(Code.EMPTY_SOURCE, "It is empty.", "Fill it."), "empty-source"),
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), "disk-full"),
        (_wrapped(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))), "disk-full"),
        (_wrapped(sqlite3.OperationalError("database or disk is full")), "disk-full"),
        (PermissionError(errno.EACCES, "Permission denied", "some.dcm"), "unreadable"),
        (ValueError("DOE^JANE is not a number"), "internal"),
        (KeyboardInterrupt(), "stopped"),
    ],
)
def test_whatever_is_raised_becomes_a_code_without_patient_values(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: BaseException, code: str
) -> None:
    _install(monkeypatch, _raising(error))
    assert cli.main(["probe", "--json"]) == 1
    captured = capsys.readouterr()
    assert json.loads(captured.out)["error"]["code"] == code
    assert "DOE" not in captured.out + captured.err
    assert len(captured.err.splitlines()) == 1


def test_debugging_shows_the_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    _install(monkeypatch, _raising(ValueError("the detail")))
    monkeypatch.setenv("OSLER_DEBUG", "1")
    with pytest.raises(ValueError, match="the detail"):
        cli.main(["probe"])


def test_stdout_holds_the_result_alone(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def run(arguments: argparse.Namespace) -> CommandResult:
        print("what a library says")
        return CommandResult({"figure": 0.5, "unmeasured": float("nan"), "all": [float("inf"), 1]})

    _install(monkeypatch, run)
    assert cli.main(["probe", "--json"]) == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out) == {"figure": 0.5, "unmeasured": None, "all": [None, 1]}
    assert captured.err == "what a library says\n"


def test_a_result_may_be_a_failure_itself(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    _install(monkeypatch, lambda arguments: CommandResult({"ok": False}, ["not well"], failed=True))
    assert cli.main(["probe"]) == 1
    assert capsys.readouterr().out == "not well\n"


def test_a_broken_command_leaves_the_others_alone(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    commands = {**installed_commands(), "broken": EntryPoint("broken", "osler.no_such_module", "osler.commands")}
    monkeypatch.setattr(cli, "installed_commands", lambda: commands)
    with pytest.raises(SystemExit) as left:
        cli.main(["--help"])
    assert left.value.code == 0
    assert "doctor" in capsys.readouterr().out
    assert cli.main(["contract", "explain", "any-image"]) == 0
    assert cli.main(["broken"]) == 1
    assert "[part-missing]" in capsys.readouterr().err


def test_a_reader_that_leaves_early_is_no_error() -> None:
    command = f"{sys.executable} -m osler.cli.main contract explain chest-radiograph | head -n 1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False, timeout=300)
    assert done.stdout.startswith("chest-radiograph")
    assert done.stderr == ""
