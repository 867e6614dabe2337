"""What a bottleneck costs beside what a user would write instead: its head, its groundings, its features; one run, as ratios.

    python training/benchmarks/model_cost.py [--parts head grounding encoding] [--runs 3] [--json FILE]

`head`: the head with a prior (M1.4) on 3,000 training and 500 held-out examples of 150 concepts and two classes, planted,
beside the recipe of the paper restated: Adam at 1e-3, batches of 64, 200 epochs, the epoch that is best on the held-out
examples; once through torch's data loader and once on tensors in memory. The objective is the paper's, cross-entropy and prior,
on the training examples; accuracy is that on 5,000 others.

`grounding`: 150 concepts on 2,000 examples of 768 features of unit length, beside a loop over scikit-learn's logistic regression
with the same penalty on the same kind of balanced sample; AUROC on 2,000 others.

`encoding`: EfficientNet-Lite0 over an archive of phantom radiographs, an archive a transfer syntax: reading, decoding,
resizing, encoding and keeping the features, beside the bare forward pass over the same images as ready tensors, the same
number of threads in one process: of the network as its library builds it in batches of 64, of the same laid out as Osler lays
it out, and of that in the small passes that Osler makes, which is the fastest that we know.

Both sides of each part alternate in one process, on one thread for head and groundings, which are too small to share; the
medians of the runs are compared, for encoding the medians of the ratios of each round.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
)
from scipy.special import expit, log_softmax
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from threadpoolctl import threadpool_limits
from torch.utils.data import DataLoader, TensorDataset

from osler.archive import Archive
from osler.bottleneck.encoders.catalogue import open_encoder
from osler.bottleneck.encoders.imagenet import shipped_lite0
from osler.bottleneck.encoders.preprocess import portions
from osler.bottleneck.feature_cache import FeatureCache
from osler.bottleneck.records import Array
from osler.cli.main import main as main_of_osler
from osler.workspace import Workspace
from osler_training.datasets import open_dataset
from osler_training.fit.grounding import GroundingRule, fit_grounding
from osler_training.fit.prior_head import HeadRule, fit_head

CONCEPTS, CLASSES, WIDTH = 150, 2, 768
TRAIN, HELD_OUT, TEST = 3000, 500, 5000
EPOCHS, BATCH, RATE = 200, 64, 1e-3
STUDIES = 300
SYNTAXES = {
    "uncompressed": ExplicitVRLittleEndian,
    "deflated": DeflatedExplicitVRLittleEndian,
    "RLE": RLELossless,
    "JPEG-LS, lossless": JPEGLSLossless,
    "JPEG 2000, lossless": JPEG2000Lossless,
}


def timed(sides: dict[str, Callable[[], Any]], runs: int) -> tuple[dict[str, float], dict[str, Any]]:
    """Run every side in turn, several times; return the median seconds on the clock of each, and what each gave last."""
    seconds, results = rounds(sides, runs)
    return {name: median(each) for name, each in seconds.items()}, results


def rounds(sides: dict[str, Callable[[], Any]], runs: int) -> tuple[dict[str, list[float]], dict[str, Any]]:
    """Run every side in turn, several times; return the seconds of each round, and what each side gave last."""
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    results: dict[str, Any] = {}
    for _ in range(runs):
        for name, side in sides.items():
            start = time.perf_counter()
            results[name] = side()
            seconds[name].append(time.perf_counter() - start)
    return seconds, results


def concept_world(seed: int) -> tuple[Array, NDArray[np.intp], Array]:
    """Return concept probabilities, classes, and a prior of signs of which one in ten is wrong, none zero."""
    rng = np.random.default_rng(seed)
    n = TRAIN + HELD_OUT + TEST
    W = rng.normal(size=(CLASSES, CONCEPTS)) * (rng.random((CLASSES, CONCEPTS)) < 0.3)
    a = expit(rng.normal(size=(n, 8)) @ rng.normal(size=(8, CONCEPTS)) + rng.normal(size=(n, CONCEPTS)))
    y = ((a - 0.5) @ (2 * W).T + rng.gumbel(size=(n, CLASSES))).argmax(1)
    signs = np.where(W == 0, rng.choice([-1, 1], size=W.shape), np.sign(W))
    return a, y, np.where(rng.random(W.shape) < 0.1, -signs, signs).astype(int)


def reference_head(a: Array, y: NDArray[np.intp], prior: Array, *, loader: bool) -> tuple[Array, Array]:
    """Fit the head by the paper's recipe; returns W and b of the best epoch."""
    torch.manual_seed(0)
    x, target, signs = torch.tensor(a, dtype=torch.float32), torch.tensor(y), torch.tensor(prior, dtype=torch.float32)
    held_x, held_y = x[TRAIN : TRAIN + HELD_OUT], target[TRAIN : TRAIN + HELD_OUT]
    x, target = x[:TRAIN], target[:TRAIN]
    head = torch.nn.Linear(CONCEPTS, CLASSES)
    optimizer = torch.optim.Adam(head.parameters(), RATE)
    batches = DataLoader(TensorDataset(x, target), BATCH, shuffle=True)
    best, kept = -1.0, (head.weight.detach().clone(), head.bias.detach().clone())
    for _ in range(EPOCHS):
        order = torch.randperm(TRAIN).split(BATCH)
        for seen, truth in batches if loader else ((x[rows], target[rows]) for rows in order):
            loss = torch.nn.functional.cross_entropy(head(seen), truth)
            loss = loss + (torch.tanh(head.weight) - signs).abs().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        with torch.no_grad():
            right = float((head(held_x).argmax(1) == held_y).float().mean())
        if right > best:
            best, kept = right, (head.weight.detach().clone(), head.bias.detach().clone())
    return kept[0].double().numpy(), kept[1].double().numpy()


def head(runs: int, _scratch: Path) -> dict[str, Any]:
    """Compare heads."""
    a, y, prior = concept_world(0)

    def ours() -> tuple[Array, Array]:
        fitted = fit_head(a[:TRAIN], y[:TRAIN], prior.tolist(), HeadRule(unknown="pull"))
        return fitted.W, fitted.b

    sides = {
        "osler": ours,
        "through the data loader": lambda: reference_head(a, y, prior, loader=True),
        "in memory": lambda: reference_head(a, y, prior, loader=False),
    }
    for side in sides.values():  # what a library does once, at its first call, is nobody's cost
        if side is ours:
            side()
    torch.nn.Linear(1, 1)(torch.zeros(1, 1)).sum().backward()
    seconds, fitted = timed(sides, runs)

    def judged(W: Array, b: Array) -> dict[str, float]:
        logp = log_softmax(a @ W.T + b, axis=1)
        loss = -logp[np.arange(TRAIN), y[:TRAIN]].mean() + np.abs(np.tanh(W) - prior).mean()
        right = (logp.argmax(1) == y)[TRAIN + HELD_OUT :].mean()
        return {"objective": round(float(loss), 4), "accuracy": round(float(right), 4)}

    return {
        "seconds": rounded(seconds),
        "times_as_fast": {name: round(seconds[name] / seconds["osler"], 1) for name in sides if name != "osler"},
        **{name: judged(*one) for name, one in fitted.items()},
    }


def grounding(runs: int, _scratch: Path) -> dict[str, Any]:
    """Compare groundings."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=(4000, WIDTH)) * np.linspace(3, 0.3, WIDTH)
    directions = rng.normal(size=(WIDTH, CONCEPTS))
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    x = x.astype(np.float32)
    score = x @ directions
    labels = (score / score.std(0) + rng.logistic(size=score.shape) * 0.4 > rng.normal(size=CONCEPTS) * 0.4).astype(
        float
    )
    train, test = slice(0, 2000), slice(2000, 4000)
    ids = [f"concept_{number}" for number in range(CONCEPTS)]
    patients = [str(number) for number in range(2000)]

    def ours() -> tuple[Array, Array]:
        fitted = fit_grounding(x[train], labels[train], patients, ids, seed=0, rule=GroundingRule())
        return fitted.vectors, fitted.intercepts

    def loop() -> tuple[Array, Array]:
        draw, models = np.random.default_rng(0), []
        for label in labels[train].T:
            order = draw.permutation(len(label))
            sides = [order[label[order] == value] for value in (0, 1)]
            held = min(len(sides[0]) // 10, len(sides[1]) // 10, 50)
            size = min(1000, *(len(side) - held for side in sides))
            rows = np.concatenate([side[held : held + size] for side in sides])
            models.append(LogisticRegression(max_iter=1000).fit(x[train][rows], label[rows]))
            outside = np.concatenate([side[:held] for side in sides])
            models[-1].score(x[train][outside], label[outside])  # by which concepts are ranked
        return np.concatenate([one.coef_ for one in models]), np.concatenate([one.intercept_ for one in models])

    seconds, fitted = timed({"osler": ours, "loop": loop}, runs)
    auroc = {
        name: np.mean([roc_auc_score(labels[test, c], x[test] @ W[c] + b[c]) for c in range(CONCEPTS)])
        for name, (W, b) in fitted.items()
    }
    return {
        "seconds": rounded(seconds),
        "times_as_fast": round(seconds["loop"] / seconds["osler"], 2),
        "auroc": {name: round(float(one), 4) for name, one in auroc.items()},
    }


def encoding(runs: int, scratch: Path) -> dict[str, Any]:
    """Compare the encoding of archives with the bare forward pass."""
    encoder: Any = open_encoder("imagenet_lite0")
    plain = shipped_lite0(encoder.preprocess.size).eval()
    original = scratch / "phantom"
    osler("phantom", original, "--site", "hospital_a", "--studies", STUDIES, "--seed", 1, "--spoil", 0)
    result: dict[str, Any] = {"threads": torch.get_num_threads(), "images": 0, "share_of_bare_forward": {}}
    for name, syntax in SYNTAXES.items():
        folder = recoded(original, scratch / syntax, syntax)
        root = scratch / f"workspace-{syntax}"
        osler("ingest", folder, "--site", "a", "--workspace", root, "--burned-in", "unjudged")
        images = open_dataset("archive", root, site="a")
        studies = Archive(Workspace.open(root)).studies("a")
        stored = {instance.transfer_syntax for study in studies for instance in study.instances}
        batch = torch.stack([encoder.preprocess(images.load(number)) for number in range(len(images))])

        def bare(network: Any = plain, batch: torch.Tensor = batch, size: int = 64) -> None:
            with torch.inference_mode():
                for part in batch.split(size):
                    network.extract_features(part).mean((2, 3))

        last = batch.to(memory_format=torch.channels_last)
        passes = portions(len(batch), "cpu")

        def whole(images: Any = images) -> None:
            folder = Path(tempfile.mkdtemp(dir=scratch))
            FeatureCache(folder, encoder).features(list(images.table["key"]), images.load)

        sides: dict[str, Callable[[], Any]] = {
            "librarys": bare,
            "same_layout": partial(bare, encoder.model, last),
            "same_passes": partial(bare, encoder.model, last, -(-len(batch) // len(passes))),
            "whole": whole,
        }
        for side in sides.values():  # what a library does once, at its first call, is nobody's cost
            side()
        seconds, _ = rounds(sides, runs)
        result["images"] = len(images)
        result["share_of_bare_forward"][name] = {
            **{
                f"of_the_{one}": round(median(a / b for a, b in zip(seconds[one], seconds["whole"], strict=True)), 3)
                for one in sides
                if one != "whole"
            },
            "images_a_second": round(len(images) / median(seconds["whole"]), 1),
            "stored_as": sorted(stored),
        }
    return result


def osler(*arguments: Any) -> None:
    """Run the command line."""
    if main_of_osler([str(one) for one in arguments]):
        raise SystemExit(f"`osler {arguments[0]}` failed")


def recoded(source: Path, folder: Path, syntax: str) -> Path:
    """Write the files of a folder in another transfer syntax."""
    folder.mkdir()
    for number, path in enumerate(sorted(source.rglob("*.dcm"))):
        dataset = dcmread(path)
        if dataset.file_meta.TransferSyntaxUID.is_compressed:
            dataset.decompress(generate_instance_uid=False)
        if syntax in (RLELossless, JPEGLSLossless, JPEG2000Lossless):
            dataset.compress(syntax, generate_instance_uid=False)
        dataset.file_meta.TransferSyntaxUID = syntax
        dataset.save_as(folder / f"{number}.dcm", enforce_file_format=True)
    return folder


def rounded(seconds: dict[str, float]) -> dict[str, float]:
    """Return seconds to four digits."""
    return {name: float(f"{one:.4g}") for name, one in seconds.items()}


PARTS = {"head": head, "grounding": grounding, "encoding": encoding}


def main() -> None:
    """Run it from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS), help="all by default")
    parser.add_argument("--runs", type=int, default=3, help="how often each side runs (default: 3)")
    parser.add_argument("--json", type=Path, help="write the result here too")
    arguments = parser.parse_args()
    result: dict[str, Any] = {}
    whole = torch.get_num_threads()
    with tempfile.TemporaryDirectory() as scratch:
        for part in arguments.parts:
            threads = whole if part == "encoding" else 1
            with threadpool_limits(threads):
                torch.set_num_threads(threads)
                result[part] = PARTS[part](arguments.runs, Path(scratch))
    text = json.dumps(result, indent=1)
    print(text)
    if arguments.json:
        arguments.json.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
