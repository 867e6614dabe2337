"""A report as FHIR R4: a collection with one DiagnosticReport, an Observation for the finding and one for each concept.

Plain JSON objects by the standard's own names; what is not known is left out. Resources refer to each other by
`urn:uuid`, and to study and image by their DICOM UIDs.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from pydicom.dataset import Dataset

from osler.report.codes import DECISIONS, SCHEME_UID, Own, concept_code, finding_code, readable, seen_code
from osler.report.content import ConceptLine, ReportContent
from osler.report.making import Making

SYSTEMS = {
    "99OSLER": f"urn:oid:{SCHEME_UID}",
    "SCT": "http://snomed.info/sct",
    "RADLEX": "http://radlex.org",
    "UMLS": "http://terminology.hl7.org/CodeSystem/umls",
    "NCIt": "http://ncicb.nci.nih.gov/xml/owl/EVS/Thesaurus.owl",
}
_UNIT = {"unit": "1", "system": "http://unitsofmeasure.org", "code": "1"}
_REPORT_CODE = {"system": "http://loinc.org", "code": "18748-4", "display": "Diagnostic imaging study"}
_CATEGORY = {"system": "http://terminology.hl7.org/CodeSystem/v2-0074", "code": "IMG", "display": "Diagnostic Imaging"}


def build_fhir(content: ReportContent, image: Dataset, making: Making) -> dict[str, Any]:
    """Build the collection.

    Args:
        content: What it says.
        image: Header of the image that the model saw, under the identity of the copy.
        making: How the copy is made.
    """
    observations = [_finding(content, image, making)]
    observations += [_concept(line, content, image, making) for line in content.concepts]
    resources = [_report(content, image, making, [one["id"] for one in observations]), *observations]
    return {
        "resourceType": "Bundle",
        "type": "collection",
        "identifier": {"system": "urn:dicom:uid", "value": f"urn:oid:{making.sop_uid('FHIR')}"},
        "timestamp": _instant(making, making.made),
        "entry": [{"fullUrl": f"urn:uuid:{one['id']}", "resource": one} for one in resources],
    }


def to_json(bundle: dict[str, Any]) -> bytes:
    """Return a collection as a file."""
    return (json.dumps(bundle, ensure_ascii=False, indent=2) + "\n").encode()


def _report(content: ReportContent, image: Dataset, making: Making, results: Sequence[str]) -> dict[str, Any]:
    lines = [
        content.notice,
        f"Finding: {readable(content.finding.id)} ({content.finding.decision}).",
        content.prediction_set and f"Prediction set: {content.prediction_set}",
        content.abstention,
        content.calibration,
        *content.patch_effect,
        *content.corrections,
        *content.warnings,
        *_signed_lines(content),
    ]
    report: dict[str, Any] = {
        "resourceType": "DiagnosticReport",
        "id": _id(making, "report"),
        "identifier": [{"system": "urn:dicom:uid", "value": f"urn:oid:{making.sop_uid('SR')}"}],
        "status": _status(content, making),
        "category": [{"coding": [_CATEGORY]}],
        "code": {"coding": [_REPORT_CODE], "text": "Osler report (research use)"},
        "subject": _subject(image),
        "issued": _instant(making, making.made),
        "imagingStudy": [_by_uid("ImagingStudy", str(image.StudyInstanceUID))],
        "result": [{"reference": f"urn:uuid:{one}"} for one in results],
        "conclusion": "\n".join(line for line in lines if line),
        "conclusionCode": [_concept_of(finding_code(content.finding.id))],
    }
    if content.signature is not None:
        report["resultsInterpreter"] = [{"display": content.signature.reader}]
    if day := _day(str(image.get("StudyDate") or "")):
        report["effectiveDateTime"] = day
    return report


def _signed_lines(content: ReportContent) -> list[str]:
    signature = content.signature
    if signature is None:
        return ["Preliminary: no reader has signed it."]
    told = [f"Signed by {signature.reader}.", f"The reader's finding: {readable(signature.finding)}."]
    return [*told, signature.comment]


def _finding(content: ReportContent, image: Dataset, making: Making) -> dict[str, Any]:
    finding = content.finding
    numbers = {
        Own.RAW_PROBABILITY: finding.raw,
        Own.CALIBRATED_PROBABILITY: finding.calibrated,
        Own.OPERATING_POINT: finding.operating_point,
    }
    observation = _observation("finding", Own.FINDING.code, content, image, making)
    observation["valueCodeableConcept"] = _concept_of(finding_code(finding.id))
    observation["component"] = [
        *(_quantity(name, value) for name, value in numbers.items() if value is not None),
        {
            "code": _concept_of(Own.DECISION.code),
            "valueCodeableConcept": _concept_of(DECISIONS[finding.decision].code),
        },
    ]
    observation["method"] = {"text": _algorithm(content)}
    return observation


def _concept(line: ConceptLine, content: ReportContent, image: Dataset, making: Making) -> dict[str, Any]:
    code = concept_code(line.id, line.name, line.codes)
    observation = _observation(f"concept:{line.id}", code, content, image, making)
    observation["valueCodeableConcept"] = _concept_of(seen_code(line.seen))
    if line.probability is not None:
        observation["component"] = [_quantity(Own.CONCEPT_PROBABILITY, line.probability)]
    notes = (
        line.state,
        line.reader,
        line.effect,
        line.conflict,
        f"{Own.GROUNDING.value[1]}: {line.grounding}",
        f"{line.region}: {line.location}",
        f"{Own.CITATION.value[1]}: {line.citation}",
    )
    observation["note"] = [{"text": note} for note in notes if note]
    return observation


def _observation(key: str, code: Dataset, content: ReportContent, image: Dataset, making: Making) -> dict[str, Any]:
    observation: dict[str, Any] = {
        "resourceType": "Observation",
        "id": _id(making, key),
        "status": _status(content, making),
        "code": _concept_of(code),
        "subject": _subject(image),
        "device": {"display": f"Osler {content.software}, model {content.model_name}"},
        "derivedFrom": [_by_uid("ImagingStudy", str(image.StudyInstanceUID), str(image.SOPInstanceUID))],
    }
    if day := _day(str(image.get("StudyDate") or "")):
        observation["effectiveDateTime"] = day
    return observation


def _quantity(name: Own, value: float) -> dict[str, Any]:
    return {"code": _concept_of(name.code), "valueQuantity": {"value": value, **_UNIT}}


def _concept_of(code: Dataset) -> dict[str, Any]:
    coded = [code, *(code.get("EquivalentCodeSequence") or ())]
    coding = [
        {"system": SYSTEMS[one.CodingSchemeDesignator], "code": str(one.CodeValue), "display": str(one.CodeMeaning)}
        for one in coded
    ]
    return {"coding": coding, "text": str(code.CodeMeaning)}


def _subject(image: Dataset) -> dict[str, Any]:
    subject: dict[str, Any] = {"type": "Patient"}
    if number := str(image.get("PatientID") or ""):
        subject["identifier"] = {"value": number}
        if issuer := str(image.get("IssuerOfPatientID") or ""):
            subject["identifier"]["assigner"] = {"display": issuer}
    subject["display"] = str(image.get("PatientName") or "").replace("^", " ").strip() or "unnamed"
    return subject


def _by_uid(kind: str, study: str, instance: str = "") -> dict[str, Any]:
    reference: dict[str, Any] = {
        "type": kind,
        "identifier": {"system": "urn:dicom:uid", "value": f"urn:oid:{study}"},
    }
    return reference | ({"display": f"image urn:oid:{instance}"} if instance else {})


def _status(content: ReportContent, making: Making) -> str:
    if content.signature is None:
        return "preliminary"
    return "final" if making.predecessor is None else "amended"


def _algorithm(content: ReportContent) -> str:
    parts = [
        f"Osler concept bottleneck {content.model_name} {content.software}",
        f"model sha256:{content.model}",
        f"concept bank {content.bank}",
        f"site patch {content.patch or 'none'}",
    ]
    return "; ".join(parts)


def _id(making: Making, key: str) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_OID, f"{making.sop_uid('FHIR')} {key}"))


def _instant(making: Making, at: datetime) -> str:
    day, clock = making.identity.moment(at)
    offset = at.astimezone().strftime("%z")
    return f"{_day(day)}T{clock[:2]}:{clock[2:4]}:{clock[4:6]}{offset[:3]}:{offset[3:5]}"


def _day(value: str) -> str:
    return f"{value[:4]}-{value[4:6]}-{value[6:8]}" if len(value) == 8 and value.isdigit() else ""
