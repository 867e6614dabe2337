"""The options of `osler knowledge propose` that name a server or reports: what they need, and what stays as it was."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest

from osler.cli.main import main

SECRET = "sk-test-4711"


def told(capsys: pytest.CaptureFixture[str], status: int, *words: str | Path) -> str:
    assert main(["knowledge", "propose", *map(str, words), "--json"]) == status
    captured = capsys.readouterr()
    assert SECRET not in captured.out + captured.err
    return captured.out


def code(capsys: pytest.CaptureFixture[str], status: int, *words: str | Path) -> str:
    return str(json.loads(told(capsys, status, *words))["error"]["code"])


@pytest.mark.parametrize(
    "words",
    [
        ("--llm", "http://127.0.0.1:9/v1"),
        ("--model", "m"),
        ("--budget-calls", "5"),
        ("--llm", "127.0.0.1:9", "--model", "m"),
        ("--llm", "http://127.0.0.1:9/v1", "--model", "m", "--budget-calls", "0"),
        ("--llm", "http://127.0.0.1:9/v1", "--model", "m", "--budget-tokens", "-1"),
        ("--column", "text"),
        ("--reports", "reports.csv"),
    ],
)
def test_options_that_do_not_fit_are_a_mistake_and_leave_nothing(
    words: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert code(capsys, 2, *words, "--workspace", tmp_path / "w") == "usage"
    assert not list(tmp_path.glob("w/knowledge/*.json"))


def test_a_server_that_is_not_there_leaves_the_bank_as_it_was(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{free.getsockname()[1]}/v1"
    monkeypatch.setenv("OSLER_LLM_KEY", SECRET)
    monkeypatch.setattr("time.sleep", lambda _: None)
    place = ("--workspace", tmp_path / "w")
    built = json.loads(told(capsys, 0, *place))
    before = Path(built["bank"]).read_bytes()
    assert code(capsys, 1, "--llm", address, "--model", "m", *place) == "server-unreachable"
    assert Path(built["bank"]).read_bytes() == before
    log = (tmp_path / "w/knowledge/llm/chest-radiograph.jsonl").read_text(encoding="utf-8")
    assert "no connection" in log
    assert SECRET not in log


def test_what_was_dropped_is_told_in_words(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["knowledge", "propose", "--out", str(tmp_path / "bank.json")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith("Dropped") and "not visible in the image: fever" in line for line in lines)
    assert any("passages found at their places" in line for line in lines)


def test_concepts_that_no_report_has_are_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = tmp_path / "reports.csv"
    rows = [f"Case {number}. Kerley lines {'' if number % 2 else 'not '}seen." for number in range(120)]
    table.write_text("\n".join(["text", *rows]) + "\n", encoding="utf-8")
    built = json.loads(told(capsys, 0, "--out", tmp_path / "b.json", "--reports", table, "--column", "text"))
    kept = {one["id"] for one in json.loads((tmp_path / "b.json").read_text(encoding="utf-8"))["concepts"]}
    assert kept == {"kerley_b_lines"}
    assert {one["reason"] for one in built["dropped"]} >= {"too rare or too common in the reports"}
