"""What adapting costs beside fine-tuning the head by gradient steps, on the same shots and the same source cache.

    python training/benchmarks/adaptation.py [--json FILE]

A bottleneck of 150 concepts and 5 classes on features of 768, 4 shots a class, 200 unlabelled studies, 400 held-out studies of
the source. Every adapter is timed from features to patch. The other side is what a user would write: the head as a linear layer,
started at the source's, Adam at 1e-3 over batches of 64 of shots and source cache, the shots as heavy as the cache, until the
loss of a whole pass has not improved by 1e-4 of itself for 20 passes. Each side in turn in one process; medians.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

from osler.adapt.adapter import fit_patch
from osler.adapt.adapters import adapter_names, parse_adapter
from osler.adapt.site_values import Labels
from osler.bottleneck.correction import FittedCorrection
from osler.bottleneck.heads.linear import LinearHead
from osler.bottleneck.pipeline import Pipeline
from osler.bottleneck.records import Array, Features, Support
from osler.bottleneck.scorers.logistic import LogisticScorer
from osler.bottleneck.source import SourceReference
from osler_contracts.errors import OslerError
from osler_knowledge.bank import Citation, Concept, ConceptBank

CONCEPTS, CLASSES, WIDTH, SHOTS, POOL, HELD = 150, 5, 768, 4, 200, 400
TIMES = 7
PATIENCE, IMPROVEMENT, BATCH, RATE = 20, 1e-4, 64, 1e-3


def bank_of(classes: tuple[str, ...]) -> ConceptBank:
    """Return a bank of concepts without a prior."""
    passage = "A sign."
    citation = Citation("entry", "Title", passage, 0, len(passage), ("Benchmark",))
    concepts = tuple(
        Concept(f"concept_{c}", f"concept {c}", f"Is concept {c} there?", "lung", citation, {}) for c in range(CONCEPTS)
    )
    return ConceptBank("benchmark", 1, "DX", classes, concepts)


def world(seed: int = 0) -> tuple[Pipeline, Support, Features, Labels]:
    """Return a model, the support of a site whose features moved, and test studies of the site."""
    rng = np.random.default_rng(seed)
    means = rng.normal(scale=0.25, size=(CLASSES, CONCEPTS))
    vectors = np.linalg.qr(rng.normal(size=(WIDTH, CONCEPTS)))[0].T
    shift, scale = rng.normal(scale=0.6, size=WIDTH) / np.sqrt(WIDTH), 0.7

    def draw(count: int, *, away: bool = False) -> tuple[Features, Labels]:
        y = np.arange(count) % CLASSES
        x = (means[y] + 1.5 * rng.normal(size=(count, CONCEPTS))) @ vectors
        return Features(scale * x + 8 * shift if away else x), y

    classes = tuple(f"class_{k}" for k in range(CLASSES))
    bank = bank_of(classes)
    (train, train_y), (held, held_y) = draw(2000), draw(HELD)
    values = expit(train.pooled @ vectors.T)
    fitted = LogisticRegression(C=0.1, max_iter=1000).fit(values, train_y)
    pipeline = Pipeline(
        encoder=None,
        encoder_digest="0" * 64,
        bank=bank,
        scorer=LogisticScorer(bank.ids, vectors, np.zeros(CONCEPTS), normalised=False),
        head=LinearHead(bank.ids, fitted.coef_, fitted.intercept_),
        classes=classes,
        source=SourceReference.measure(
            bank.ids, values, train_y, expit(held.pooled @ vectors.T), held_y, classes=CLASSES, site="a"
        ),
        references=(FittedCorrection.at_source("feature_moments", train),),
    )
    shots, y = draw(SHOTS * CLASSES, away=True)
    names = tuple(f"2.25.{number}" for number in range(len(y)))
    support = Support(shots, y, "b", study_uids=names, unlabelled=draw(POOL, away=True)[0])
    return pipeline, support, *draw(2000, away=True)


def fine_tuned(pipeline: Pipeline, support: Support) -> Callable[[Array], Array]:
    """Fine-tune the head by gradient steps on shots and source cache to convergence; returns the new head."""
    import torch

    torch.manual_seed(0)
    source, y = pipeline.source, support.y
    assert y is not None
    shots = pipeline.state(support.features).static
    x = torch.tensor(np.concatenate([source.values, shots]), dtype=torch.float32)
    truth = torch.tensor(np.concatenate([source.y, y]))
    weight = torch.ones(len(truth))
    weight[len(source.y) :] = len(source.y) / len(y)
    weight /= weight.mean()
    head = torch.nn.Linear(CONCEPTS, CLASSES)
    with torch.no_grad():
        head.weight.copy_(torch.tensor(pipeline.head_weights(), dtype=torch.float32))
        head.bias.copy_(torch.tensor(pipeline.predict_values(np.zeros((1, CONCEPTS))).logits[0], dtype=torch.float32))
    steps, best, waited = torch.optim.Adam(head.parameters(), lr=RATE), float("inf"), 0
    while waited < PATIENCE:
        total = 0.0
        for rows in torch.split(torch.randperm(len(truth)), BATCH):
            loss = (
                torch.nn.functional.cross_entropy(head(x[rows]), truth[rows], reduction="none") * weight[rows]
            ).mean()
            steps.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            steps.step()
            total += float(loss.detach()) * len(rows)
        improved = total < best * (1 - IMPROVEMENT)
        best, waited = (total, 0) if improved else (best, waited + 1)
    W, b = (part.detach().numpy().astype(float) for part in (head.weight, head.bias))
    return lambda values: np.asarray(values @ W.T + b)


def timed(act: Callable[[], Any], times: int) -> tuple[float, Any]:
    """Return the median seconds of an act, and what it gave last; of several times the first does not count."""
    seconds, result = [], None
    for _ in range(times + (times > 1)):
        start = time.perf_counter()
        result = act()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds[times > 1 :]), result


def measured() -> dict[str, Any]:
    """Return seconds, ratios and accuracies at the site."""
    pipeline, support, test, truth = world()
    values = pipeline.state(test).static
    slow, head = timed(lambda: fine_tuned(pipeline, support), 1)

    def accuracy(logits: Array) -> float:
        return float((logits.argmax(1) == truth).mean())

    adapters: dict[str, Any] = {}
    for name in adapter_names():
        adapter = parse_adapter(name, {})
        try:
            seconds, patch = timed(lambda: fit_patch(adapter, pipeline, support, created="2025-01-01"), TIMES)  # noqa: B023
        except OslerError as error:
            adapters[name] = {"refused": error.message}
            continue
        logits = patch.apply(pipeline).predict_features(test, site="b").logits
        adapters[name] = {
            "seconds": seconds,
            "ratio": slow / seconds,
            "accuracy": accuracy(logits),
            "changes": list(patch.kinds),
        }
    return {
        "cores": os.cpu_count(),
        "gradient_steps": {"seconds": slow, "accuracy": accuracy(head(values))},
        "no_change": {"accuracy": accuracy(pipeline.predict_values(values).logits)},
        "adapters": adapters,
    }


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", type=Path, help="write the result here too")
    arguments = parser.parse_args()
    result = measured()
    text = json.dumps(result, indent=1)
    print(text)
    if arguments.json is not None:
        arguments.json.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
