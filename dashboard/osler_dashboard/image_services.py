"""Images as the viewer asks for them: in the order of their study, shrunk or in part where they are large."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from osler.archive import InstanceRecord, StudyRecord
from osler.archive.slides import in_order
from osler.dicom.pixels import StoredHeader, read_stored
from osler_dashboard import services
from osler_dashboard.components.viewer import Box, Shown, shown_image, shown_part, shrink_factor

VIEWS = {"LL": "left lateral", "RL": "right lateral"}


@st.cache_resource(max_entries=256, show_spinner=False)
def _ordered(files: tuple[tuple[str, str], ...], _instances: tuple[InstanceRecord, ...]) -> tuple[InstanceRecord, ...]:
    return in_order(_instances)


def instances(study: StudyRecord) -> tuple[InstanceRecord, ...]:
    """Return the images of a study in the order in which to leaf through them."""
    if len(study.instances) < 2:
        return study.instances
    return _ordered(tuple((one.uid, one.sha256) for one in study.instances), study.instances)


def known_by(study: StudyRecord) -> int | None:
    """Return the place of the image by which the model knows a study, None where it has none."""
    image = services.archive().image(study)
    uids = [one.uid for one in instances(study)]
    return None if image is None else uids.index(image.uid)


def slide_name(instance: InstanceRecord) -> str:
    """Say what an image of a study is."""
    if not instance.view:
        return instance.modality
    return f"{instance.modality} {VIEWS.get(instance.view, instance.view)}"


@st.cache_resource(max_entries=48, show_spinner=False)
def _shown(path: Path, sha256: str) -> Shown:
    return shown_image(*read_stored(path))


def shown(study: StudyRecord, place: int) -> Shown:
    """Return an image of a study for the viewer.

    Raises:
        OslerError: A refusal code where the file cannot be read.
    """
    instance = instances(study)[place]
    return _shown(instance.path, instance.sha256)


@st.cache_resource(max_entries=1, ttl=600, show_spinner=False)
def _whole(path: Path, sha256: str) -> tuple[NDArray[np.uint16], StoredHeader]:
    return read_stored(path)


def part(study: StudyRecord, place: int, region: Box) -> Shown | None:
    """Return a part of a large image in full; None for one that was sent whole anyway.

    Raises:
        OslerError: As `shown`.
    """
    instance = instances(study)[place]
    if shrink_factor(instance.rows, instance.columns) == 1:
        return None
    return shown_part(_whole(instance.path, instance.sha256)[0], place, region)
