"""Labels of concepts and findings, read from radiology reports (M1.2)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np

from osler.bottleneck.records import Array, Features
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError
from osler_knowledge.annotate import Mention, annotate, annotate_findings
from osler_knowledge.bank import ConceptBank
from osler_training.fit.problem import Reference

NotMentioned = Literal["absent", "unknown"]


def labels_of(
    mentions: Sequence[Mapping[str, Mention]], ids: Sequence[str], not_mentioned: NotMentioned = "absent"
) -> Array:
    """Return labels (n, C) in {0, 1, NaN}: 1 where present, 0 where absent, NaN where uncertain.

    Args:
        mentions: What each report says, by identifier.
        ids: Identifiers in the order of the columns.
        not_mentioned: What silence means. Reports leave out most of what is normal, so that `absent` is right far more often
            than not; `unknown` uses explicit statements alone, and leaves few negatives.
    """
    value = {"present": 1.0, "absent": 0.0, "uncertain": np.nan, None: 0.0 if not_mentioned == "absent" else np.nan}
    rows = [[value[one[i].state if i in one else None] for i in ids] for one in mentions]
    return np.array(rows).reshape(len(mentions), len(ids))


def read_reference(
    features: Features,
    reports: Sequence[str],
    patients: Sequence[str],
    bank: ConceptBank,
    classes: Sequence[str],
    *,
    not_mentioned: NotMentioned = "absent",
) -> Reference:
    """Read the reports of the reference studies once, for groundings and for the report-supervised probe alike.

    Raises:
        OslerError: `empty-source` where there is no report.
    """
    if not any(text.strip() for text in reports):
        raise OslerError(Code.EMPTY_SOURCE, "No reference study has a report.", "Ground on studies with reports.")
    return Reference(
        features,
        tuple(patients),
        labels_of(annotate(reports, bank), bank.ids, not_mentioned),
        labels_of(annotate_findings(reports), classes, not_mentioned),
    )
