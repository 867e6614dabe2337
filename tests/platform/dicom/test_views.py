"""Which radiographs a frontal model may see."""

from __future__ import annotations

import pytest
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes

from osler.dicom.views import is_frontal, orientation_of, view_of


def item(value: str) -> Dataset:
    code = Dataset()
    code.CodeValue = value
    return code


@pytest.mark.parametrize(
    ("position", "code", "view"),
    [
        ("pa ", None, "PA"),
        ("", "399348003", "AP"),
        ("", "R-10214", "PA"),
        ("LL", "399348003", "LL"),
        ("", "1", ""),
        ("", None, ""),
    ],
)
def test_position_before_code(position: str, code: str | None, view: str) -> None:
    dataset = Dataset()
    dataset.ViewPosition = position
    if code:
        dataset.ViewCodeSequence = [item(code)]
    assert view_of(dataset) == view


@pytest.mark.parametrize(
    ("name", "view"),
    [
        ("PosteroAnterior", "PA"),
        ("AnteroPosterior", "AP"),
        ("LeftLateral", "LL"),
        ("RightLateral", "RL"),
        ("LateralProjection", "LL"),
    ],
)
def test_codes_are_those_of_context_group_4010(name: str, view: str) -> None:
    dataset = Dataset()
    dataset.ViewCodeSequence = [item(getattr(codes.cid4010, name).value)]
    assert view_of(dataset) == view


@pytest.mark.parametrize(
    ("modality", "view", "orientation", "frontal"),
    [
        ("DX", "PA", "", True),
        ("CR", "AP", "", True),
        ("DX", "LL", ["L", "F"], False),
        ("CR", "", ["L", "F"], True),
        ("CR", "", ["A", "F"], False),
        ("CR", "", "", False),
        ("CT", "PA", ["L", "F"], False),
    ],
)
def test_frontal(modality: str, view: str, orientation: object, frontal: bool) -> None:
    dataset = Dataset()
    dataset.PatientOrientation = orientation
    assert is_frontal(modality, view, orientation_of(dataset)) is frontal
