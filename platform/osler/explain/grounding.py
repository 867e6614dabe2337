"""How well a model recognises each concept at a site: against tables and reports of that site.

What readers answer beside the model's own answer is no measure of it (`osler.feedback.labels`), and does not count here.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

import numpy as np

from osler.archive import StudyRecord
from osler.bottleneck.records import Array
from osler.explain.explanation import Measured
from osler.explain.measuring import measured_auroc
from osler.explain.profiles import Profiles
from osler.files import write_atomically
from osler_knowledge.bank import ConceptBank

PREFIX = "concept_"  # of a label of the archive that holds a concept: `concept_` and its identifier, or this alone
_SAID = {"0": 0.0, "1": 1.0}


def known_concepts(studies: Sequence[StudyRecord], bank: ConceptBank) -> Array:
    """Return what is known of each concept (n, C) in {0, 1, NaN}: by a table, else by the report."""
    truth = np.full((len(studies), len(bank.ids)), np.nan)
    for row, study in enumerate(studies):
        for c, one in enumerate(bank.ids):
            tabled = _SAID.get(study.labels.get(PREFIX + one, study.labels.get(one, "")), np.nan)
            truth[row, c] = tabled
    open_ = np.isnan(truth).any(axis=1)
    told = [row for row, one in enumerate(studies) if open_[row] and (one.report or "").strip()]
    if told:
        said = _reported([studies[row].report or "" for row in told], bank)
        truth[told] = np.where(np.isnan(truth[told]), said, truth[told])
    return truth


def _reported(reports: list[str], bank: ConceptBank) -> Array:
    # Reading text loads a language library that takes seconds; most questions need none.
    from osler_knowledge.annotate import annotate
    from osler_knowledge.quality import labels

    return labels(annotate(reports, bank), bank.ids)


def measure_grounding(
    profiles: Profiles, bank: ConceptBank, site: str, *, cache: Path | None = None
) -> dict[str, Measured]:
    """Return the AUROC of each concept at a site; a concept that too few studies are known of is not a key.

    Args:
        profiles: The site's studies with concept values as scored.
        bank: The concepts.
        site: The site's name.
        cache: Folder to keep the figures in until anything that they depend on changes.
    """
    path = None if cache is None else cache / "explain" / f"grounding-{_key(profiles, bank, site)}.json"
    held = _stored(path)
    if held is not None:
        return held
    truth, where = known_concepts(profiles.studies, bank), f"studies of {site}"
    found = {
        one: measured
        for c, one in enumerate(bank.ids)
        if (measured := measured_auroc(profiles.values[:, c], truth[:, c], profiles.patients, where)) is not None
    }
    if path is not None:
        record = {one: asdict(measured) for one, measured in found.items()}
        with suppress(OSError):
            write_atomically(path, json.dumps(record, sort_keys=True).encode())
    return found


def _key(profiles: Profiles, bank: ConceptBank, site: str) -> str:
    hashed = hashlib.sha256(np.ascontiguousarray(profiles.values).tobytes())
    for study in profiles.studies:
        hashed.update(json.dumps([study.uid, dict(study.labels), study.report], sort_keys=True).encode())
    hashed.update(json.dumps([bank.digest, site]).encode())
    return hashed.hexdigest()


def _stored(path: Path | None) -> dict[str, Measured] | None:
    if path is None:
        return None
    try:
        return {one: Measured(**held) for one, held in json.loads(path.read_text(encoding="utf-8")).items()}
    except (OSError, ValueError, TypeError):
        return None
