"""The SR: what it says of each concept, under whose name, and until when it is preliminary."""

from __future__ import annotations

from dataclasses import replace
from io import BytesIO
from pathlib import Path
from random import Random

import pytest
from highdicom.sr import srread
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.uid import Comprehensive3DSRStorage

from osler.explain.explanation import PatchEffect
from osler.report.service import Report
from osler.report.show import read_report, shown
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

from .conftest import PHOTO, PLAIN, SEVERAL, Hospital, abstaining, uid


def _read(report: Report) -> Dataset:
    return dcmread(BytesIO(report.data))


def test_the_report_says_what_the_explanation_says(hospital: Hospital) -> None:
    hospital.settle("concepts: 32")
    report = hospital.reporter.make(uid(PLAIN))
    explanation = hospital.reporter.explainer.explain(uid(PLAIN))
    said = shown(_read(report))
    assert said.groups[0].name == f"Finding: {explanation.finding.id.replace('_', ' ')}"
    assert [group.name for group in said.groups[1:]] == [explanation.concept(name).name for name in explanation.shown]
    assert len(said.groups) == 1 + 32
    by_name = {group.name: dict(group.items) for group in said.groups[1:]}
    for name in explanation.shown:
        one = explanation.concept(name)
        items = by_name[one.name]
        assert float(items["Probability that the concept is present"]) == pytest.approx(one.probability, abs=5e-5)
        words = {"present": "Present", "absent": "Absence findings (qualifier value)", "uncertain": "Undetermined"}
        assert items[one.name] == words[one.seen]
        assert one.citation.passage in items["Supports the general association; not evidence from patient"]
    finding = dict(said.groups[0].items)
    assert float(finding["Raw probability"]) == pytest.approx(explanation.finding.raw_probability, abs=5e-5)
    assert "not a medical device" in finding["Notice"]
    assert any(model in value for _, value in said.groups[0].items for model in [explanation.model])
    assert "not shown" in finding["Warning"]


def test_a_damaged_report_is_refused_or_told_as_far_as_it_goes(hospital: Hospital, tmp_path: Path) -> None:
    data, draw = hospital.reporter.make(uid(PLAIN)).data, Random(0)
    path = tmp_path / "sr.dcm"
    cut = [data[: draw.randrange(len(data))] for _ in range(60)]
    flipped = [data[:place] + draw.randbytes(4) + data[place + 4 :] for place in draw.sample(range(132, len(data)), 60)]
    codes_seen = set()
    for content in [*cut, *flipped]:
        path.write_bytes(content)
        try:
            read_report(path)
        except OslerError as error:
            codes_seen.add(error.code)
    assert codes_seen >= {Code.WRONG_SOP_CLASS, Code.HEADER_INVALID}


def test_each_group_names_the_image_that_the_model_saw(hospital: Hospital) -> None:
    study = hospital.reporter.explainer.archive.study(uid(SEVERAL))
    image = hospital.reporter.image(study)
    report = srread(BytesIO(hospital.reporter.make(uid(SEVERAL)).data))
    groups = report.content.get_image_measurement_groups()
    assert len(groups) == 6
    for group in groups:
        assert [str(one.referenced_sop_instance_uid) for one in group.source_images] == [image.uid]
    assert report.ConceptNameCodeSequence[0].CodeValue == codes.DCM.ImagingMeasurementReport.value
    observers = report.content.get_observer_contexts(observer_type=codes.DCM.Device)
    assert [str(one.observer_identifying_attributes.uid) for one in observers] == [hospital.reporter.device]


def test_it_is_preliminary_until_a_reader_has_signed(hospital: Hospital) -> None:
    first = _read(hospital.reporter.make(uid(PLAIN)))
    assert (first.PreliminaryFlag, first.VerificationFlag, first.CompletionFlag) == (
        "PRELIMINARY",
        "UNVERIFIED",
        "COMPLETE",
    )
    assert "VerifyingObserverSequence" not in first
    hospital.sign(PLAIN, comment="Agreed.", signed=False)
    assert _read(hospital.reporter.make(uid(PLAIN))).PreliminaryFlag == "PRELIMINARY"
    hospital.sign(PLAIN, comment="Agreed.")
    signed = _read(hospital.reporter.make(uid(PLAIN)))
    assert (signed.PreliminaryFlag, signed.VerificationFlag) == ("FINAL", "VERIFIED")
    assert len(signed.VerifyingObserverSequence) == 1


def test_an_amended_report_names_its_predecessor_and_an_equal_one_is_the_same(hospital: Hospital) -> None:
    first = hospital.reporter.make(uid(PLAIN))
    again = hospital.reporter.make(uid(PLAIN))
    assert again.data == first.data
    assert again.predecessor is None
    hospital.sign(PLAIN)
    second = hospital.reporter.make(uid(PLAIN))
    hospital.sign(PLAIN, corrections={"concept_3": True})
    third = hospital.reporter.make(uid(PLAIN))
    assert len({one.sop_uid for one in (first, second, third)}) == 3
    for before, after in ((first, second), (second, third)):
        named = _read(after).PredecessorDocumentsSequence[0]
        reference = named.ReferencedSeriesSequence[0].ReferencedSOPSequence[0]
        assert named.StudyInstanceUID == uid(PLAIN)
        assert named.ReferencedSeriesSequence[0].SeriesInstanceUID == _read(before).SeriesInstanceUID
        assert reference.ReferencedSOPInstanceUID == before.sop_uid
        assert reference.ReferencedSOPClassUID == Comprehensive3DSRStorage
    assert [int(_read(one).InstanceNumber) for one in (first, second, third)] == [1, 2, 3]


def test_a_signature_under_another_model_or_patch_does_not_hold(hospital: Hospital) -> None:
    hospital.sign(PLAIN, model="f" * 64)
    said = shown(_read(hospital.reporter.make(uid(PLAIN))))
    assert (said.status, said.verification) == ("PRELIMINARY", "UNVERIFIED")
    assert any("another model" in value for name, value in said.groups[0].items if name == "Warning")


def test_what_was_set_under_a_model_with_other_concepts_does_not_keep_a_study_from_its_report(
    hospital: Hospital,
) -> None:
    hospital.sign(PLAIN, model="f" * 64, corrections={"a_concept_of_old": True})
    content = hospital.reporter.content(uid(PLAIN))
    assert (content.signature, content.corrections) == (None, ())
    assert any("another model" in one for one in content.warnings)


def test_what_the_reader_set_and_doubted_is_told(hospital: Hospital) -> None:
    shown_first = hospital.reporter.explainer.explain(uid(PLAIN)).shown[0]
    hospital.sign(PLAIN, answers={shown_first: "doubt", "concept_3": "absent"}, finding="normal")
    said = shown(_read(hospital.reporter.make(uid(PLAIN))))
    finding = said.groups[0].items
    assert ("Finding that the reader leaves the study with", "normal") in finding
    assert any(name == "Correction by a reader" and "concept 3" in value for name, value in finding)
    doubted = [dict(group.items) for group in said.groups if "What the reader says of the concept" in dict(group.items)]
    assert [one["What the reader says of the concept"] for one in doubted] == ["Doubted by the reader."]


def test_prediction_set_and_abstention_are_told(hospital: Hospital) -> None:
    said = shown(_read(hospital.reporter.of(abstaining(hospital))))
    items = dict(said.groups[0].items)
    assert items["Prediction set"].startswith("pneumonia or heart failure. For a new study")
    assert items["Abstention"] == "The model does not know."


def test_a_concept_that_the_site_ignores_never_reads_absent(hospital: Hospital) -> None:
    explanation = hospital.reporter.explainer.explain(uid(PLAIN))
    last = explanation.concepts[-1]
    ignored = replace(last, state="ignored at this site", seen="absent", contribution=0.0)
    finding = explanation.finding
    effect = PatchEffect("p1", "2024-05-01", "why", (last.id,), (), (f"{last.name} is ignored.",), finding)
    changed = replace(explanation, concepts=(*explanation.concepts[:-1], ignored), patch=effect)
    said = shown(_read(hospital.reporter.of(changed)))
    group = next(dict(group.items) for group in said.groups if group.name == last.name)
    assert group[last.name] == "Ignored at this site"
    assert "Probability that the concept is present" not in group
    assert ("Correction for this site", f"{last.name} is ignored.") in said.groups[0].items


def test_a_preview_with_unsigned_corrections_says_so_and_is_not_noted(hospital: Hospital) -> None:
    explanation = hospital.reporter.explainer.explain(uid(PLAIN), corrections={"concept_3": 1.0})
    said = shown(_read(hospital.reporter.of(explanation)))
    assert said.status == "PRELIMINARY"
    assert any("nobody has signed" in value for name, value in said.groups[0].items if name == "Warning")
    assert not (hospital.workspace.reports / "journal.jsonl").exists()


def test_a_pseudonymous_copy_names_no_reader(hospital: Hospital) -> None:
    hospital.sign(PLAIN, reader="Dr. Ada Brook", comment="As told to Mr. Grablowski.")
    data = hospital.reporter.make(uid(PLAIN)).data
    assert b"Brook" not in data
    assert b"Grablowski" not in data


def test_colour_images_are_reported_too(hospital: Hospital) -> None:
    report = _read(hospital.reporter.make(uid(PHOTO)))
    reference = report.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence[0].ReferencedSOPSequence[0]
    assert reference.ReferencedSOPClassUID == "1.2.840.10008.5.1.4.1.1.77.1.4"


def test_the_file_comes_back_through_pydicom_as_it_went(hospital: Hospital, tmp_path: Path) -> None:
    report = hospital.reporter.make(uid(PLAIN))
    path = tmp_path / report.name
    _read(report).save_as(path, enforce_file_format=True)
    assert dcmread(path) == _read(report)
    assert path.read_bytes() == report.data
