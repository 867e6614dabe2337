"""FHIR: another library reads it as what it is, and it says what the SR says."""

from __future__ import annotations

import json
from typing import Any

from fhir.resources.R4B.bundle import Bundle

from osler.report.codes import concept_code

from .conftest import PLAIN, Hospital, uid


def _bundle(hospital: Hospital) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    data = hospital.reporter.make(uid(PLAIN), "fhir").data
    read = Bundle.model_validate_json(data)
    kinds = [type(entry.resource).__name__ for entry in read.entry]
    assert kinds == ["DiagnosticReport", *["Observation"] * (len(kinds) - 1)]
    resources = [entry["resource"] for entry in json.loads(data)["entry"]]
    return resources[0], resources[1:]


def test_it_says_what_the_report_says(hospital: Hospital) -> None:
    content = hospital.reporter.content(uid(PLAIN))
    report, observations = _bundle(hospital)
    assert report["status"] == "preliminary"
    assert report["subject"]["identifier"]["value"] == hospital.reporter.explainer.archive.study(uid(PLAIN)).patient
    assert report["imagingStudy"][0]["identifier"]["value"] == f"urn:oid:{uid(PLAIN)}"
    assert "not a medical device" in report["conclusion"]
    assert len(observations) == 1 + len(content.concepts)
    assert [one["reference"] for one in report["result"]] == [f"urn:uuid:{one['id']}" for one in observations]
    for line, observation in zip(content.concepts, observations[1:], strict=True):
        assert observation["code"]["coding"][0]["code"] == concept_code(line.id, line.name).value
        assert observation["component"][0]["valueQuantity"]["value"] == line.probability
        assert any(line.citation in note["text"] for note in observation["note"])


def test_a_signed_one_is_final_and_the_next_amended(hospital: Hospital) -> None:
    hospital.sign(PLAIN)
    report, observations = _bundle(hospital)
    assert {report["status"], *(one["status"] for one in observations)} == {"final"}
    assert report["resultsInterpreter"][0]["display"].startswith("Reader ")
    hospital.sign(PLAIN, corrections={"concept_3": True})
    report, _ = _bundle(hospital)
    assert report["status"] == "amended"
