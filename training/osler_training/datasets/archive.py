"""An ingested site of a workspace: one image a study, chest or other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from osler.archive import Archive, InstanceRecord, StudyRecord
from osler.archive.images import instance_key
from osler.workspace import Workspace
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError
from osler_training.datasets.images import COLUMNS, Images
from osler_training.datasets.labels import one_hot
from osler_training.datasets.reading import Loader, Reading, header_values
from osler_training.datasets.tables import sex_of, years

SUMMARY = "an ingested site of a workspace"
NOT_FRONTAL = "not-frontal"
CONCEPT = "concept_"  # a label with this prefix says whether the concept is there: 1, 0, or nothing


def read(
    root: Path,
    *,
    site: str,
    label: str = "label",
    sex: str = "sex",
    age: str = "age",
    part: str = "split_hint",
    labelled: bool = False,
    colour: bool | None = None,
) -> Images:
    """Read a site.

    Labels are the columns of the table that `osler ingest --labels` took (`osler dicomize` writes one); `concept_ID` is what
    annotators saw of that concept, and those without a meaning here are attributes. A study gives its frontal image where it has one, else its earliest image that is no
    radiograph; a study of radiographs of which none is frontal is left out and counted. Sex and age come from labels, else
    from the header, which has them where they were retained (`--retain patient-characteristics`). The archive gives a study
    whose patient is not known a pseudonym of its own and does not say so: `patient_known` is True throughout.

    Args:
        root: The workspace.
        site: Name of the site.
        label: Label that holds the class.
        sex: Label that holds the sex.
        age: Label that holds the age in years.
        part: Label that holds the part (train, val, test).
        labelled: Whether to leave out, and count, studies without the label.
        colour: As in `Reading`.

    Raises:
        OslerError: `workspace-invalid`; `nothing-eligible` where the site has no image, or none with a label asked for.
    """
    archive = Archive(Workspace.open(root))
    left_out: Counter[str] = Counter()
    chosen: list[tuple[StudyRecord, InstanceRecord]] = []
    for study in archive.studies(site):
        instance = archive.image(study)
        if instance is None:
            left_out[NOT_FRONTAL] += 1
        elif labelled and not study.labels.get(label):
            left_out["unlabelled"] += 1
        else:
            chosen.append((study, instance))
    if not chosen:
        raise OslerError(
            Code.NOTHING_ELIGIBLE,
            f"The archive has no image of site {site!r}" + (f" with a label {label!r}." if labelled else "."),
            "See `osler archive list` for what it has, and `osler ingest --labels` for labels.",
        )
    reading = Reading(colour=colour)
    meanings = {"label": label, "sex": sex, "age": age, "part": part}
    table = pd.DataFrame([_row(study, instance, meanings, reading) for study, instance in chosen]).fillna("")
    table["age"] = table["age"].map(years).astype(float)
    classes = sorted(set(table["label"]) - {""})
    return Images(
        table=table[[*COLUMNS, *(name for name in table.columns if name not in COLUMNS)]],
        concepts=_concepts([study for study, _ in chosen], table.index),
        findings=pd.DataFrame([one_hot(one, classes) for one in table["label"]], columns=classes, dtype=float),
        load=Loader(tuple(instance.path for _, instance in chosen), reading),
        left_out=dict(left_out),
    )


def _concepts(studies: Sequence[StudyRecord], index: pd.Index[Any]) -> pd.DataFrame:
    answers = {"1": 1.0, "0": 0.0}
    rows = [
        {
            name.removeprefix(CONCEPT): answers.get(value)
            for name, value in study.labels.items()
            if name.startswith(CONCEPT)
        }
        for study in studies
    ]
    return pd.DataFrame(rows, index=index, dtype=float)


def _row(
    study: StudyRecord, instance: InstanceRecord, meanings: dict[str, str], reading: Reading
) -> dict[str, str | bool]:
    given = {meaning: study.labels.get(name, "") for meaning, name in meanings.items()}
    if not (given["sex"] and given["age"]):
        found = dict(zip(("sex", "age"), header_values(instance.path, "PatientSex", "PatientAge"), strict=True))
        given |= {name: value for name, value in found.items() if not given[name]}
    return {
        "key": instance_key(instance, reading.record),
        "path": str(instance.path),
        "site": study.site,
        "patient": study.patient,
        "patient_known": True,
        **given,
        "sex": sex_of(given["sex"]),
        "view": instance.view,
        "text": study.report or "",
        **{
            name: value
            for name, value in study.labels.items()
            if name not in {*COLUMNS, *meanings.values()} and not name.startswith(CONCEPT)
        },
        "study": study.uid,
    }
