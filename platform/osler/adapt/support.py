"""The few labelled studies of a site that an adapter sees: named in a table, or drawn from labelled archive studies."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from osler.archive import Archive, StudyRecord
from osler.archive.label_column import class_of
from osler.bottleneck.feature_cache import stacked
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
        with path.open(newline="", encoding="utf-8-sig") as stream:
            pairs = [(row["study_uid"].strip(), row["label"].strip()) for row in csv.DictReader(stream)]
    except (KeyError, AttributeError, UnicodeDecodeError, csv.Error):
        pairs = []
    if not pairs:
        raise OslerError(
            Code.TABLE_INVALID,
            f"{path} is no table of labelled studies.",
            f"Write the columns {' and '.join(COLUMNS)}, one study a line, with UIDs of `osler archive list`.",
        )
    chosen: dict[str, str] = {}
    for uid, label in pairs:
        if chosen.setdefault(uid, label) != label:
            raise OslerError(
                Code.TABLE_INVALID,
                f"{path} gives study {uid[:64]} two labels, {chosen[uid]!r} and {label!r}.",
                "Decide on one, and leave the other line out.",
            )
    if len(chosen) != len(pairs):
        raise OslerError(
            Code.TABLE_INVALID, f"{path} names a study twice.", "Leave the second line out: a study counts once."
        )
    return chosen


def draw_support(
    archive: Archive,
    site: str,
    *,
    label: str,
    classes: Sequence[str],
    shots: int,
    seed: int,
    names: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """Draw labelled studies of a site, `shots` of each class where it has them, no two of one patient.

    Args:
        archive: The archive.
        site: The site.
        label: Name of the label that holds the class.
        classes: Classes of the model.
        shots: Studies of each class.
        seed: The same seed draws the same studies.
        names: Class by value of the label, for sites that use other words.

    Returns:
        The class by study.
    """
    given = {
        study.uid: classes[place]
        for study in archive.studies(site)
        if (place := class_of(study.labels.get(label), classes, names or {})) >= 0
    }
    return draw_signed(archive, site, given, classes=classes, shots=shots, seed=seed)


def draw_signed(
    archive: Archive, site: str, given: Mapping[str, str], *, classes: Sequence[str], shots: int, seed: int
) -> dict[str, str]:
    """Draw studies of a site whose class is `given`, such as by what readers signed; see `draw_support`."""
    rng = np.random.default_rng(seed)
    studies = [study for study in archive.studies(site) if archive.image(study) is not None]
    chosen: dict[str, str] = {}
    patients: set[str] = set()
    for name in classes:
        own = [study for study in studies if given.get(study.uid) == name]
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
            f"Site {site!r} has no labelled study with an image that the model reads.",
            f"Label some of each of {', '.join(classes)} and name them with --support.",
        )
    rows = [features(study) for study in studies]
    return Support(
        features=stacked(rows),
        y=np.array([classes.index(label) for label in chosen.values()], np.intp),
        site=site,
        study_uids=tuple(chosen),
    )
