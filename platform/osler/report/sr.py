"""A report as DICOM Comprehensive 3D SR: TID 1500 with a TID 1501 group for the finding and one for each concept.

Preliminary and unverified until a reader has signed (PS3.3 C.17.2); an amended report is a new instance that names the
one it replaces. Coded by 99OSLER with standard codes as equivalents.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence

from highdicom.sr import (
    AlgorithmIdentification,
    CodedConcept,
    Comprehensive3DSR,
    DeviceObserverIdentifyingAttributes,
    Measurement,
    MeasurementReport,
    MeasurementsAndQualitativeEvaluations,
    ObservationContext,
    ObserverContext,
    QualitativeEvaluation,
    RelationshipTypeValues,
    SourceImageForMeasurementGroup,
    TextContentItem,
    TrackingIdentifier,
)
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.uid import Comprehensive3DSRStorage

from osler.report.codes import (
    DECISIONS,
    Own,
    concept_code,
    finding_code,
    meaning_of,
    readable,
    scheme_identification,
    seen_code,
)
from osler.report.content import ConceptLine, FindingLine, ReportContent, Signature
from osler.report.making import MANUFACTURER, Making, carry_identity, person_name, signed_at

SERIES_NUMBER = 9901  # beyond what a modality counts to
UNKNOWN_ORGANIZATION = "not stated"


def build_sr(content: ReportContent, image: Dataset, making: Making) -> Comprehensive3DSR:
    """Build the SR.

    Args:
        content: What it says.
        image: Header of the image that the model saw, under the identity of the copy.
        making: How the copy is made.
    """
    signature = content.signature
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        report = Comprehensive3DSR(
            evidence=[image],
            content=_tree(content, image, making),
            series_instance_uid=making.series_uid("SR"),
            series_number=SERIES_NUMBER,
            sop_instance_uid=making.sop_uid("SR"),
            instance_number=making.number,
            manufacturer=MANUFACTURER,
            is_complete=True,
            is_final=signature is not None,
            is_verified=signature is not None,
            verifying_observer_name=None if signature is None else person_name(signature.reader),
            verifying_organization=None
            if signature is None
            else meaning_of(signature.organization or UNKNOWN_ORGANIZATION),
            institution_name=content.institution or None,
            previous_versions=None if making.predecessor is None else [_reference(making)],
            series_description="Osler report (research use)",
            manufacturer_model_name="Osler",
            software_versions=content.software,
            device_serial_number=making.device[:64],
        )
    report.CodingSchemeIdentificationSequence = [scheme_identification()]
    carry_identity(report, image, making)
    if signature is not None:
        day, clock = making.identity.moment(signed_at(signature))
        report.VerifyingObserverSequence[0].VerificationDateTime = day + clock
    return report


def _reference(making: Making) -> Dataset:
    assert making.predecessor is not None
    item = Dataset()
    item.SOPClassUID = Comprehensive3DSRStorage
    item.SOPInstanceUID = making.predecessor.sop_uid
    item.StudyInstanceUID = making.identity.study
    item.SeriesInstanceUID = making.predecessor.series_uid
    return item


def _tree(content: ReportContent, image: Dataset, making: Making) -> MeasurementReport:
    device = DeviceObserverIdentifyingAttributes(
        uid=making.device,
        name="Osler",
        manufacturer_name=MANUFACTURER,
        model_name=f"{content.model_name} ({content.model[:12]})",
    )
    groups = [_finding_group(content, image, making)]
    groups += [_concept_group(line, content, image, making) for line in content.concepts]
    return MeasurementReport(
        observation_context=ObservationContext(ObserverContext(codes.DCM.Device, device)),
        procedure_reported=codes.SCT.ImagingProcedure,
        imaging_measurements=groups,
        title=codes.DCM.ImagingMeasurementReport,
    )


def _finding_group(content: ReportContent, image: Dataset, making: Making) -> MeasurementsAndQualitativeEvaluations:
    finding = content.finding
    decision = QualitativeEvaluation(Own.DECISION.code, DECISIONS[finding.decision].code)
    group = MeasurementsAndQualitativeEvaluations(
        tracking_identifier=TrackingIdentifier(
            making.identity.uid("tracking", "finding"), f"Finding: {readable(finding.id)}"
        ),
        algorithm_id=_algorithm(content, full=True),
        measurements=_probabilities(finding),
        qualitative_evaluations=[QualitativeEvaluation(Own.FINDING.code, finding_code(finding.id)), decision],
        source_images=[_source(image)],
    )
    other = content.runner_up
    texts: list[tuple[Own, str]] = [
        (Own.NOTICE, content.notice),
        (Own.RUNNER_UP, f"{readable(other.id)}, raw probability {other.raw:.2f}"),
        (Own.PREDICTION_SET, content.prediction_set),
        (Own.ABSTENTION, content.abstention),
        (Own.CALIBRATION, content.calibration),
        (Own.RESIDUAL, content.residual),
        *((Own.PATCH, one) for one in content.patch_effect),
        *((Own.READER_CORRECTION, one) for one in content.corrections),
        *((Own.WARNING, one) for one in content.warnings),
    ]
    if making.predecessor is not None:
        texts.append((Own.REPLACES, f"This report replaces {making.predecessor.sop_uid}."))
    if content.signature is not None:
        texts += signature_texts(content.signature)
    _append(group, texts)
    return group


def signature_texts(signature: Signature) -> list[tuple[Own, str]]:
    """Return what a report says of its sign-off."""
    return [
        (Own.READER_FINDING, readable(signature.finding)),
        (Own.SIGNATURE, f"Signed by {signature.reader}."),
        (Own.READER_COMMENT, signature.comment),
    ]


def _concept_group(
    line: ConceptLine, content: ReportContent, image: Dataset, making: Making
) -> MeasurementsAndQualitativeEvaluations:
    found = [] if line.probability is None else [_number(Own.CONCEPT_PROBABILITY, line.probability)]
    code = concept_code(line.id, line.name, line.codes)
    group = MeasurementsAndQualitativeEvaluations(
        tracking_identifier=TrackingIdentifier(making.identity.uid("tracking", "concept", line.id), line.name),
        algorithm_id=_algorithm(content, full=False),
        measurements=found,
        qualitative_evaluations=[QualitativeEvaluation(code, seen_code(line.seen))],
        source_images=[_source(image)],
    )
    _append(
        group,
        [
            (Own.STATE, line.state),
            (Own.READER_ANSWER, line.reader),
            (Own.CONCEPT_EFFECT, line.effect),
            (Own.CONFLICT, line.conflict),
            (Own.GROUNDING, line.grounding),
            (Own.LOCATION, f"{line.region}: {line.location}"),
            (Own.CITATION, line.citation),
        ],
    )
    return group


def _probabilities(finding: FindingLine) -> list[Measurement]:
    held = {
        Own.RAW_PROBABILITY: finding.raw,
        Own.CALIBRATED_PROBABILITY: finding.calibrated,
        Own.OPERATING_POINT: finding.operating_point,
    }
    return [_number(name, value) for name, value in held.items() if value is not None]


def _number(name: Own, value: float) -> Measurement:
    return Measurement(name=name.code, value=value, unit=codes.UCUM.NoUnits)


def _algorithm(content: ReportContent, *, full: bool) -> AlgorithmIdentification:
    parameters = [
        f"model sha256:{content.model}",
        f"concept bank {content.bank}",
        f"encoder sha256:{content.encoder}",
        f"site {content.site or 'none'}",
        f"site patch {content.patch or 'none'}",
    ]
    return AlgorithmIdentification(
        name=f"Osler concept bottleneck {content.model_name}",
        version=content.software,
        parameters=parameters if full else [f"model sha256:{content.model}"],
    )


def _source(image: Dataset) -> SourceImageForMeasurementGroup:
    return SourceImageForMeasurementGroup(str(image.SOPClassUID), str(image.SOPInstanceUID))


def _append(group: MeasurementsAndQualitativeEvaluations, texts: Sequence[tuple[Own, str]]) -> None:
    """Add texts to a group: TID 1501 has them as evaluations beside the coded ones."""
    for name, text in texts:
        if text:
            group[0].ContentSequence.append(_text(name.code, text))


def _text(name: CodedConcept, value: str) -> TextContentItem:
    return TextContentItem(name=name, value=plain(value), relationship_type=RelationshipTypeValues.CONTAINS)


def plain(text: str) -> str:
    """Return a text without control characters; line breaks stay (VR UT)."""
    return "".join(one if one.isprintable() or one == "\n" else " " for one in text).strip() or "-"
