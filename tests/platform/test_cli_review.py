"""A bank survives: propose, review, reword, retire, export, import, diff; and nobody loses another's step."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from osler import audit
from osler.banks import BankStore
from osler.cli.main import main
from osler.workspace import Workspace
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError
from osler_knowledge.bank import Citation, Concept, ConceptBank, PriorEvidence
from osler_knowledge.review import Reviewer, accept, set_prior

WHEN = "2025-01-31T09:00:00+00:00"


def concept(name: str) -> Concept:
    here = Citation("entry", "Title", "words", 3, 8, ("Book",))
    return Concept(name, name, f"Is {name} seen?", "lungs", here, {"pneumonia": PriorEvidence(-1, 0.5, here)}, (name,))


@pytest.fixture
def store(tmp_path: Path) -> BankStore:
    names = ("a", "b", "c")
    held = ConceptBank(
        "chest-radiograph", 1, "chest radiograph", ("heart_failure", "pneumonia"), tuple(map(concept, names))
    )
    store = BankStore(Workspace.open(tmp_path / "w", create=True), "chest-radiograph")
    store.propose(held, Reviewer("osler", WHEN, "from a text"))
    return store


def run(capsys: pytest.CaptureFixture[str], store: BankStore, *words: object, expect: int = 0) -> dict[str, object]:
    status = main(["knowledge", *map(str, words), "--workspace", str(store.workspace.root), "--json"])
    record = json.loads(capsys.readouterr().out)
    assert status == expect, record
    assert isinstance(record, dict)
    return dict(record.get("error", record))


BY = ("--by", "Dr A", "--reason", "why")


def test_a_bank_lives_through_review_export_import_and_diff(
    store: BankStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(capsys, store, "accept", "a", "--by", "Dr A")["version"] == 1
    assert run(capsys, store, "reword", "b", "--question", "Seen at all?", *BY)["version"] == 2
    assert run(capsys, store, "retire", "c", *BY)["version"] == 3
    assert run(capsys, store, "prior", "a", "pneumonia", "unknown", *BY)["version"] == 4
    told = run(capsys, store, "diff", 1, 4)["differences"]
    assert told == [
        "a: its prior for pneumonia was against and is unknown.",
        "b: the question was 'Is b seen?' and is 'Seen at all?'.",
        "c was proposed and is retired.",
    ]
    record = run(capsys, store, "versions")
    assert record["versions"] == [1, 2, 3, 4]
    run(capsys, store, "export", tmp_path / "bank.json")
    run(capsys, store, "export", tmp_path / "second.json", "--version", 2)
    assert run(capsys, store, "diff", tmp_path / "second.json", tmp_path / "bank.json")["differences"]
    other = BankStore(Workspace.open(tmp_path / "other", create=True), store.task)
    brought = run(capsys, other, "import", tmp_path / "bank.json", "--by", "Dr B")
    assert other.load() == store.load()
    assert brought["digest"] == store.load().digest
    refused = run(capsys, other, "import", tmp_path / "second.json", "--by", "Dr B", expect=1)
    assert refused["code"] == Code.BANK_MISMATCH
    assert other.load() == store.load()


def test_each_step_is_audited_and_what_is_refused_is_not(store: BankStore, capsys: pytest.CaptureFixture[str]) -> None:
    run(capsys, store, "accept", "a", "--by", "Dr A")
    before = store.path.read_bytes()
    for words, code in (
        (("accept", "a", "--by", "Dr A"), Code.NOTHING_CHANGED),
        (("accept", "z", "--by", "Dr A"), Code.UNKNOWN_CONCEPT),
        (("retire", "a", "--by", "Dr A", "--reason", " "), Code.USAGE),
        (("prior", "a", "gout", "for", *BY), Code.BANK_INVALID),
        (("export", "/dev/null/x", "--version", "9"), Code.BANK_MISSING),
        (("accept", "a", "--by", "Dr A", "--task", "nothing-here"), Code.BANK_MISSING),
        (("accept", "a", "--by", "Dr A", "--task", "../chest-radiograph"), Code.UNKNOWN_TASK),
    ):
        assert run(capsys, store, *words, expect=2 if code == Code.USAGE else 1)["code"] == code
    assert store.path.read_bytes() == before
    told = [(one.actor, one.action, one.details.get("concept")) for one in audit.entries(store.workspace)]
    assert told == [("osler", "knowledge.propose", None), ("Dr A", "knowledge.accept", "a")]
    assert audit.verify(store.workspace).fault is None


@pytest.mark.parametrize(
    "content",
    [b"", b"\xff", b"{}", b"[" * 100_000, b'{"format":"osler-bank/2"}', b'{"format":"osler-bank/9"}', b"\x80\x04."],
)
def test_a_broken_file_is_not_imported(
    store: BankStore, tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes
) -> None:
    (tmp_path / "bad.json").write_bytes(content)
    before = {path: path.read_bytes() for path in store.workspace.knowledge.rglob("*.json")}
    assert run(capsys, store, "import", tmp_path / "bad.json", "--by", "Dr A", expect=1)["code"] == Code.BANK_INVALID
    assert {path: path.read_bytes() for path in store.workspace.knowledge.rglob("*.json")} == before


def test_codes_come_from_a_table_and_bad_tables_say_which_row(
    store: BankStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = tmp_path / "codes.csv"
    table.write_text("concept,system,code\na,RadLex,RID1\nb,SNOMED CT,1\n", encoding="utf-8")
    assert run(capsys, store, "codes", "--csv", table, "--by", "Dr A")["version"] == 1
    assert store.load().concept("a").codes == {"RadLex": "RID1"}
    for text, row in (("concept,code\na,1\n", "column"), ("concept,system,code\na,,1\n", "Row 2"), ("", "column")):
        table.write_text(text, encoding="utf-8")
        failure = run(capsys, store, "codes", "--csv", table, "--by", "Dr A", expect=1)
        assert failure["code"] == Code.TABLE_INVALID
        assert row in str(failure["message"])


def test_reviewers_at_once_lose_no_step(store: BankStore) -> None:
    values = [(one, finding, value) for one in "abc" for finding in ("heart_failure", "pneumonia") for value in (0, 1)]

    def act(step: tuple[str, str, int]) -> None:
        one, finding, value = step
        who = Reviewer("Dr A", WHEN, "why")
        store.change(lambda bank: set_prior(bank, one, finding, value, who), who, "prior", one)

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(act, values))
    bank = store.load()
    assert bank.version == 1 + len(values)
    assert store.versions() == list(range(1, bank.version + 1))
    assert len(audit.entries(store.workspace)) == 1 + len(values)


def test_a_broken_audit_log_stops_the_review(store: BankStore) -> None:
    log = store.workspace.feedback / audit.LOG
    log.write_bytes(log.read_bytes().replace(b"osler", b"other"))
    before, who = store.path.read_bytes(), Reviewer("Dr A", WHEN)
    with pytest.raises(OslerError) as caught:
        store.change(lambda bank: accept(bank, "a", who), who, "accept", "a")
    assert caught.value.code == Code.AUDIT_BROKEN
    assert store.path.read_bytes() == before


def test_what_waits_is_listed_where_nobody_sits_at_a_terminal(
    store: BankStore, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(capsys, store, "review")["waiting"] == ["a", "b", "c"]
    run(capsys, store, "accept", "b", "--by", "Dr A")
    assert run(capsys, store, "review")["waiting"] == ["a", "c"]


def test_a_reviewer_at_a_terminal_goes_through_the_bank(store: BankStore) -> None:
    keys = "a\nx\nr\n\nr\nnot on our films\np\npneumonia\nunknown\nunclear\nw\nIs it?\n\nplainer\ns\n"
    ours, theirs = pty.openpty()
    words = ["knowledge", "review", "--by", "Dr A", "--workspace", str(store.workspace.root)]
    try:
        os.write(ours, keys.encode())
        done = subprocess.run(
            [sys.executable, "-m", "osler.cli.main", *words], stdin=theirs, capture_output=True, text=True, check=True
        )
    finally:
        os.close(ours)
        os.close(theirs)
    bank = store.load()
    assert [one.status for one in bank.concepts] == ["accepted", "retired", "proposed"]
    assert bank.concept("c").question == "Is it?"
    assert "pneumonia" not in bank.concept("c").prior
    assert [one.action for one in bank.history[1:]] == ["accepted", "retired", "prior", "reworded"]
    for text in (
        "Is a seen?",
        ">>words<<",
        "against pneumonia",
        "learnability",
        "That is none of the letters",
        "4 steps",
    ):
        assert text in done.stdout + done.stderr
