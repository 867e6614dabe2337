"""Ingestion of small folders: every file gets one outcome, whatever it is."""

from __future__ import annotations

import os
import sqlite3
from collections import Counter
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import UID, CTImageStorage, JPEG2000Lossless

from osler.archive import Archive, Outcome
from osler.deid import Pseudonymizer
from osler.ingest import IngestSummary, ingest
from osler.workspace import Workspace
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

Make = Callable[..., Dataset]
Write = Callable[..., Path]
KEY = b"k" * 32
TODAY = date(2024, 1, 1)


def take(source: Path, workspace: Workspace, **options: object) -> IngestSummary:
    arguments: dict[str, object] = {"site": "a", "key": KEY, "workers": 0, "today": TODAY}
    return ingest(source, workspace=workspace, **(arguments | options))  # type: ignore[arg-type]


@pytest.fixture
def source(make_radiograph: Make, write_dicom: Write, tmp_path: Path) -> Path:
    """Return a folder with one file for each outcome; names say the code, `ok` none."""
    write_dicom(make_radiograph(1), "ok.dcm")
    write_dicom(make_radiograph(2, ViewPosition="LL", PatientOrientation=["A", "F"]), "deep/er/ok-lateral")
    write_dicom(make_radiograph(1), "z/duplicate.dcm")
    write_dicom(make_radiograph(1, Modality="CR"), "z/conflicting-duplicate.dcm")
    write_dicom(make_radiograph(3, PixelData=None), "no-pixels.dcm")
    write_dicom(make_radiograph(4, SOPClassUID=CTImageStorage, Modality="CT"), "wrong-modality.dcm")
    write_dicom(make_radiograph(5, StudyDate="20990101"), "future-date.dcm")
    write_dicom(make_radiograph(6, BurnedInAnnotation="YES"), "burned-in-text.dcm")
    private = make_radiograph(7)
    private.private_block(0x0099, "VENDOR", create=True).add_new(1, "LO", "Zenobia")
    write_dicom(private, "identifier-in-private-tag.dcm")
    broken = make_radiograph(8)
    broken.compress(JPEG2000Lossless, generate_instance_uid=False)
    broken.PixelData = broken.PixelData[:30] + bytes(40) + broken.PixelData[70:]
    path = write_dicom(broken, "pixels-undecodable.dcm")
    cut = write_dicom(make_radiograph(9), "truncated.dcm")
    cut.write_bytes(cut.read_bytes()[:-100])
    (path.parent / ".hidden-not-dicom").write_text("a note")
    return tmp_path / "source"


def code_of(path: Path) -> str:
    name = path.name.removesuffix(".dcm").removeprefix(".hidden-")
    return "" if name.startswith("ok") else name


def test_every_file_gets_its_code(source: Path, workspace: Workspace) -> None:
    seen: dict[str, str] = {}
    summary = take(source, workspace, on_file=lambda path, _outcome, code: seen.update({path.name: code}))
    assert seen == {path.name: code_of(path) for path in source.rglob("*") if path.is_file()}
    assert (summary.received, summary.accepted, summary.duplicates, summary.eligible_frontal) == (12, 2, 1, 1)
    assert sum(summary.by_reason.values()) == summary.quarantined == 9
    assert summary.code is None


def test_refused_files_are_kept_untouched(source: Path, workspace: Workspace) -> None:
    originals = {path: path.read_bytes() for path in source.rglob("*") if path.is_file()}
    take(source, workspace)
    assert {path: path.read_bytes() for path in originals} == originals
    kept = Counter(path.read_bytes() for path in workspace.quarantine.glob("*.dcm"))
    refused = [content for path, content in originals.items() if code_of(path) not in ("", "duplicate")]
    assert kept == Counter(refused)
    for reason in Archive(workspace).quarantine.reasons():
        assert reason.kept
        assert "Zenobia" not in reason.detail


def test_no_original_value_in_archive_index_or_reasons(source: Path, workspace: Workspace) -> None:
    take(source, workspace)
    files = [path for path in workspace.root.rglob("*") if path.is_file() and path.suffix != ".dcm"]
    files += list(workspace.archive.rglob("*.dcm"))
    assert any(path.name == "index.sqlite" for path in files)
    for path in files:
        content = path.read_bytes().lower()
        for secret in (b"grablowski", b"zenobia", b"mrn0000", b"19510203", b"20200304", b"1.2.3.1."):
            assert secret not in content, (path.name, secret)


def test_archive_answers_by_pseudonym(source: Path, workspace: Workspace) -> None:
    take(source, workspace)
    archive, pseudonyms = Archive(workspace), Pseudonymizer(KEY)
    frontal = archive.study(pseudonyms.uid("1.2.3.1.1"))
    lateral = archive.study(pseudonyms.uid("1.2.3.2.1"))
    assert {study.uid for study in archive.studies("a")} == {frontal.uid, lateral.uid}
    assert archive.studies("b") == []
    assert archive.frontal(lateral) is None
    image = archive.frontal(frontal)
    assert image is not None
    assert (image.view, image.modality, image.rows, image.columns) == ("PA", "DX", 136, 128)
    dataset = dcmread(image.path)
    assert (dataset.PatientID, dataset.StudyDate) == (frontal.patient, frontal.study_date)
    assert image.acquired == f"{dataset.AcquisitionDate}101500"


def test_second_run_finds_duplicates_and_changes_nothing(source: Path, workspace: Workspace) -> None:
    first = take(source, workspace)
    before = {path: path.read_bytes() for path in workspace.root.rglob("*.dcm")}
    second = take(source, workspace)
    assert (second.accepted, second.duplicates) == (0, first.accepted + first.duplicates)
    assert second.by_reason == first.by_reason
    assert {path: path.read_bytes() for path in workspace.root.rglob("*.dcm")} == before
    counts = Archive(workspace).intake_counts()
    assert sum(counter.total() for counter in counts.values()) == first.received + second.received
    assert counts[Outcome.ACCEPTED].total() == first.accepted


def test_image_without_a_study_is_a_study_of_its_own(
    make_radiograph: Make, write_dicom: Write, workspace: Workspace
) -> None:
    for number in range(2):
        folder = write_dicom(make_radiograph(number, StudyInstanceUID=""), f"{number}.dcm").parent
    nowhere = make_radiograph(2)
    del nowhere.StudyInstanceUID
    write_dicom(nowhere, "2.dcm")
    write_dicom(make_radiograph(3, StudyInstanceUID="1.02.3"), "3.dcm")
    summary = take(folder, workspace, contract="any-image")
    assert (summary.accepted, summary.by_reason, summary.warnings["uid-invalid"]) == (3, {"uid-invalid": 1}, 3)
    studies = Archive(workspace).studies()
    stored = {str(dcmread(image.path).StudyInstanceUID) for study in studies for image in study.instances}
    assert stored == {study.uid for study in studies}
    assert [UID(uid).is_valid for uid in stored] == [True] * 3
    assert take(folder, workspace, contract="any-image").duplicates == 3
    assert not take(folder, Workspace.open(workspace.root / "chest", create=True)).accepted


@pytest.mark.parametrize("kind", [b"DA", b"LO", b"AE"])
def test_pixels_described_under_the_wrong_kind_of_value_are_refused(
    make_radiograph: Make, write_dicom: Write, workspace: Workspace, kind: bytes
) -> None:
    """As a date, the photometric interpretation would be taken for one that is to be shifted, and be lost."""
    path = write_dicom(make_radiograph())
    content = path.read_bytes()
    path.write_bytes(content.replace(b"\x28\x00\x04\x00CS", b"\x28\x00\x04\x00" + kind))
    assert path.read_bytes() != content
    assert take(path, workspace, contract="any-image").by_reason == {"header-invalid": 1}


def test_two_workspaces_hold_the_same_bytes(source: Path, workspace: Workspace, tmp_path: Path) -> None:
    other = Workspace.open(tmp_path / "other", create=True)
    for target in (workspace, other):
        take(source, target)
    files = [
        {path.relative_to(w.root): path.read_bytes() for path in w.root.rglob("*.dcm")} for w in (workspace, other)
    ]
    assert files[0] == files[1]


def test_file_without_row_after_a_crash_is_taken_again(source: Path, workspace: Workspace) -> None:
    take(source, workspace)
    with sqlite3.connect(workspace.archive / "index.sqlite") as connection:
        connection.execute("DELETE FROM instances")
    assert take(source, workspace).accepted == 2


def test_row_without_file_is_taken_again(source: Path, workspace: Workspace) -> None:
    take(source, workspace)
    for path in workspace.archive.rglob("*.dcm"):
        path.unlink()
    again = take(source, workspace)
    assert (again.accepted, again.duplicates) == (2, 1)
    assert len(list(workspace.archive.rglob("*.dcm"))) == 2


def test_refused_under_one_contract_accepted_under_another(source: Path, workspace: Workspace) -> None:
    take(source, workspace)
    assert "wrong-modality" in {reason.code for reason in Archive(workspace).quarantine.reasons()}
    summary = take(source / "wrong-modality.dcm", workspace, contract="any-image")
    assert summary.accepted == 1
    assert "wrong-modality" not in {reason.code for reason in Archive(workspace).quarantine.reasons()}


def test_unnamed_view_is_accepted_with_a_warning(
    make_radiograph: Make, write_dicom: Write, workspace: Workspace
) -> None:
    path = write_dicom(make_radiograph(ViewPosition="", PatientOrientation=""))
    summary = take(path, workspace)
    assert (summary.accepted, summary.eligible_frontal) == (1, 0)
    assert "view-unknown" in Archive(workspace).studies()[0].warnings


def test_labels_and_reports_follow_the_pseudonym(source: Path, workspace: Workspace, tmp_path: Path) -> None:
    table = tmp_path / "labels.csv"
    table.write_text(
        "study_instance_uid,patient_id,report,finding,grade\n"
        "1.2.3.1.1,MRN00001,Ms GRABLOWSKI has no effusion.,normal,\n"
        "9.9.9,X,,pneumonia,2\n"
    )
    for _first_run_then_second in range(2):
        summary = take(source, workspace, labels=table)
        assert (summary.labelled, summary.unmatched) == (1, 1)
    study = Archive(workspace).study(Pseudonymizer(KEY).uid("1.2.3.1.1"))
    assert study.labels == {"finding": "normal"}
    assert study.report == "Ms [removed] has no effusion."


@pytest.mark.parametrize("content", ["", "uid,finding\n1,2\n", "study_instance_uid\n1\n1\n"])
def test_bad_tables_of_labels(source: Path, workspace: Workspace, tmp_path: Path, content: str) -> None:
    (tmp_path / "labels.csv").write_text(content)
    with pytest.raises(OslerError) as caught:
        take(source, workspace, labels=tmp_path / "labels.csv")
    assert caught.value.code is Code.TABLE_INVALID


def test_bad_sources(workspace: Workspace, tmp_path: Path) -> None:
    (tmp_path / "empty" / "deep").mkdir(parents=True)
    for folder, code in (("nowhere", Code.SOURCE_MISSING), ("empty", Code.EMPTY_SOURCE)):
        with pytest.raises(OslerError) as caught:
            take(tmp_path / folder, workspace)
        assert caught.value.code is code


def test_source_of_text_only(workspace: Workspace, tmp_path: Path) -> None:
    (tmp_path / "texts").mkdir()
    for number in range(3):
        (tmp_path / "texts" / f"{number}.txt").write_text(f"note {number}")
    summary = take(tmp_path / "texts", workspace)
    assert summary.to_dict()["by_reason"] == {"not-dicom": 3}
    assert summary.code is Code.NOTHING_ELIGIBLE
    assert "[nothing-eligible]" in summary.lines()[-1]


def test_odd_entries_are_counted_and_loops_end(make_radiograph: Make, write_dicom: Write, workspace: Workspace) -> None:
    folder = write_dicom(make_radiograph()).parent
    (folder / "loop").symlink_to(folder, target_is_directory=True)
    (folder / "again.dcm").symlink_to(folder / "image.dcm")
    (folder / "dead.dcm").symlink_to(folder / "nowhere")
    os.mkfifo(folder / "pipe")
    summary = take(folder, workspace)
    assert (summary.received, summary.accepted, summary.duplicates) == (4, 1, 1)
    assert summary.by_reason == {"unreadable": 2}


def test_workspace_inside_the_source_is_not_taken_in(make_radiograph: Make, write_dicom: Write) -> None:
    folder = write_dicom(make_radiograph()).parent
    inside = Workspace.open(folder / "workspace", create=True)
    take(folder, inside)
    assert take(folder, inside).duplicates == 1


def test_another_key_is_refused(source: Path, workspace: Workspace) -> None:
    take(source, workspace)
    with pytest.raises(OslerError) as caught:
        take(source, workspace, key=b"x" * 32)
    assert caught.value.code is Code.KEY_INVALID


@pytest.mark.filterwarnings("ignore:Invalid value for VR")
def test_no_value_reaches_a_log(
    make_radiograph: Make,
    write_dicom: Write,
    workspace: Workspace,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    path = write_dicom(make_radiograph(PatientAge="GRABLOWSKI", AcquisitionDate="ZENOBIA"))
    caplog.clear()
    capfd.readouterr()
    take(path, workspace)
    said = capfd.readouterr()
    for text in (caplog.text, said.out, said.err):
        assert "GRABLOWSKI" not in text
        assert "ZENOBIA" not in text


def test_equal_content_under_another_wrapping_is_a_duplicate(
    make_radiograph: Make, write_dicom: Write, workspace: Workspace
) -> None:
    sent_on = make_radiograph(1)
    sent_on.file_meta.SourceApplicationEntityTitle = "PACS"
    sent_on.preamble = b"x" * 128
    folder = write_dicom(make_radiograph(1), "a.dcm").parent
    assert write_dicom(sent_on, "b.dcm").read_bytes() != (folder / "a.dcm").read_bytes()
    for expected in ((1, 1), (0, 2)):
        summary = take(folder, workspace)
        assert (summary.accepted, summary.duplicates) == expected
    assert not list(workspace.quarantine.iterdir())
