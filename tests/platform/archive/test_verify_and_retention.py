"""Proof on what is stored, and taking a patient out again with every trace."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sqlite3
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from sqlalchemy.orm import Session

from osler import audit
from osler.archive import Archive, retention
from osler.archive.deleted import deleted_on
from osler.archive.models import Instance
from osler.archive.retention import delete_patient, retain
from osler.archive.verify import verify_archive
from osler.cli.main import main
from osler.database.move import move_to_server
from osler.database.search import rows_as_bytes
from osler.database_address import VARIABLE, Address
from osler.deid import Pseudonymizer
from osler.deid.crosswalk import Crosswalk
from osler.feedback import Conclusion, Review, read_reviews, save_review
from osler.ingest import ingest
from osler.watch.models import WatchStep, WatchStudy
from osler.watch.waiting_room import WaitingRoom, room_of
from osler.workspace import Workspace
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

Make = Callable[..., Dataset]
KEY = b"k" * 32
NAMES = ["Grablowski^Zenobia", "MRN00001", "1.2.3.1.1", "MRN00002"]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, make_radiograph: Make) -> Path:
    """Return a folder with a workspace of two patients, of whom one has a file in quarantine too, and a crosswalk."""
    folder = tmp_path_factory.mktemp("made")
    (folder / "source").mkdir()
    make_radiograph(1).save_as(folder / "source" / "one.dcm", enforce_file_format=True)
    make_radiograph(2).save_as(folder / "source" / "two.dcm", enforce_file_format=True)
    refused = make_radiograph(3, PatientID="MRN00001", Modality="CT")
    refused.save_as(folder / "source" / "refused.dcm", enforce_file_format=True)
    table = folder / "labels.csv"
    table.write_text("study_instance_uid,label,report\n1.2.3.1.1,a,Zenobia is well\n1.2.3.2.1,b,fine\n")
    workspace = Workspace.open(folder / "workspace", create=True)
    ingest(
        folder / "source",
        site="a",
        workspace=workspace,
        key=KEY,
        workers=0,
        labels=table,
        today=date(2024, 1, 1),
        crosswalk=Crosswalk(folder / "crosswalk", b"x" * 32, workspace),
    )
    return folder


@pytest.fixture
def archive(kept_in: str, made: Path, tmp_path: Path) -> Archive:
    """Return the archive of a copy of the workspace, as it is and moved into PostgreSQL."""
    shutil.copytree(made / "workspace", tmp_path / "workspace")
    workspace = Workspace.open(tmp_path / "workspace")
    if kept_in == "postgresql":
        move_to_server(workspace, Address(os.environ[VARIABLE]), actor="Dr Osler")
    return Archive(workspace)


@pytest.fixture
def crosswalk(made: Path, archive: Archive, tmp_path: Path) -> Crosswalk:
    """Return a copy of the crosswalk."""
    shutil.copy(made / "crosswalk", tmp_path / "crosswalk")
    return Crosswalk(tmp_path / "crosswalk", b"x" * 32, archive.workspace)


def test_a_sound_archive_is_proved(archive: Archive, crosswalk: Crosswalk) -> None:
    proof = verify_archive(archive, [*NAMES, *crosswalk.originals()])
    assert proof.faults == ()
    assert proof.objects == 2
    assert proof.identifiers > 5


def _rewritten(archive: Archive, change: Callable[[Dataset], None]) -> None:
    """Change a stored object, and let the index agree with it."""
    path = archive.studies()[0].instances[0].path
    dataset = dcmread(BytesIO(path.read_bytes()))
    change(dataset)
    dataset.save_as(path, enforce_file_format=True)
    with Session(archive.engine) as session:
        row = session.get_one(Instance, path.stem)
        row.sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
        session.commit()


def _private(dataset: Dataset) -> None:
    dataset.private_block(0x0099, "VENDOR", create=True).add_new(1, "LO", "x")


def _nested(dataset: Dataset) -> None:
    item = Dataset()
    item.OperatorsName = "somebody"
    dataset.ViewCodeSequence = [item]


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (_private, "element-not-removed"),
        (_nested, "element-not-removed"),
        (lambda dataset: setattr(dataset, "InstitutionName", "somewhere"), "element-not-removed"),
        (lambda dataset: setattr(dataset, "StationName", "somewhere"), "element-not-removed"),
        (lambda dataset: setattr(dataset, "FrameOfReferenceUID", "1.2.3.9"), "element-not-removed"),
        (lambda dataset: setattr(dataset, "ManufacturerModelName", "of Grablowski"), "identifier-found"),
        (lambda dataset: setattr(dataset, "PatientName", "Somebody^Else"), "no-pseudonym"),
        (lambda dataset: setattr(dataset, "PatientID", "P0"), "index-differs"),
    ],
)
def test_what_is_wrong_with_an_object_is_found(archive: Archive, change: Callable[[Dataset], None], what: str) -> None:
    _rewritten(archive, change)
    proof = verify_archive(archive, NAMES)
    assert what in {fault.what for fault in proof.faults}
    assert not [name for name in NAMES for fault in proof.faults if name in fault.detail]


def test_index_and_files_are_held_against_each_other(archive: Archive) -> None:
    first, second = (study.instances[0].path for study in archive.studies())
    first.rename(first.with_name("other.dcm"))
    second.write_bytes(second.read_bytes() + b"\0\0")
    faults = {fault.what for fault in verify_archive(archive).faults}
    assert {"missing", "not-in-index", "hash-differs"} <= faults


def test_identifiers_are_found_wherever_they_lie(archive: Archive) -> None:
    (archive.workspace.artifacts / "note.txt").write_bytes("Grablowski".encode("utf-16-le"))
    faults = verify_archive(archive, NAMES).faults
    assert [(fault.where, fault.what) for fault in faults] == [("artifacts/note.txt", "identifier-found")]


def _traces(archive: Archive, study: str, patient: str) -> None:
    """Leave traces of a study where commands would."""
    workspace = archive.workspace
    same = Conclusion("pneumonia", 0.5)
    for uid in (study, "2.25.1"):
        save_review(workspace, Review(uid, "a", "Dr Osler", {}, same, same, "m", "b"))
    (workspace.artifacts / "run").mkdir()
    (workspace.artifacts / "run" / "table.json").write_text(json.dumps({"studies": [study, "2.25.1"]}))
    (workspace.cache / "features" / "ab").mkdir(parents=True)
    (workspace.cache / "features" / "ab" / "x.safetensors").write_bytes(b"x")
    (workspace.cache / "explain").mkdir()
    np.savez(workspace.cache / "explain" / "x.npz", uids=np.array([study, "2.25.1"]))  # four bytes a character
    room = WaitingRoom(workspace)
    (room.empty(study) / "0.dcm").write_bytes(b"DICM of MRN00001")
    (room.empty("2.25.1") / "0.dcm").write_bytes(b"of somebody else")
    with Session(archive.engine) as session:
        session.add(WatchStudy(uid=study, sealed="sealed", stage="done", seen=0.0, touched=0.0, due=0.0))
        session.add(WatchStep(study=study, step="stored", at=0.0))
        session.commit()
    with sqlite3.connect(workspace.root / "mlflow.db") as tracker:
        tracker.execute("create table params (value text)")
        tracker.execute("insert into params values (?)", (f"{study},{patient}",))


def _bytes_of(archive: Archive) -> bytes:
    kept = [path for path in archive.workspace.root.rglob("*") if path.is_file() and path.name != audit.LOG]
    rows = [content for table, content in rows_as_bytes(archive.engine) if table != "audit_entries"]
    return b"".join([*(path.read_bytes() for path in kept), *rows])


def test_a_patient_is_taken_out_with_every_trace(archive: Archive, crosswalk: Crosswalk) -> None:
    pseudonymizer = Pseudonymizer(KEY)
    patient, study = pseudonymizer.patient("MRN00001", "a"), pseudonymizer.uid("1.2.3.1.1")
    _traces(archive, study, patient)
    told = {"actor": "Dr Osler", "reason": "the patient's wish", "pseudonymizer": pseudonymizer}
    removed = delete_patient(archive, patient, crosswalk=crosswalk, **told)  # type: ignore[arg-type]
    assert (removed.studies, removed.objects, removed.quarantined, removed.reviews) == (1, 1, 1, 1)
    assert removed.artifacts == 3
    assert removed.crosswalk == 4
    content = _bytes_of(archive)
    for trace in (patient, study, pseudonymizer.uid("1.2.3.1.3"), "MRN00001"):
        assert trace.encode() not in content
        assert trace.encode("utf-32-le") not in content
    assert [path.parent.name for path in room_of(archive.workspace).rglob("*.dcm")] == ["2.25.1"]
    assert [study.patient for study in archive.studies()] == [pseudonymizer.patient("MRN00002", "a")]
    assert [review.study for review in read_reviews(archive.workspace)] == ["2.25.1"]
    with Session(archive.engine) as session:
        marked = [deleted_on(session, pseudonymizer.uid(f"1.2.3.{number}.1")) for number in (1, 2, 3)]
    assert (marked[0], marked[1]) == (datetime.now(UTC).date().isoformat(), None)
    assert marked[2] == marked[0], "a study of which the gate let nothing in"
    assert verify_archive(archive).faults == ()
    assert [entry.action for entry in audit.entries(archive.workspace)][-2:] == ["archive.delete", "archive.deleted"]
    assert sum(sum(codes.values()) for codes in archive.intake_counts().values()) == 3
    with pytest.raises(OslerError) as caught:
        delete_patient(archive, patient, crosswalk=crosswalk, **told)  # type: ignore[arg-type]
    assert caught.value.code is Code.UNKNOWN_PATIENT


def test_a_deletion_that_was_cut_off_is_completed(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    pseudonymizer = Pseudonymizer(KEY)
    patient = pseudonymizer.patient("MRN00001", "a")

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    told = {"actor": "Dr Osler", "reason": "wish", "pseudonymizer": pseudonymizer}
    with monkeypatch.context() as patched:
        patched.setattr(retention, "_forget_rows", killed)
        with pytest.raises(KeyboardInterrupt):
            delete_patient(archive, patient, **told)  # type: ignore[arg-type]
    assert len(archive.studies()) == 2
    assert delete_patient(archive, patient, **told).studies == 1  # type: ignore[arg-type]
    assert len(archive.studies()) == 1


def test_retention_goes_by_arrival(archive: Archive, crosswalk: Crosswalk) -> None:
    told = {"actor": "Dr Osler", "reason": "ten years", "crosswalk": crosswalk}
    assert retain(archive, older_than_days=1, **told).studies == 0  # type: ignore[arg-type]
    later = datetime.now(UTC) + timedelta(days=3)
    removed = retain(archive, older_than_days=1, now=later, **told)  # type: ignore[arg-type]
    assert (removed.studies, removed.quarantined, removed.crosswalk) == (2, 1, 8)
    assert archive.studies() == []
    assert crosswalk.originals() == frozenset()


def test_the_command_verifies(archive: Archive, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    listed = tmp_path / "names.txt"
    listed.write_text("\n".join(NAMES), encoding="utf-8")
    words = ["archive", "verify", "--identifiers", str(listed), "--workspace", str(archive.workspace.root), "--json"]
    assert main(words) == 0
    assert json.loads(capsys.readouterr().out)["objects"] == 2
    archive.studies()[0].instances[0].path.unlink()
    assert main(words) == 1
    assert json.loads(capsys.readouterr().out)["faults"][0]["what"] == "missing"
