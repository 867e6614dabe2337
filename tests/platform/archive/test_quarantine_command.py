"""`osler quarantine`, as typed; and that each code it may show is explained here and in the document."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import Dataset
from pydicom.uid import SecondaryCaptureImageStorage

from osler.archive.explanations import as_markdown, explain_all
from osler.cli.main import main
from osler_contracts import codes
from osler_contracts.contract import Severity, load_contract, shipped_contracts

Run = Callable[..., tuple[int, dict[str, Any]]]
PAGE = Path(__file__).parents[3] / "docs" / "ingestion.md"


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    """Return a runner of `osler` in one workspace: exit code and JSON of stdout."""

    def runner(*arguments: object) -> tuple[int, dict[str, Any]]:
        code = main([*map(str, arguments), "--workspace", str(tmp_path / "w"), "--json"])
        return code, json.loads(capsys.readouterr().out)

    return runner


def test_from_list_to_release_recheck_and_discard(
    make_radiograph: Callable[..., Dataset],
    write_dicom: Callable[..., Path],
    run: Run,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    key = ("--key-file", tmp_path / "key", "--workers", 0)
    write_dicom(make_radiograph(1, SOPClassUID=SecondaryCaptureImageStorage), "1.dcm")
    write_dicom(make_radiograph(2, SOPClassUID=SecondaryCaptureImageStorage), "2.dcm")
    folder = write_dicom(make_radiograph(3, Modality="MR"), "3.dcm").parent
    assert run("ingest", folder, "--site", "a", *key)[0] == 3
    listed = run("quarantine", "list")[1]
    assert {(row["code"], row["severity"], row["site"], row["files"]) for row in listed["counts"]} == {
        ("wrong-sop-class", "quarantine", "a", 2),
        ("wrong-modality", "refuse", "a", 1),
    }
    assert run("quarantine", "list", "--counts")[1] == {"counts": listed["counts"]}
    for choice, number in (
        (("--code", "wrong-modality"), 1),
        (("--severity", "quarantine"), 2),
        (("--site", "b"), 0),
        (("--days", 1), 0),
        (("--days", 0), 3),
    ):
        assert len(run("quarantine", "list", *choice)[1]["files"]) == number
    first, second = [row["sha256"] for row in listed["files"] if row["severity"] == "quarantine"]
    shown = run("quarantine", "show", first[:8])[1]
    assert (shown["releasable"], shown["times"], Path(shown["file"]).is_file()) == (True, 1, True)
    decide = ("--actor", "A. Engineer", "--reason", "looked at")
    assert run("quarantine", "release", first[:8], *decide, *key)[1]["outcome"] == "accepted"
    assert run("quarantine", "discard", second[:8], *decide)[1]["outcome"] == "discarded"
    code, judged = run("quarantine", "recheck", *key)
    assert (code, judged["moves"]) == (0, [{"before": "wrong-modality", "after": "wrong-modality", "files": 1}])
    refused = run("quarantine", "list")[1]["files"][0]["sha256"]
    code, answer = run("quarantine", "release", refused, *decide, *key)
    assert (code, answer["error"]["code"]) == (1, "not-releasable")
    assert run("quarantine", "release", refused, "--actor", "", "--reason", "x", *key)[0] == 2
    assert [entry["actor"] for entry in run("audit", "show")[1]["entries"]] == ["A. Engineer"] * 4
    assert run("audit", "verify")[0] == 0
    # The same, for a person.
    for words in (["list"], ["list", "--counts"], ["show", refused], ["recheck", *map(str, key)]):
        assert main(["quarantine", *words, "--workspace", str(tmp_path / "w")]) == 0
        assert "wrong-modality" in capsys.readouterr().out


def test_explanations_hold_every_clause_with_its_severity_and_words(
    run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    told = run("quarantine", "explain")[1]
    for name in shipped_contracts():
        for clause in load_contract(name).clauses:
            wanted = {"severity": str(clause.severity), "clause": clause.clause, "meaning": clause.sentence}
            assert any(wanted.items() <= rule.items() and name in rule["contracts"] for rule in told[clause.code])
    ranks = [str(severity) for severity in Severity]
    for rules in told.values():
        places = [ranks.index(rule["severity"]) for rule in rules]
        assert places == sorted(places)
        assert all(rule["meaning"].endswith(".") and rule["clause"] for rule in rules)
    assert main(["quarantine", "explain", "truncated"]) == 0
    assert "PS3.5" in capsys.readouterr().out


def test_every_code_of_a_file_is_explained() -> None:
    """The codes stand in the order of their kinds; those of commands come last."""
    text = Path(codes.__file__).read_text(encoding="utf-8").partition("# Commands that cannot go on")[0]
    of_files = set(re.findall(r'^    [A-Z_]+ = "([a-z-]+)"', text, re.MULTILINE))
    assert len(of_files) > 40
    assert of_files == set(explain_all())


def test_the_page_lists_what_the_code_and_the_contracts_say() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert as_markdown().strip() in text, "Replace the tables by the output of `osler quarantine explain --markdown`."
