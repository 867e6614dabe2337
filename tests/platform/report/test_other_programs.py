"""What others make of our reports: dciodvfy finds nothing, dsrdump renders them, a real Orthanc gives them back."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import pytest
from pydicom import dcmread
from tests.platform.patches import by_hand

from osler.adapt.changes import ConceptDelta
from osler.report.codes import SCHEME, SCHEME_UID
from osler.report.receivers import ReceiverOptions, open_receiver
from osler.report.sending import SENT, THERE, send_reports
from osler.sources.login import PASSWORD, USER

from .conftest import PHOTO, PLAIN, SCRIPTED, SEVERAL, Hospital, abstaining, uid
from .orthanc import LOGIN, running
from .servers import WebStore
from .test_sending import IMPATIENT

pytestmark = [pytest.mark.system, pytest.mark.slow]


def _complaints(path: Path) -> list[str]:
    """Return what dciodvfy says of a file, but for our private coding scheme."""
    done = subprocess.run(["dciodvfy", str(path)], capture_output=True, text=True, check=False)
    said = (done.stdout + done.stderr).splitlines()
    told = [line for line in said if line.startswith(("Error", "Warning", "Abort"))]
    own = (f"<{SCHEME}>", f"<{SCHEME_UID}>")
    assert any(line in ("Comprehensive3DSR", "SCImage") or line.endswith("PresentationState") for line in said)
    return [line for line in told if not (line.startswith("Warning") and any(word in line for word in own))]


def _rendered(path: Path) -> str:
    done = subprocess.run(["dsrdump", "+Pl", str(path)], capture_output=True, check=True)
    assert b"error" not in done.stderr.lower()
    return done.stdout.decode()


def _plain(hospital: Hospital) -> int:
    return PLAIN


def _thirty_two(hospital: Hospital) -> int:
    hospital.settle("concepts: 32\ninstitution: St. Example\n")
    return PLAIN


def _signed(hospital: Hospital) -> int:
    hospital.sign(PLAIN, reader="O'Hara\\^=Zoë 山田", comment="Line one.\nLine <script>two</script>.")
    return PLAIN


def _corrected(hospital: Hospital) -> int:
    first = hospital.reporter.explainer.explain(uid(PLAIN)).shown[0]
    hospital.sign(PLAIN, corrections={first: True})
    return PLAIN


def _amended(hospital: Hospital) -> int:
    hospital.reporter.make(uid(PLAIN))
    return _corrected(hospital)


def _patched(hospital: Hospital) -> int:
    explainer = hospital.reporter.explainer
    masked = explainer.explain(uid(PLAIN)).shown[0]
    delta = ConceptDelta(0.5, mask=True, sentence=f"{masked} is ignored at b.")
    patch = by_hand(explainer.pipeline, {masked: delta}, reason="These detectors do not show it.")
    explainer.patches.save(patch)
    explainer.patches.activate(patch, "2024-05-01")
    return PLAIN


KINDS: dict[str, Callable[[Hospital], int]] = {
    "plain": _plain,
    "32 concepts": _thirty_two,
    "signed by a hostile name": _signed,
    "corrected": _corrected,
    "amended": _amended,
    "patched": _patched,
    "colour": lambda hospital: PHOTO,
    "several images": lambda hospital: SEVERAL,
    "hostile name": lambda hospital: SCRIPTED,
}


@pytest.mark.parametrize("kind", KINDS)
def test_dciodvfy_and_dsrdump_take_the_report_under_both_names(hospital: Hospital, tmp_path: Path, kind: str) -> None:
    number = KINDS[kind](hospital)
    archived = tmp_path / "archived.dcm"
    archived.write_bytes(hospital.reporter.make(uid(number)).data)
    store = WebStore()
    try:
        receiver = open_receiver(store.address, IMPATIENT)
        send_reports(hospital.reporter, [uid(number)], receiver, hospital.crosswalk, actor="eva", reason="results")
        (content,) = store.held.values()
    finally:
        store.close()
    sent = tmp_path / "sent.dcm"
    sent.write_bytes(content)
    told = hospital.reporter.content(uid(number))
    for path in (archived, sent):
        assert _complaints(path) == []
        text = _rendered(path)
        for line in told.concepts:
            assert f'"{line.name}"' in text
            assert line.citation.split('"')[1] in text
        assert "not a medical device" in text
        assert ("VERIFIED" if told.signature else "UNVERIFIED") in text
    if kind == "amended":
        predecessor = dcmread(archived).PredecessorDocumentsSequence[0].ReferencedSeriesSequence[0]
        assert f"replaces {predecessor.ReferencedSOPSequence[0].ReferencedSOPInstanceUID}." in _rendered(archived)
    if kind == "patched":
        ignored = next(line for line in told.concepts if line.seen == "ignored")
        assert f'"{ignored.name}")=(OSL-300,{SCHEME},"Ignored at this site")' in _rendered(archived)


def test_dciodvfy_takes_a_report_that_abstains(hospital: Hospital, tmp_path: Path) -> None:
    explanation = abstaining(hospital)
    path = tmp_path / "file.dcm"
    path.write_bytes(hospital.reporter.of(explanation).data)
    assert _complaints(path) == []
    assert "The model does not know." in _rendered(path)


@pytest.mark.parametrize("number", [PLAIN, PHOTO, SEVERAL])
@pytest.mark.parametrize("format", ["gsps", "sc"])
def test_dciodvfy_takes_pictures_and_presentation_states(
    hospital: Hospital, tmp_path: Path, number: int, format: str
) -> None:
    path = tmp_path / "file.dcm"
    path.write_bytes(hospital.reporter.make(uid(number), format).data)
    assert _complaints(path) == []


@pytest.mark.parametrize("by", ["web", "pacs"])
def test_orthanc_receives_and_gives_back_what_was_sent(
    hospital: Hospital, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, by: str
) -> None:
    monkeypatch.setenv(USER, LOGIN[0])
    monkeypatch.setenv(PASSWORD, LOGIN[1])
    hospital.settle("concepts: 5\npresentation: gsps\n")
    with running(tmp_path / "orthanc") as orthanc:
        receiver = open_receiver(getattr(orthanc, by), ReceiverOptions())

        def send() -> list[str]:
            studies = [uid(PLAIN), uid(PHOTO)]
            sent = send_reports(hospital.reporter, studies, receiver, hospital.crosswalk, actor="eva", reason="results")
            return [one.state for one in sent]

        assert send() == [SENT] * 4
        assert send() == [THERE] * 4
        hospital.sign(PLAIN)
        assert send() == [SENT, SENT, THERE, THERE]
        held = [dcmread(BytesIO(content)) for content in orthanc.files()]
    reports = {str(one.SOPInstanceUID): one for one in held if one.Modality == "SR"}
    assert len(held) == 6
    final = next(one for one in reports.values() if one.PreliminaryFlag == "FINAL")
    named = final.PredecessorDocumentsSequence[0].ReferencedSeriesSequence[0].ReferencedSOPSequence[0]
    assert reports[named.ReferencedSOPInstanceUID].PatientID == final.PatientID == "MRN00000"
    assert {str(one.PatientName) for one in held} == {"Grablowski^Zenobia", "O'Brien-山田^Zoë^^Dr.=山田^太郎"}
    path = tmp_path / "final.dcm"
    final.save_as(path)
    assert _complaints(path) == []
    assert "concept" in _rendered(path)


def test_orthanc_gives_back_the_very_bytes_by_stow(
    hospital: Hospital, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(USER, LOGIN[0])
    monkeypatch.setenv(PASSWORD, LOGIN[1])
    report = hospital.reporter.make(uid(PLAIN))
    with running(tmp_path / "orthanc") as orthanc:
        receiver = open_receiver(orthanc.web, ReceiverOptions())
        receiver.store([report])
        assert receiver.holds(report)
        assert orthanc.files() == [report.data]
