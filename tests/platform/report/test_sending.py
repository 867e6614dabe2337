"""To a PACS: under the patient's own name, once, read back, and nothing half-sent where something fails."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from io import BytesIO

import pytest
from pydicom import dcmread
from pydicom.uid import Comprehensive3DSRStorage, GrayscaleSoftcopyPresentationStateStorage

from osler.audit import entries
from osler.deid.links import Link
from osler.report.receivers import Receiver, ReceiverOptions, open_receiver
from osler.report.sending import SENT, THERE, Sent, send_reports
from osler.sources.web_client import Patience
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

from .conftest import NAMES, PHOTO, PLAIN, SCRIPTED, SEVERAL, Hospital, uid
from .servers import Faults, PacsStore, Store, WebStore

pytestmark = pytest.mark.slow
IMPATIENT = ReceiverOptions(patience=Patience(tries=2, pause_s=0.01, timeout_s=30))


@pytest.fixture(params=[WebStore, PacsStore], ids=["stow", "c-store"])
def pacs(request: pytest.FixtureRequest) -> Iterator[Store]:
    """A receiver of each kind."""
    store = request.param()
    yield store
    store.close()


@pytest.fixture
def web() -> Iterator[WebStore]:
    store = WebStore()
    yield store
    store.close()


def _receiver(store: Store) -> Receiver:
    return open_receiver(store.address, IMPATIENT)  # type: ignore[attr-defined]


def _send(hospital: Hospital, store: Store, *numbers: int) -> list[Sent]:
    studies = [uid(number) for number in numbers]
    receiver = _receiver(store)
    return send_reports(hospital.reporter, studies, receiver, hospital.crosswalk, actor="eva", reason="results")


def _days(value: str) -> int:
    return date(int(value[:4]), int(value[4:6]), int(value[6:])).toordinal()


def _states(sent: list[Sent]) -> list[str]:
    return [one.state for one in sent]


def test_what_is_sent_is_there_once_and_audited(hospital: Hospital, pacs: Store) -> None:
    assert _states(_send(hospital, pacs, PLAIN, SEVERAL)) == [SENT, SENT]
    assert _states(_send(hospital, pacs, PLAIN, SEVERAL)) == [THERE, THERE]
    assert len(pacs.held) == 2
    log = [(one.action, one.actor, one.subject) for one in entries(hospital.workspace)]
    for number in (PLAIN, SEVERAL):
        assert log.count(("report.send", "eva", uid(number))) == 1
        assert log.count(("report.sent", "eva", uid(number))) == 1


def test_the_sent_copy_carries_the_patients_own_name_and_no_pseudonym(hospital: Hospital, pacs: Store) -> None:
    _send(hospital, pacs, PLAIN)
    (sent,) = pacs.headers()
    assert (str(sent.PatientName), sent.PatientID) == ("Grablowski^Zenobia", "MRN00000")
    assert (sent.PatientBirthDate, sent.PatientSex) == ("19510203", "F")
    assert (sent.StudyInstanceUID, sent.StudyDate, sent.StudyTime) == ("1.2.3.0.1", "20200304", "101112")
    assert (sent.AccessionNumber, sent.StudyID) == ("ACC-77", "77")
    reference = sent.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence[0]
    assert reference.SeriesInstanceUID == "1.2.3.0.2"
    assert reference.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == "1.2.3.0.3"
    assert "PatientIdentityRemoved" not in sent
    assert "DeidentificationMethod" not in sent
    study = hospital.reporter.explainer.archive.study(uid(PLAIN))
    (content,) = pacs.held.values()
    for pseudonym in (study.uid, study.patient, *(one.uid for one in study.instances)):
        assert pseudonym.encode() not in content


def test_the_archived_twin_carries_the_pseudonym_and_moved_dates(hospital: Hospital, pacs: Store) -> None:
    _send(hospital, pacs, PLAIN)
    (path,) = hospital.workspace.reports.rglob("*.dcm")
    twin, (sent,) = dcmread(path), pacs.headers()
    study = hospital.reporter.explainer.archive.study(uid(PLAIN))
    assert (twin.PatientID, twin.StudyInstanceUID, twin.StudyDate) == (study.patient, study.uid, study.study_date)
    assert twin.SOPInstanceUID != sent.SOPInstanceUID
    assert twin.PatientIdentityRemoved == "YES"
    assert twin.LongitudinalTemporalInformationModified == "MODIFIED"
    assert _days(twin.ContentDate) - _days(sent.ContentDate) == _days(twin.StudyDate) - _days(sent.StudyDate)
    for original in hospital.crosswalk.originals():
        if len(original) > 3:
            assert original.encode() not in path.read_bytes()


@pytest.mark.parametrize("number", [PHOTO, SEVERAL, SCRIPTED])
def test_names_of_all_kinds_arrive_as_they_were(hospital: Hospital, pacs: Store, number: int) -> None:
    _send(hospital, pacs, number)
    (sent,) = pacs.headers()
    assert str(sent.PatientName).rstrip("^") == NAMES[number].rstrip("^")


def test_a_second_report_names_the_one_that_it_replaces(hospital: Hospital, pacs: Store) -> None:
    _send(hospital, pacs, PLAIN)
    hospital.sign(PLAIN, comment="As Mr. Grablowski said.")
    assert _states(_send(hospital, pacs, PLAIN)) == [SENT]
    assert _states(_send(hospital, pacs, PLAIN)) == [THERE]
    first, second = sorted(pacs.headers(), key=lambda one: int(one.InstanceNumber))
    reference = second.PredecessorDocumentsSequence[0].ReferencedSeriesSequence[0].ReferencedSOPSequence[0]
    assert reference.ReferencedSOPInstanceUID == first.SOPInstanceUID
    assert (first.PreliminaryFlag, second.PreliminaryFlag) == ("PRELIMINARY", "FINAL")
    observer = second.VerifyingObserverSequence[0]
    assert str(observer.VerifyingObserverName).rstrip("^") == "Dr. Ada Brook"
    assert b"Grablowski said" in pacs.held[second.SOPInstanceUID]


def test_without_a_crosswalk_nothing_is_sent_and_the_mend_is_told(hospital: Hospital, web: WebStore) -> None:
    with pytest.raises(OslerError) as told:
        send_reports(hospital.reporter, [uid(PLAIN)], _receiver(web), None, actor="eva", reason="results")
    assert told.value.code is Code.CROSSWALK_INVALID
    assert "--crosswalk" in told.value.mend
    assert web.received == 0


def test_a_study_that_the_crosswalk_does_not_hold_stops_all(hospital: Hospital, web: WebStore) -> None:
    study = hospital.reporter.explainer.archive.study(uid(SEVERAL))
    hospital.crosswalk.forget(study.patient)
    with pytest.raises(OslerError) as told:
        _send(hospital, web, PLAIN, SEVERAL)
    assert told.value.code is Code.UNKNOWN_PSEUDONYM
    assert web.received == 0


def test_what_is_there_is_not_sent_again_after_a_crash_before_the_journal(hospital: Hospital, pacs: Store) -> None:
    _send(hospital, pacs, PLAIN)
    journal = hospital.workspace.reports / "journal.jsonl"
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(lines[0])  # the line that says that it arrived is lost
    assert _states(_send(hospital, pacs, PLAIN)) == [THERE]
    arrivals = [one for one in entries(hospital.workspace) if one.action == "report.sent"]
    assert [one.details["objects"] for one in arrivals] == ["1", "1"], "the log is told rather twice than not at all"
    journal.write_bytes(lines[0])
    hospital.sign(PLAIN)
    assert _states(_send(hospital, pacs, PLAIN)) == [SENT]
    newest = max(pacs.headers(), key=lambda one: int(one.InstanceNumber))
    assert "PredecessorDocumentsSequence" in newest


def test_a_report_that_never_arrived_is_not_named_as_replaced(hospital: Hospital, pacs: Store) -> None:
    pacs.faults.dropped = True
    with pytest.raises(OslerError) as told:
        _send(hospital, pacs, PLAIN)
    assert told.value.code is Code.SOURCE_FAILED
    pacs.faults.dropped = False
    hospital.sign(PLAIN)
    assert _states(_send(hospital, pacs, PLAIN)) == [SENT]
    (only,) = pacs.headers()
    assert "PredecessorDocumentsSequence" not in only
    assert int(only.InstanceNumber) == 1


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (401, Code.SOURCE_REFUSED_LOGIN),
        (404, Code.NOT_DICOMWEB),
        (409, Code.SOURCE_FAILED),
        (413, Code.SOURCE_REFUSED),
        (500, Code.SOURCE_FAILED),
    ],
)
def test_a_server_that_refuses_is_told_without_its_words(
    hospital: Hospital, web: WebStore, status: int, code: Code
) -> None:
    web.faults.status = status
    with pytest.raises(OslerError) as told:
        _send(hospital, web, PLAIN)
    assert told.value.code is code
    assert "patient's name" not in str(told.value)
    assert web.held == {}
    web.faults.status = None
    assert _states(_send(hospital, web, PLAIN)) == [SENT]


def test_a_pacs_that_refuses_is_told(hospital: Hospital) -> None:
    pacs = PacsStore(Faults(status=0xA700))
    try:
        with pytest.raises(OslerError) as told:
            _send(hospital, pacs, PLAIN)
    finally:
        pacs.close()
    assert told.value.code is Code.SOURCE_REFUSED
    assert "0xA700" in told.value.message


def test_a_kind_that_the_pacs_does_not_know_stops_the_whole_study(hospital: Hospital) -> None:
    hospital.settle("concepts: 5\npresentation: gsps\n")
    pacs = PacsStore(Faults(kinds=(str(Comprehensive3DSRStorage),)))
    try:
        with pytest.raises(OslerError) as told:
            _send(hospital, pacs, PLAIN)
        assert told.value.code is Code.SOURCE_REFUSED
        assert pacs.held == {}
    finally:
        pacs.close()


def test_what_a_server_stored_of_a_study_is_not_sent_twice(hospital: Hospital, web: WebStore) -> None:
    hospital.settle("concepts: 5\npresentation: gsps\n")
    web.faults.failing = {str(Comprehensive3DSRStorage)}
    with pytest.raises(OslerError) as told:
        _send(hospital, web, PLAIN)
    assert "1 of 2 objects (0xA700)" in told.value.message
    assert [one.SOPClassUID for one in web.headers()] == [GrayscaleSoftcopyPresentationStateStorage]
    web.faults.failing = set()
    assert _states(_send(hospital, web, PLAIN)) == [THERE, SENT]


def test_demographics_may_be_coerced_and_content_may_not(hospital: Hospital, web: WebStore) -> None:
    web.faults.coerced = {"PatientName": "Grablowski^Zenobia^Maria", "StudyDescription": "CHEST PA"}
    assert _states(_send(hospital, web, PLAIN)) == [SENT]
    web.faults.coerced = {"PreliminaryFlag": "FINAL"}
    with pytest.raises(OslerError) as told:
        _send(hospital, web, SEVERAL)
    assert told.value.code is Code.SOURCE_REFUSED


@pytest.mark.parametrize("address", ["http://127.0.0.1:9/dicom-web", "dicom://PACS@127.0.0.1:9"])
def test_an_absent_pacs_is_told_before_anything_is_noted(hospital: Hospital, address: str) -> None:
    receiver = open_receiver(address, IMPATIENT)
    with pytest.raises(OslerError) as told:
        send_reports(hospital.reporter, [uid(PLAIN)], receiver, hospital.crosswalk, actor="eva", reason="results")
    assert told.value.code is Code.SOURCE_UNREACHABLE
    assert not (hospital.workspace.reports / "journal.jsonl").exists()


@pytest.mark.parametrize("address", ["/a/folder", "listen://OSLER@127.0.0.1:11112"])
def test_reports_go_to_servers_only(address: str) -> None:
    with pytest.raises(OslerError) as told:
        open_receiver(address, IMPATIENT)
    assert told.value.code is Code.USAGE


@pytest.mark.parametrize("name", ["Bad\\Name^X", "A^B^C^D^E^F", "Line\nBreak^X"])
def test_a_name_that_no_object_can_carry_is_refused(hospital: Hospital, web: WebStore, name: str) -> None:
    study = hospital.reporter.explainer.archive.study(uid(PLAIN))
    hospital.crosswalk.add([Link("patient", study.patient, study.patient, {"PatientName": name})])
    with pytest.raises(OslerError) as told:
        _send(hospital, web, PLAIN)
    assert told.value.code is Code.CROSSWALK_INVALID
    assert name not in str(told.value)
    assert web.received == 0


def test_a_study_of_another_patient_in_the_crosswalk_is_refused(hospital: Hospital, web: WebStore) -> None:
    hospital.crosswalk.add([Link("study", uid(PLAIN), "P" + "0" * 16, {"StudyInstanceUID": "1.2.9"})])
    with pytest.raises(OslerError) as told:
        _send(hospital, web, PLAIN)
    assert told.value.code is Code.CROSSWALK_INVALID
    assert web.received == 0


def test_pictures_go_with_the_report_where_the_site_says_so(hospital: Hospital, web: WebStore) -> None:
    hospital.settle("concepts: 5\npresentation: sc\n")
    assert [one.format for one in _send(hospital, web, PHOTO)] == ["sc", "sr"]
    capture = next(one for one in web.headers() if one.Modality == "OT")
    assert list(capture.ImageType) == ["DERIVED", "SECONDARY"]
    assert capture.BurnedInAnnotation == "NO"
    assert capture.PatientID == "MRN00001"
    assert capture.SourceImageSequence[0].ReferencedSOPInstanceUID == "1.2.3.1.3"
    assert dcmread(BytesIO(web.held[capture.SOPInstanceUID])).pixel_array.shape[1] >= 128
