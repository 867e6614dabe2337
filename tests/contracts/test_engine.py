"""The engine: no patient value leaves it, nothing is fetched or written, and batches are quick."""

from __future__ import annotations

import datetime
import json
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from osler_contracts.codes import Code
from osler_contracts.contract import Contract, Severity, load_contract, shipped_contracts
from osler_contracts.engine import check_headers
from osler_contracts.errors import OslerError
from osler_contracts.headers import COLUMNS, header_table
from osler_contracts.report import ContractReport

PLANTED = "DOE^JANE 19550820"
# Runs a contract where any attempt to reach a network, even one that is then forgiven, shows in the audit trail.
ALONE = """
import sys
attempts = []
events = ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto")
sys.addaudithook(lambda event, arguments: attempts.append(event) if event in events else None)
from osler_contracts.contract import load_contract
from osler_contracts.engine import check_headers
from osler_contracts.headers import header_table
assert "great_expectations" not in sys.modules
report = check_headers(header_table([{"key": "a", "modality": "MR"}]), load_contract("chest-radiograph"))
print(report.by_row()["a"][0].code, attempts)
"""


def test_it_runs_without_a_home_and_asks_no_network(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.write_text("a file, so that no folder can be made in it, whoever runs this", encoding="utf-8")
    environment = {"HOME": str(home), "PATH": "", "XDG_CONFIG_HOME": str(home / "x"), "XDG_CACHE_HOME": str(home / "y")}
    folder = tmp_path / "cwd"
    folder.mkdir()
    command = [sys.executable, "-c", ALONE]
    done = subprocess.run(
        command, env=environment, cwd=folder, capture_output=True, text=True, check=False, timeout=300
    )
    assert done.stdout.strip() == "wrong-modality []", done.stderr
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("name", shipped_contracts())
def test_no_value_of_a_header_is_told(
    name: str, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    table = header_table({"key": key, **dict.fromkeys(COLUMNS, PLANTED)} for key in ("a", "b"))
    report = check_headers(table, load_contract(name), datetime.date(2024, 2, 28), [PLANTED])
    assert report.counts()["refuse"] == 2
    captured = capfd.readouterr()
    told = json.dumps(report.to_dict()) + repr(report) + captured.out + captured.err + caplog.text
    assert not any(word in told for word in ("DOE", "JANE", "19550820"))


def test_progress_bars_stay_off(capfd: pytest.CaptureFixture[str]) -> None:
    check_headers(header_table([{"key": "a"}]), load_contract("any-image"))
    assert capfd.readouterr() == ("", "")


def test_a_batch_is_judged_at_once(chest_header: dict[str, object]) -> None:
    own = ({"key": str(n), "sop_instance_uid": f"1.2.3.{n}", "content_sha256": f"{n:064}"} for n in range(20_000))
    rows = ({**chest_header, **names, "rows": 16 if n % 2 else 512} for n, names in enumerate(own))
    table, contract = header_table(rows), load_contract("chest-radiograph")
    report = check_headers(table, contract, datetime.date(2024, 2, 28))
    assert report.counts() == {"accept": 10_000, "warn": 0, "quarantine": 0, "refuse": 10_000}


def test_violations_come_in_the_order_of_the_table_and_by_gravity(chest_header: dict[str, object]) -> None:
    spoiled = {"study_date": "20990101", "view_position": None, "rows": 5, "modality": "MR"}
    table = header_table({"key": key, **chest_header, **spoiled} for key in ("z", "a", "m"))
    report = check_headers(table, load_contract("chest-radiograph"), datetime.date(2024, 2, 28))
    assert report.results[0].violated == ("z", "a", "m")
    codes = [hit.code for hit in report.by_row()["a"] if hit.code is not Code.INSTANCE_REPEATED]
    assert codes[:4] == [Code.WRONG_MODALITY, Code.ABSURD_SIZE, Code.FUTURE_DATE, Code.DATES_INCOHERENT]
    assert codes[-1] is Code.VIEW_UNKNOWN


def test_the_report_is_json_with_state_and_reason(chest_header: dict[str, object]) -> None:
    table = header_table([{"key": "a", **chest_header, "rows": 5}]).drop(columns="patient_age")
    told = json.loads(json.dumps(check_headers(table, load_contract("chest-radiograph")).to_dict()))
    states = {clause["name"]: (clause["state"], clause["violated"], clause["unchecked"]) for clause in told["clauses"]}
    assert states["size"] == ("violated", ["a"], None)
    assert states["one-frame"] == ("held", [], None)
    assert states["age-form"] == ("could not be checked", [], "the table lacks patient_age")
    assert told["counts"] == {"accept": 0, "warn": 0, "quarantine": 0, "refuse": 1}


def test_a_check_that_fails_is_no_verdict(chest_header: dict[str, object], decodable: tuple[str, ...]) -> None:
    table = header_table([{"key": "a", **chest_header}])
    broken = table.assign(specific_character_set=pd.Series([object()], index=table.index))
    report = check_headers(broken, load_contract("chest-radiograph"), datetime.date(2024, 2, 28), decodable)
    assert {result.clause.name: result.unchecked for result in report.unchecked} == {
        "character-set": "the check itself failed"
    }
    assert report.by_row() == {"a": []}


def test_a_gate_stays_shut_where_a_clause_that_keeps_files_out_was_not_checked(
    chest_header: dict[str, object], decodable: tuple[str, ...]
) -> None:
    table, contract = header_table([{"key": "a", **chest_header}]), load_contract("chest-radiograph")

    def checked(*left_out: str) -> ContractReport:
        return check_headers(table.drop(columns=[*left_out]), contract, None, decodable).require_complete()

    assert checked().by_row() == {"a": []}
    assert checked("patient_age").by_row() == {"a": []}
    with pytest.raises(OslerError, match=r"private-identifier \(the table lacks private_identifier\)") as caught:
        checked("private_identifier")
    assert caught.value.code is Code.CONTRACT_INCOMPLETE
    with pytest.raises(OslerError, match="decoder"):
        check_headers(table, contract).require_complete()


def test_clauses_that_check_the_same_both_answer() -> None:
    first = load_contract("chest-radiograph").clauses[0]
    twins = [
        first.model_copy(update={"name": name, "severity": severity})
        for name, severity in zip("ab", Severity, strict=False)
    ]
    contract = Contract(name="twins", version=1, summary="The same twice.", clauses=tuple(twins))
    report = check_headers(header_table([{"key": "k", "modality": "MR"}, {"key": "n"}]), contract)
    assert [result.violated for result in report.results] == [("k", "n"), ("k", "n")]


def test_repeated_keys_are_refused() -> None:
    table = header_table([{"key": "a"}, {"key": "b"}]).set_axis(["a", "a"], axis="index")
    with pytest.raises(OslerError) as caught:
        check_headers(table, load_contract("any-image"))
    assert caught.value.code is Code.TABLE_INVALID
