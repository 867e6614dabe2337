"""The profile: nothing of the patient is left, and everything that an image needs is."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import UID, JPEGLSLossless, RLELossless

from osler.deid import Pseudonymizer, deidentify, to_bytes

Make = Callable[..., Dataset]
PSEUDONYMS = Pseudonymizer(b"k" * 32)
SECRETS = ("Grablowski", "Zenobia", "MRN00000", "19510203", "20200304", "1.2.3.0.", "AE_SENDER", "HIDDEN")


def planted(make_radiograph: Make) -> Dataset:
    """Return a radiograph that says who the patient is in every kind of place."""
    dataset = make_radiograph()
    texts = {
        "AccessionNumber": "HIDDEN1",
        "ReferringPhysicianName": "HIDDEN^DR",
        "PatientAddress": "HIDDEN street",
        "PatientComments": "HIDDEN",
        "StudyDescription": "HIDDEN",
        "SeriesDescription": "Grablowski",
        "ImageComments": "Zenobia Grablowski, born 19510203",
        "InstitutionName": "HIDDEN hospital",
        "StationName": "HIDDEN",
        "RetrieveAETitle": "AE_SENDER",
        "OtherPatientIDs": "HIDDEN2",
        "DerivationDescription": "HIDDEN",
        # Not in the table, so that only what the header says of the patient gives it away:
        "ManufacturerModelName": "unit of Zenobia",
        "SoftwareVersions": ["1.0", "MRN00000"],
    }
    for keyword, text in texts.items():
        setattr(dataset, keyword, text)
    dataset.PatientBirthTime = "010101"
    dataset.add_new("SeriesTime", "TM", "HIDDEN")
    dataset.FrameOfReferenceUID = "1.2.840.10008.19510203"
    dataset.ReferencedStudySequence = [_reference("1.2.3.0.9")]
    inner = _reference("1.2.3.0.8")
    inner.PatientName = "Grablowski^Zenobia"
    inner.ContentDate = "20200304"
    inner.private_block(0x0099, "HIDDEN", create=True).add_new(1, "LO", "Grablowski")
    outer = _reference("1.2.3.0.7")
    outer.PurposeOfReferenceCodeSequence = [inner]
    dataset.SourceImageSequence = Sequence([outer])
    dataset.private_block(0x0099, "HIDDEN", create=True).add_new(1, "SQ", [inner])
    dataset.private_block(0x7FE1, "HIDDEN", create=True).add_new(1, "OB", b"Grablowski")
    dataset.add_new(0x60003000, "OW", b"HIDDEN")
    dataset.add_new(0x60000022, "LO", "HIDDEN")
    dataset.add_new(0x50000005, "US", 1)
    dataset.add_new(0x00091001, "UN", b"HIDDEN")
    dataset.add_new(0x00189999, "UN", b"HIDDEN")
    dataset.file_meta.SourceApplicationEntityTitle = "AE_SENDER"
    dataset.file_meta.PrivateInformationCreatorUID = UID("1.2.3.0.6")
    dataset.file_meta.PrivateInformation = b"HIDDEN"
    dataset.preamble = b"HIDDEN" + b"\0" * 122
    return dataset


def _reference(uid: str) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID = "1.2.840.10008.5.1.4.1.1.1.1"
    item.ReferencedSOPInstanceUID = uid
    return item


def _saved(dataset: Dataset) -> bytes:
    buffer = BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def cleaned(dataset: Dataset, issuer: str = "a", **options: Any) -> bytes:
    """Pass a data set through a file, as ingestion does, and de-identify it."""
    read = dcmread(BytesIO(_saved(dataset)))
    deidentify(read, PSEUDONYMS, issuer=issuer, **options)
    return to_bytes(read)


def test_planted_identifiers_are_nowhere(make_radiograph: Make) -> None:
    dataset = planted(make_radiograph)
    before = BytesIO()
    dataset.save_as(before, enforce_file_format=True)
    content = cleaned(dataset)
    for secret in SECRETS:
        assert secret.encode() in before.getvalue(), secret
        assert secret.lower().encode() not in content.lower(), secret
    result = dcmread(BytesIO(content))
    assert not [element.tag for element in result.iterall() if element.tag.is_private]
    assert not [tag for tag in result if tag.tag.group in (0x5000, 0x6000)]
    assert result.ManufacturerModelName == ""


def test_a_delimiter_outside_sequences_does_not_stay(make_radiograph: Make) -> None:
    stray = b"\xfe\xff\xdd\xe0"  # (FFFE,E0DD), here with a representation and a value: other readers stop at it
    read = dcmread(BytesIO(_saved(make_radiograph()) + stray + b"LO\x06\x00HIDDEN"))
    assert 0xFFFEE0DD in read
    deidentify(read, PSEUDONYMS, issuer="a")
    assert 0xFFFEE0DD not in dcmread(BytesIO(to_bytes(read)))
    assert stray not in to_bytes(read)


def test_lengths_are_written_in_one_way(make_radiograph: Make) -> None:
    dataset = make_radiograph(ViewCodeSequence=[Dataset()])
    plain = cleaned(dataset)
    dataset["ViewCodeSequence"].is_undefined_length = True
    dataset.ViewCodeSequence[0].is_undefined_length_sequence_item = True
    assert b"\xfe\xff\x0d\xe0" not in plain
    assert cleaned(dataset) == plain
    odd = dcmread(BytesIO(_saved(make_radiograph())))
    odd["Columns"].is_undefined_length = True  # as a reader leaves it that met FFFFFFFF for a length
    deidentify(odd, PSEUDONYMS, issuer="a")
    assert dcmread(BytesIO(to_bytes(odd))).Columns == odd.Columns


def test_says_that_and_how_it_was_done(make_radiograph: Make) -> None:
    result = dcmread(BytesIO(cleaned(make_radiograph(BurnedInAnnotation=None), pixels_judged=True)))
    assert result.PatientIdentityRemoved == "YES"
    assert result.LongitudinalTemporalInformationModified == "MODIFIED"
    assert [item.CodeValue for item in result.DeidentificationMethodCodeSequence] == ["113100", "113101", "113107"]
    assert result.BurnedInAnnotation == "NO"
    assert (result.PatientSex, result.PatientBirthDate) == ("", "")


def test_unjudged_pixels_are_not_said_to_be_clean(make_radiograph: Make) -> None:
    result = dcmread(BytesIO(cleaned(make_radiograph(BurnedInAnnotation=None))))
    assert result.PatientIdentityRemoved == "NO"
    assert [item.CodeValue for item in result.DeidentificationMethodCodeSequence] == ["113100", "113107"]
    assert "BurnedInAnnotation" not in result


def test_references_and_dates_stay_consistent(make_radiograph: Make) -> None:
    first = dcmread(BytesIO(cleaned(planted(make_radiograph))))
    assert first.SOPInstanceUID == first.file_meta.MediaStorageSOPInstanceUID == PSEUDONYMS.uid("1.2.3.0.3")
    assert first.StudyInstanceUID == PSEUDONYMS.uid("1.2.3.0.1")
    source = first.SourceImageSequence[0]
    assert source.ReferencedSOPInstanceUID == PSEUDONYMS.uid("1.2.3.0.7")
    assert source.ReferencedSOPClassUID == "1.2.840.10008.5.1.4.1.1.1.1"
    assert source.PurposeOfReferenceCodeSequence[0].ReferencedSOPInstanceUID == PSEUDONYMS.uid("1.2.3.0.8")
    assert first.StudyDate == first.AcquisitionDate == source.PurposeOfReferenceCodeSequence[0].ContentDate
    assert (first.StudyTime, first.AcquisitionTime) == ("101112", "101500")
    assert first.PatientID == PSEUDONYMS.patient("MRN00000", "a")


def test_patient_without_number_is_one_study(make_radiograph: Make) -> None:
    first, second = (dcmread(BytesIO(cleaned(make_radiograph(number, PatientID="")))) for number in (1, 2))
    assert first.PatientID != second.PatientID


@pytest.mark.parametrize("syntax", [None, RLELossless, JPEGLSLossless])
def test_pixels_are_carried_over_untouched(make_radiograph: Make, syntax: UID | None) -> None:
    dataset = make_radiograph()
    if syntax is not None:
        dataset.compress(syntax, generate_instance_uid=False)
    result = dcmread(BytesIO(cleaned(dataset)))
    assert result.PixelData == dataset.PixelData
    assert result.file_meta.TransferSyntaxUID == dataset.file_meta.TransferSyntaxUID
    assert np.array_equal(result.pixel_array, dataset.pixel_array)


def test_same_input_same_bytes(make_radiograph: Make) -> None:
    assert cleaned(planted(make_radiograph)) == cleaned(planted(make_radiograph))


def test_second_pass_changes_no_more_than_pseudonyms(make_radiograph: Make) -> None:
    once = dcmread(BytesIO(cleaned(make_radiograph())))
    twice = dcmread(BytesIO(cleaned(once)))
    assert set(once.keys()) == set(twice.keys())
