"""Outlines of concepts in pixels of the image, for the presentation state: of validated maps alone, and a rough guide."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from skimage.measure import find_contours

from osler.archive.records import InstanceRecord
from osler.bottleneck.artefact import find_encoder
from osler.bottleneck.encoders.checkpoint import EncoderFolder
from osler.explain.service import StudyExplainer
from osler.report.content import ReportContent

MOST_CONCEPTS = 5
MOST_POINTS = 200
LEAST_STRENGTH = 0.25  # of a map in [0, 1], below which nothing is outlined

Outline = tuple[str, NDArray[np.floating[Any]]]


def outlines_of(content: ReportContent, explainer: StudyExplainer, instance: InstanceRecord) -> list[Outline]:
    """Return names and outlines (n, 2) to be closed, columns before rows, of the present concepts whose maps were validated."""
    wanted = [one for one in content.concepts if one.seen == "present" and one.mapped][:MOST_CONCEPTS]
    if not wanted:
        return []
    folder = find_encoder(explainer.pipeline.encoder_digest, explainer.workspace.models / explainer.model)
    mode = EncoderFolder(folder).config["preprocess_cfg"].get("resize_mode", "shortest")
    found: list[Outline] = []
    for one in wanted:
        logits = explainer.concept_map(content.study, one.id)
        if logits is not None:
            strengths = np.maximum(0.0, np.tanh(logits / 2))
            found += [(one.name, line) for line in contours(strengths, instance.rows, instance.columns, mode)]
    return found


def contours(
    strengths: NDArray[np.floating[Any]], rows: int, columns: int, resize_mode: str
) -> list[NDArray[np.floating[Any]]]:
    """Return lines (n, 2) around where a map (h, w) in [0, 1] is above half of its maximum, in image pixels.

    Each ends one point before it would be where it began.

    Args:
        strengths: The map over what the encoder sees.
        rows: Height of the image.
        columns: Its width.
        resize_mode: `squash` where the encoder sees all of it, else it sees a square in the middle.
    """
    if strengths.max() < LEAST_STRENGTH:
        return []
    side = min(rows, columns)
    height, width = (rows, columns) if resize_mode == "squash" else (side, side)
    top, left = (rows - height) / 2, (columns - width) / 2
    # A frame of zeros closes what reaches the border; cell (0, 0) has its centre at half a cell.
    framed = np.pad(strengths, 1)
    lines = []
    for line in find_contours(framed, strengths.max() / 2):
        cells = line - 0.5
        y = top + cells[:, 0] * height / strengths.shape[0]
        x = left + cells[:, 1] * width / strengths.shape[1]
        points = np.stack([np.clip(x, 1, columns), np.clip(y, 1, rows)], axis=1)[:-1]
        lines.append(points[:: max(1, len(points) // MOST_POINTS)])
    return lines
