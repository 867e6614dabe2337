"""One cell: a method fitted and tested everywhere, its predictions kept so that anyone can score them again."""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from osler.bottleneck.correction import FittedCorrection
from osler.bottleneck.records import Array, Features
from osler_contracts.errors import OslerError
from osler_training.evaluate.metrics import METRICS
from osler_training.evaluate.records import Records
from osler_training.experiments.resumable import write_json
from osler_training.fit.bottleneck import BottleneckClassifier
from osler_training.fit.corrections import corrected_probabilities
from osler_training.fit.methods import fit_method
from osler_training.fit.problem import Classifier, Cohort
from osler_training.shift.examine import examined
from osler_training.shift.groups import asks_for_groups, grouping
from osler_training.shift.parts import Rows, attributes_of
from osler_training.shift.plan import Cell
from osler_training.shift.problems import Encoded, Setting
from osler_training.shift.scores import site_scores

RESULT, REFUSED, TIMES = "cell.json", "refused.json", "times.json"


def run_cell(
    cell: Cell, setting: Setting, fitted: list[FittedCorrection], folder: Path, head: Mapping[str, Any]
) -> None:
    """Fit a method, test it, and write its folder, whole or not at all; a method that refuses leaves its reason.

    Args:
        cell: Which.
        setting: Its data.
        fitted: Corrections of its preprocessing.
        folder: Folder of the cell.
        head: What every table of predictions says beside: digests of split, bank and encoder.
    """
    scratch = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    start = time.perf_counter()
    try:
        record = _fit_and_test(cell, setting, fitted, scratch, head)
    except OslerError as error:
        write_json(scratch / REFUSED, {"cell": asdict(cell), **error.to_dict()})
    else:
        write_json(scratch / RESULT, record)
    write_json(scratch / TIMES, {"seconds": round(time.perf_counter() - start, 2)})
    shutil.rmtree(folder, ignore_errors=True)
    scratch.replace(folder)


def _fit_and_test(
    cell: Cell, setting: Setting, fitted: list[FittedCorrection], scratch: Path, head: Mapping[str, Any]
) -> dict[str, Any]:
    recipe, parts = setting.recipe, setting.parts
    entry = recipe.methods[cell.method]
    problem = setting.problem
    classifier = fit_method(entry.method or cell.method, problem, entry.options, seed=cell.seed)
    prior = np.bincount(problem.train.y, minlength=len(recipe.classes)) / len(problem.train)
    head = {**asdict(cell), **head}
    select = predicted(classifier, setting, setting.encoded["source"], parts.fit["select"], [], prior, head)
    scores, concepts = {}, {}
    for name, (_, rows) in parts.tests.items():
        batch = setting.batch_of(name)
        records = predicted(classifier, setting, batch, rows, fitted, prior, {**head, "test": name})
        records.save(scratch / name)
        scores[name] = site_scores(records, seed=cell.seed, replicates=recipe.replicates)
        concepts[name] = concept_moments(records)
    return {
        "cell": asdict(cell),
        "head": head,
        "select": {
            "n": len(select),
            recipe.goal_metric: float(METRICS[recipe.goal_metric](select.y, select.prob, np.ones((1, len(select))))[0]),
            "cross_entropy": float(-np.log(select.prob[np.arange(len(select)), select.y] + 1e-12).mean()),
        },
        "scores": scores,
        "concepts": concepts,
        "fit": classifier.record(),
        **(
            {"groups": list(setting.group_names)} if asks_for_groups(entry.method or cell.method, entry.options) else {}
        ),
        "grounding": classifier.grounding.table() if isinstance(classifier, BottleneckClassifier) else [],
        **(
            {"examined": examined(classifier, setting, seed=cell.seed)}
            if cell.method in recipe.examined and isinstance(classifier, BottleneckClassifier)
            else {}
        ),
    }


def predicted(
    classifier: Classifier,
    setting: Setting,
    batch: Encoded,
    rows: Rows,
    fitted: list[FittedCorrection],
    prior: Array,
    head: Mapping[str, Any],
) -> Records:
    """Return predictions of some rows; corrections of probabilities see the whole batch of another site, and only the test
    rows of the source, of which the rest was learned from."""
    away = head.get("test") is not None and batch is not setting.encoded["source"]
    everything = setting.cohort(batch, batch.rows if away else rows)
    prob = corrected_probabilities(classifier.probabilities(everything), fitted, prior)
    place = np.searchsorted(batch.rows, rows) if away else np.arange(len(rows))
    cohort, site = everything.rows(place), setting.sites[batch.site]
    ids, value, probability = concept_values(classifier, cohort)
    truth = None
    if ids and cohort.concepts is not None and np.isfinite(cohort.concepts).any():
        truth = cohort.concepts[:, [setting.bank.ids.index(one) for one in ids]]
    return Records(
        classes=setting.recipe.classes,
        y=cohort.y,
        prob=prob[place],
        studies=cohort.study_uids,
        patients=cohort.patients,
        sites=tuple(site.name for _ in rows),
        attributes=_filled(attributes_of(site, rows, grouping(setting.recipe, site))),
        concepts=ids,
        concept_value=value,
        concept_prob=probability,
        concept_truth=truth,
        head=dict(head),
    )


def concept_values(classifier: Classifier, cohort: Cohort) -> tuple[tuple[str, ...], Array | None, Array | None]:
    """Return identifiers, values and probabilities of a bottleneck's concepts; nothing of a black box."""
    if not isinstance(classifier, BottleneckClassifier):
        return (), None, None
    return concept_columns(classifier, cohort.features)


def concept_columns(
    classifier: BottleneckClassifier, features: Features
) -> tuple[tuple[str, ...], Array | None, Array | None]:
    """Return identifiers, values (n, C) and probabilities (n, C) of the concepts."""
    pipeline = classifier.pipeline
    state = pipeline.scorer.score(features, pipeline.bank)
    if state.value.shape[1] != 1 or state.value.shape[3] != 1:
        return (), None, None
    return state.ids, state.static, None if state.prob is None else state.prob[:, 0]


def concept_moments(records: Records) -> dict[str, dict[str, float]]:
    """Return mean and deviation of each concept's value within the classes, weighed alike: the mix of classes moves neither."""
    if records.concept_value is None:
        return {}
    values = records.concept_value
    groups = [values[records.y == k] for k in np.unique(records.y)]
    mean = np.mean([group.mean(0) for group in groups], axis=0)
    std = np.sqrt(np.mean([group.var(0) for group in groups], axis=0))
    return {one: {"mean": float(mean[c]), "std": float(std[c])} for c, one in enumerate(records.concepts)}


def _filled(attributes: pd.DataFrame) -> pd.DataFrame:
    return attributes.assign(age=pd.to_numeric(attributes["age"], errors="coerce"))
