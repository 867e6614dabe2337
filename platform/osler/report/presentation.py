"""A report as a softcopy presentation state: text beside the image, which a viewer can switch off (PS3.3 A.33).

The image stays as it is; no patient text is drawn. Where a concept's map was validated, its region is outlined.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from importlib.resources import files
from typing import Any

import numpy as np
from highdicom.pr import (
    AnnotationUnitsValues,
    ColorSoftcopyPresentationState,
    GraphicAnnotation,
    GraphicLayer,
    GraphicObject,
    GraphicTypeValues,
    GrayscaleSoftcopyPresentationState,
    TextObject,
)
from pydicom.dataset import Dataset

from osler.report.content import ReportContent
from osler.report.making import MANUFACTURER, Making, carry_identity
from osler.report.outlines import Outline
from osler.report.words import summary_lines

SERIES_NUMBER = 9902
LAYER = "OSLER"
MOST_LINES = 14
_SRGB = "_icc_profiles/sRGB_v4_ICC_preference.icc"  # what an image in colour is taken for that does not say
_LEFT, _TOP, _LINE, _WIDTH = 0.02, 0.03, 0.035, 0.6


def build_presentation(
    content: ReportContent, image: Dataset, making: Making, outlines: Sequence[Outline] = ()
) -> Dataset:
    """Build the presentation state.

    Args:
        content: What it says.
        image: Header of the image that the model saw, under the identity of the copy.
        making: How the copy is made.
        outlines: Concepts with an outline (n, 2), to be closed, in columns and rows of the image's pixels.
    """
    grey = str(image.get("PhotometricInterpretation") or "").startswith("MONOCHROME")
    maker: Any = GrayscaleSoftcopyPresentationState if grey else ColorSoftcopyPresentationState
    colours = (
        {} if grey else {"icc_profile": image.get("ICCProfile") or files("highdicom").joinpath(_SRGB).read_bytes()}
    )
    layer = GraphicLayer(LAYER, 1, description="Osler (research use)", display_color=None)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        state: Dataset = maker(
            referenced_images=[image],
            series_instance_uid=making.series_uid("PR"),
            series_number=SERIES_NUMBER,
            sop_instance_uid=making.sop_uid("PR"),
            instance_number=making.number,
            manufacturer=MANUFACTURER,
            manufacturer_model_name="Osler",
            software_versions=content.software,
            device_serial_number=making.device[:64],
            content_label="OSLER",
            content_description="Osler report (research use)",
            graphic_annotations=[_annotation(content, image, layer, outlines)],
            graphic_layers=[layer],
            institution_name=content.institution or None,
            series_description="Osler annotations (research use)",
            **colours,
        )
    carry_identity(state, image, making)
    day, clock = making.identity.moment(making.made)
    state.PresentationCreationDate, state.PresentationCreationTime = day, clock
    for keyword in ("ContentDate", "ContentTime"):  # a presentation state has none
        if keyword in state:
            delattr(state, keyword)
    return state


def _annotation(
    content: ReportContent, image: Dataset, layer: GraphicLayer, outlines: Sequence[Outline]
) -> GraphicAnnotation:
    lines = summary_lines(content)[:MOST_LINES]
    texts = [
        TextObject(
            text_value=line,
            units=AnnotationUnitsValues.DISPLAY,
            bounding_box=(_LEFT, _TOP + row * _LINE, _LEFT + _WIDTH, _TOP + (row + 1) * _LINE),
        )
        for row, line in enumerate(lines)
    ]
    graphics = [
        GraphicObject(
            graphic_type=GraphicTypeValues.POLYLINE,
            graphic_data=np.vstack([outline, outline[:1]]),
            units=AnnotationUnitsValues.PIXEL,
        )
        for _, outline in outlines
    ]
    return GraphicAnnotation(
        referenced_images=[image], graphic_layer=layer, text_objects=texts, graphic_objects=graphics or None
    )
