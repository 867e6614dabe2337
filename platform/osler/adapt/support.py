"""The few labelled studies of a site that an adapter sees: named in a table, or drawn from labelled archive studies."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from osler.archive import Archive, StudyRecord
from osler.bottleneck.records import Features, Support
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

COLUMNS = ("study_uid", "label")


def read_support(path: Path) -> dict[str, str]:
    """Read a table with the columns `study_uid` (pseudonymous) and `label`.

    Returns:
        The label by study.

    Raises:
        OslerError: `source-missing` or `table-invalid`.
    """
    if not path.is_file():
        raise OslerError(Code.SOURCE_MISSING, f"There is no table {path}.", "Check the path given with --support.")
    try:
        with path.open(newline="", encoding="utf-8") as stream:
            rows = list(csv.DictReader(stream))
        chosen = {row["study_uid"].strip(): row["label"].strip() for row in rows}
    except (KeyError, AttributeError, UnicodeDecodeError, csv.Error):
        chosen, rows = {}, []
    if not chosen or len(chosen) != len(rows):
        raise OslerError(
            Code.TABLE_INVALID,
            f"{path} is no table of labelled studies, or names one twice.",
            f"Write the columns {' and '.join(COLUMNS)}, one study a line, with UIDs of `osler archive list`.",
        )
    return chosen


def draw_support(
    archive: Archive, site: str, *, label: str, classes: Sequence[str], shots: int, seed: int
) -> dict[str, str]:
    """Draw labelled studies of a site, `shots` of each class where it has them, no two of one patient.

    Args:
        archive: The archive.
        site: The site.
        label: Name of the label that holds the class.
        classes: Classes of the model.
        shots: Studies of each class.
        seed: The same seed draws the same studies.

    Returns:
        The class by study.
    """
    rng = np.random.default_rng(seed)
    studies = [study for study in archive.studies(site) if archive.image(study) is not None]
    chosen: dict[str, str] = {}
    patients: set[str] = set()
    for name in classes:
        own = [study for study in studies if study.labels.get(label) == name]
        drawn = 0
        for place in rng.permutation(len(own)):
            if drawn < shots and own[place].patient not in patients:
                chosen[own[place].uid] = name
                patients.add(own[place].patient)
                drawn += 1
    return chosen


def gather_support(
    archive: Archive,
    site: str,
    chosen: Mapping[str, str],
    classes: Sequence[str],
    features: Callable[[StudyRecord], Features],
) -> Support:
    """Encode the chosen studies.

    Args:
        archive: The archive.
        site: The site that they must come from.
        chosen: Class by study.
        classes: Classes of the model.
        features: Returns the features (1, D) of a study.

    Raises:
        OslerError: `unknown-study`; `table-invalid` for a study of another site or a label that is no class;
            `support-insufficient` where nothing was chosen.
    """
    studies = [archive.study(uid) for uid in chosen]
    elsewhere = sum(study.site != site for study in studies)
    strange = sorted(set(chosen.values()) - set(classes))
    if elsewhere or strange:
        raise OslerError(
            Code.TABLE_INVALID,
            f"Of the support, {elsewhere} studies are not of site {site!r}, and {len(strange)} labels are no class.",
            f"Use studies of that site with the labels {', '.join(classes)}.",
        )
    if not studies:
        raise OslerError(
            Code.SUPPORT_INSUFFICIENT,
            f"Site {site!r} has no labelled study with a frontal image.",
            f"Label some of each of {', '.join(classes)} and name them with --support.",
        )
    rows = [features(study) for study in studies]
    return Support(
        features=Features(np.concatenate([row.pooled for row in rows])),
        y=np.array([classes.index(label) for label in chosen.values()], np.intp),
        site=site,
        study_uids=tuple(chosen),
    )
