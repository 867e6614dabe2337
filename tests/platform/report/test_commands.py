"""`osler report`: files, refusals, and reading a report back."""

from __future__ import annotations

import errno
import json
from pathlib import Path
from typing import Any

import pytest

from osler.audit import entries
from osler.cli.main import main

from .conftest import LATERAL, PLAIN, SCRIPTED, Hospital, uid


def _run(hospital: Hospital, capsys: pytest.CaptureFixture[str], *words: str, expect: int = 0) -> dict[str, Any]:
    capsys.readouterr()
    where = [] if words[0] == "show" else ["--workspace", str(hospital.workspace.root)]
    assert main(["report", *words, *where, "--json"]) == expect
    return dict(json.loads(capsys.readouterr().out))


def _code(*arguments: Any) -> str:
    return str(_run(*arguments, expect=1)["error"]["code"])


def test_a_report_is_written_audited_and_read_back(
    hospital: Hospital, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    made = _run(hospital, capsys, "make", uid(PLAIN), uid(SCRIPTED), "--out", str(out), "--actor", "eva")["reports"]
    assert [row["study"] for row in made] == [uid(PLAIN), uid(SCRIPTED)]
    again = _run(hospital, capsys, "make", uid(PLAIN), "--out", str(out), "--actor", "eva")["reports"]
    assert again == made[:1]
    assert len(list(out.iterdir())) == 2
    assert [(one.actor, one.action) for one in entries(hospital.workspace)][-1] == ("eva", "report.make")
    (one,) = _run(hospital, capsys, "show", made[0]["file"])["reports"]
    assert (one["study"], one["status"]) == (uid(PLAIN), "PRELIMINARY")
    assert len(_run(hospital, capsys, "show", str(out))["reports"]) == 2


def test_all_studies_of_a_site_are_those_with_an_image(
    hospital: Hospital, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    made = _run(hospital, capsys, "make", "--site", "b", "--format", "fhir", "--out", str(tmp_path / "o"))["reports"]
    assert len(made) == 4
    assert uid(LATERAL) not in {row["study"] for row in made}


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], "--site"),
        (["1.2.3", "--site", "b"], "--site"),
        (["--site", "b", "--limit", "0"], "--limit"),
        (["1.2.3", "--limit", "1"], "--limit"),
    ],
)
def test_which_studies_are_meant_must_be_clear(
    hospital: Hospital, capsys: pytest.CaptureFixture[str], tmp_path: Path, words: list[str], told: str
) -> None:
    error = _run(hospital, capsys, "make", *words, "--out", str(tmp_path / "o"), expect=2)["error"]
    assert (error["code"], told in error["message"]) == ("usage", True)


def test_what_cannot_be_reported_is_told(
    hospital: Hospital, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    out = ["--out", str(tmp_path / "o")]
    assert _code(hospital, capsys, "make", uid(LATERAL), *out) == "nothing-eligible"
    assert _code(hospital, capsys, "make", "1.2.3", *out) == "unknown-study"
    assert _code(hospital, capsys, "make", uid(PLAIN), "--model", "other", *out) == "model-invalid"
    assert _code(hospital, capsys, "make", "--site", "nowhere", *out) == "nothing-eligible"
    bank = hospital.workspace.root / "models" / "random" / "bank.json"
    text = bank.read_text(encoding="utf-8").replace("Is concept 3 there?", "Is concept 3 not there?")
    record = json.loads(text)
    record.pop("sha256")  # edited on purpose
    (tmp_path / "bank.json").write_text(json.dumps(record), encoding="utf-8")
    other = ["--bank", str(tmp_path / "bank.json")]
    assert _code(hospital, capsys, "make", uid(PLAIN), *other, *out) == "bank-mismatch"
    to = ["--to", "http://127.0.0.1:9/dicom-web", "--actor", "eva", "--reason", "results"]
    assert _code(hospital, capsys, "send", uid(PLAIN), *to) == "crosswalk-invalid"
    assert not (tmp_path / "o").exists()


@pytest.mark.parametrize("text", ["presentation: film", "colour: blue", "concepts: 33", "- a", "a: [", "device_uid: x"])
def test_settings_that_nobody_understands_are_refused(
    hospital: Hospital, capsys: pytest.CaptureFixture[str], tmp_path: Path, text: str
) -> None:
    (hospital.workspace.root / "report.yaml").write_text(text, encoding="utf-8")
    told = _run(hospital, capsys, "make", uid(PLAIN), "--out", str(tmp_path), expect=2)["error"]
    assert told["code"] == "usage"
    assert "report.yaml" in told["message"]


@pytest.mark.parametrize("kept", [b"", b"\xff\xfe", b"2.25.007\n", b"2.25." + b"1" * 70])
def test_an_installation_that_lost_its_uid_does_not_take_another(
    hospital: Hospital, capsys: pytest.CaptureFixture[str], tmp_path: Path, kept: bytes
) -> None:
    hospital.workspace.reports.mkdir(exist_ok=True)
    (hospital.workspace.reports / "device").write_bytes(kept)
    assert _code(hospital, capsys, "make", uid(PLAIN), "--out", str(tmp_path / "o")) == "workspace-invalid"
    (hospital.workspace.root / "report.yaml").write_text("device_uid: 2.25.7", encoding="utf-8")
    assert _run(hospital, capsys, "make", uid(PLAIN), "--out", str(tmp_path / "o"))["reports"]


def test_a_full_disk_leaves_no_half_of_a_report(
    hospital: Hospital, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, content: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr("osler.report.files.write_atomically", full)
    assert _code(hospital, capsys, "make", uid(PLAIN), "--out", str(tmp_path / "o")) == "disk-full"
    assert not list(tmp_path.glob("o/*"))


def test_other_files_are_no_reports_of_ours(
    hospital: Hospital, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    image = hospital.reporter.explainer.archive.study(uid(PLAIN)).instances[0].path
    assert _code(hospital, capsys, "show", str(image)) == "wrong-sop-class"
    assert _code(hospital, capsys, "show", str(hospital.workspace.root / "report.yaml")) == "not-dicom"
    assert _code(hospital, capsys, "show", str(tmp_path / "nothing.dcm")) == "source-missing"
    (tmp_path / "empty").mkdir()
    assert _code(hospital, capsys, "show", str(tmp_path / "empty")) == "source-missing"
