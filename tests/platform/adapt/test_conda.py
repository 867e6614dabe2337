"""CONDA (M15): its losses against closed forms, its steps against solvers, its patch against its own model."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from scipy.spatial.distance import mahalanobis
from scipy.special import log_softmax, softmax
from sklearn.linear_model import LogisticRegression

from osler.adapt.adapter import fit_patch
from osler.adapt.adapters.conda import Conda, CondaFit
from osler.adapt.conda_steps import CondaRates, coherency, head_loss, intra_and_inter, similarity, squared_distances
from osler.adapt.patch import SitePatch
from osler.adapt.site_values import SourceUnits
from osler.bottleneck.artefact import load_bottleneck, save_bottleneck
from osler.bottleneck.calibration import Calibration
from osler.bottleneck.records import Features, Support
from osler.bottleneck.scorers.margin import MarginScorer
from osler.bottleneck.scorers.measured import MeasuredScorer, Standard
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

World = Any
DATE = "2024-05-01"
PARTS = (
    Conda(lpa=False, rcb=False),
    Conda(csa=False, rcb=False),
    Conda(csa=False, lpa=False),
    Conda(),
)


@pytest.fixture(scope="module")
def warm(make_world: Callable[..., World]) -> World:
    """Return a noisy world whose logits are divided by a temperature."""
    world = make_world(seed=3, noise=0.8)
    return replace(world, pipeline=replace(world.pipeline, calibration=Calibration(1.5)))


@pytest.fixture(scope="module")
def site(warm: World) -> tuple[np.ndarray, np.ndarray]:
    """Return studies of a site where every concept of class 1 is seen more easily, and their classes."""
    logits, y = warm.draw(np.random.default_rng(1), 80)
    logits[:, 4:8] += 0.9
    return logits, y


def seen(logits: np.ndarray) -> Support:
    return Support(Features(logits[:3]), None, "b", unlabelled=Features(logits))


def tensors(*arrays: np.ndarray) -> list[Any]:
    return [torch.as_tensor(array) for array in arrays]


@pytest.mark.parametrize("adapter", PARTS, ids=["csa", "lpa", "rcb", "all"])
def test_the_patch_says_what_the_adapted_model_says(warm: World, site: Any, adapter: Conda):
    logits, _ = site
    patch = fit_patch(adapter, warm.pipeline, seen(logits), created=DATE)
    assert not patch.changes_nothing, patch.reason
    assert (patch.projection is not None, patch.head is not None, patch.residual is not None) == (
        adapter.csa,
        adapter.lpa,
        adapter.rcb,
    )
    assert patch.kinds == (("scorer",) if adapter.csa else ()) + (("head",) if adapter.lpa or adapter.rcb else ())
    assert patch.reads_features == (adapter.csa or adapter.rcb)
    again = SitePatch.from_json(patch.to_json())
    assert again == patch
    assert patch.diff(again) == []
    patched = again.apply(warm.pipeline, on=DATE)
    bound = CondaFit.bind(warm.pipeline, adapter)
    features = bound.measured(seen(logits))
    _, model = bound.adapt(features)
    output = patched.predict_features(features, site="b")
    np.testing.assert_allclose(output.logits / 1.5, bound.logits(bound.seen(features), model), atol=1e-4)
    units = SourceUnits.total(warm.pipeline)
    np.testing.assert_allclose(units(output.state.static), bound.values(bound.seen(features), model), atol=1e-4)
    assert (output.residual_logits is not None) == adapter.rcb
    plain = warm.pipeline.predict_features(features, site="a").logits
    np.testing.assert_array_equal(patched.predict_features(features, site="a").logits, plain)
    np.testing.assert_array_equal(warm.pipeline.predict_features(features, site="b").logits, plain)
    assert not np.allclose(output.logits, plain)
    assert patch.edits


@pytest.mark.parametrize("adapter", PARTS, ids=["csa", "lpa", "rcb", "all"])
def test_what_a_state_is_made_of_fits_together(warm: World, site: Any, adapter: Conda):
    patched = fit_patch(adapter, warm.pipeline, seen(site[0]), created=DATE).apply(warm.pipeline, on=DATE)
    output = patched.predict_features(Features(site[0]), site="b")
    np.testing.assert_allclose(1 / (1 + np.exp(-output.state.logit)), output.state.prob)
    np.testing.assert_array_equal(output.state.prob[..., None], output.state.value)
    mask = np.zeros((len(site[0]), 12), bool)
    mask[:, 4] = True
    clamped = patched.predict_features(Features(site[0]), site="b", clamp=(mask, np.zeros(mask.shape)))
    assert (clamped.state.static[:, 4] == patched.correction_range[4, 0]).all()
    if adapter.rcb:
        with pytest.raises(OslerError) as caught:
            patched.head_weights("b")
        assert caught.value.code is Code.MODEL_INVALID
        assert patched.predict_values(output.state.static, site="b").residual_logits.any() == np.False_
    else:
        values = (
            output.state.static @ patched.head_weights("b").T
            + patched.predict_values(np.zeros((1, 12)), site="b").logits
        )
        np.testing.assert_allclose(values, output.logits, atol=1e-9)
    np.testing.assert_array_equal(patched.head_weights("a"), warm.pipeline.head_weights())


def test_the_source_model_and_the_studies_stay_as_they_are(warm: World, site: Any, tmp_path: Any):
    logits = site[0].copy()
    save_bottleneck(warm.pipeline, tmp_path / "before", card="")
    fit_patch(Conda(), warm.pipeline, seen(logits), created=DATE)
    save_bottleneck(warm.pipeline, tmp_path / "after", card="")
    assert load_bottleneck(tmp_path / "after").digest == load_bottleneck(tmp_path / "before").digest
    tensors_after = (tmp_path / "after" / "bottleneck.safetensors").read_bytes()
    assert tensors_after == (tmp_path / "before" / "bottleneck.safetensors").read_bytes()
    np.testing.assert_array_equal(logits, site[0])


def test_the_order_of_studies_and_another_run_change_nothing(warm: World, site: Any):
    order = np.random.default_rng(0).permutation(len(site[0]))
    first = fit_patch(Conda(steps=3), warm.pipeline, seen(site[0]), created=DATE)
    second = fit_patch(
        Conda(steps=3), warm.pipeline, replace(seen(site[0]), unlabelled=Features(site[0][order])), created=DATE
    )
    assert first == second
    assert first.residual != fit_patch(Conda(steps=3, seed=1), warm.pipeline, seen(site[0]), created=DATE).residual


@pytest.mark.parametrize("adapter", [Conda(steps=0), Conda(csa=False, lpa=False, residuals=0)])
def test_no_step_is_no_change(warm: World, site: Any, adapter: Conda):
    patch = fit_patch(adapter, warm.pipeline, seen(site[0]), created=DATE)
    assert patch.changes_nothing
    assert patch.reason == "No change: no step was asked for."
    features = Features(site[0])
    np.testing.assert_array_equal(
        patch.apply(warm.pipeline, on=DATE).predict_features(features, site="b").logits,
        warm.pipeline.predict_features(features).logits,
    )


def test_the_head_alone_is_refitted_to_the_minimum(warm: World, site: Any):
    """Without new concepts, with a smooth penalty and steps enough: the minimiser of the same loss by another solver."""
    adapter = Conda(csa=False, residuals=0, steps=1500, l1_share=0.0, sparsity=0.5, batch=10_000)
    patch = fit_patch(adapter, warm.pipeline, seen(site[0]), created=DATE)
    assert patch.kinds == ("head",)
    assert patch.projection is None
    assert patch.residual is None
    order = sorted(range(len(site[0])), key=lambda row: site[0][row].tobytes())
    rows = np.array(order)[np.random.default_rng(0).permutation(len(order))[round(len(order) / 4) :]]
    x = SourceUnits.total(warm.pipeline)(warm.values(site[0][rows]))
    y = warm.pipeline.predict_features(Features(site[0][rows])).logits.argmax(axis=1)

    def loss(flat: np.ndarray) -> float:
        W, b = flat[:36].reshape(3, 12), flat[36:]
        return -log_softmax(x @ W.T + b, axis=1)[np.arange(len(y)), y].mean() + 0.5 * (W**2).mean()

    best = minimize(loss, np.zeros(39), method="L-BFGS-B", options={"maxfun": 100_000, "maxiter": 5000}).x
    expected = softmax(x @ best[:36].reshape(3, 12).T + best[36:], axis=1)
    patched = patch.apply(warm.pipeline, on=DATE)
    found = patched.calibration.probabilities(patched.predict_features(Features(site[0][rows]), site="b").logits)
    np.testing.assert_allclose(found, expected, atol=0.01)


def test_true_labels_and_the_best_head_leave_no_gradient(warm: World):
    logits, y = warm.draw(np.random.default_rng(2), 60)
    x = np.concatenate([logits, np.random.default_rng(3).permutation(logits)])  # Half of it noise: no head is perfect.
    y = np.concatenate([y, y])
    model = LogisticRegression(C=1e6, tol=1e-12, max_iter=10_000, solver="newton-cg").fit(x, y)
    features, labels = tensors(x, y)
    W = torch.tensor(model.coef_, requires_grad=True)
    scores = features @ W.T + torch.as_tensor(model.intercept_)
    head_loss(scores, labels, W, CondaRates(sparsity=0.0)).backward()
    assert np.abs(W.grad.numpy()).max() < 1e-5
    other = torch.tensor(model.coef_ + 0.5 * np.eye(3, 12), requires_grad=True)
    head_loss(
        features @ other.T + torch.as_tensor(model.intercept_), labels, other, CondaRates(sparsity=0.0)
    ).backward()
    assert np.abs(other.grad.numpy()).max() > 1e-3


def test_new_concepts_are_best_orthogonal_and_worst_the_old_ones():
    eye = np.eye(8)
    old = eye[:4]
    shares = []
    for turn in np.linspace(0, np.pi / 2, 7):
        new = np.cos(turn) * eye[4:6] + np.sin(turn) * old[:2]
        shares.append(float(similarity(*tensors(new, old))))
    assert shares[0] == 0
    assert (np.diff(shares) > 0).all()
    assert float(similarity(*tensors(3 * old[:2], old))) == pytest.approx(shares[-1])
    assert float(similarity(*tensors(-old[:2], old))) == pytest.approx(shares[-1])
    twice = np.stack([eye[4], eye[4]])
    assert float(similarity(*tensors(twice, old))) == pytest.approx(1.0)
    assert float(similarity(*tensors(eye[4:5], old))) == 0
    rng = np.random.default_rng(0)
    new, old = rng.normal(size=(3, 8)), rng.normal(size=(5, 8))

    def cosine(a: np.ndarray, b: np.ndarray) -> float:
        return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))

    among = np.mean([cosine(new[i], new[j]) ** 2 for i in range(3) for j in range(3) if i != j])
    across = np.mean([cosine(a, b) ** 2 for a in new for b in old])
    assert float(similarity(*tensors(new, old))) == pytest.approx(among + across)


def test_coherency_is_the_mean_over_the_nearest_once():
    x = np.array([[1.0, 0], [0, 2.0], [-1.0, 0]])
    assert float(coherency(*tensors(np.array([[5.0, 0]]), x), nearest=2)) == pytest.approx(0.5)
    assert float(coherency(*tensors(np.array([[5.0, 0]]), x), nearest=1)) == pytest.approx(1.0)
    assert float(coherency(*tensors(np.array([[5.0, 0]]), x), nearest=99)) == pytest.approx(0.0)


def test_distances_are_mahalanobis_and_zero_at_the_means():
    rng = np.random.default_rng(0)
    means, values = rng.normal(size=(3, 4)), rng.normal(size=(5, 4))
    roots = rng.normal(size=(3, 4, 4))
    precisions = roots @ roots.transpose(0, 2, 1) + np.eye(4)
    found = squared_distances(*tensors(values, means, precisions)).numpy()
    expected = [[mahalanobis(v, m, p) ** 2 for m, p in zip(means, precisions, strict=True)] for v in values]
    np.testing.assert_allclose(found, expected)
    y = torch.arange(3)
    intra, inter = intra_and_inter(squared_distances(*tensors(means, means, precisions)), y)
    assert float(intra) == 0
    assert float(inter) > 0
    labels = torch.as_tensor(np.array([0, 1, 2, 0, 1]))
    intra, inter = intra_and_inter(torch.as_tensor(np.array(expected)), labels)
    own = np.array(expected)[np.arange(5), labels.numpy()]
    assert float(intra) == pytest.approx(own.mean())
    assert float(inter) == pytest.approx((np.sum(expected) - own.sum()) / 10)


def test_alignment_brings_studies_nearer_to_their_class(warm: World, site: Any):
    adapter = Conda(lpa=False, rcb=False)
    bound = CondaFit.bind(warm.pipeline, adapter)
    x = bound.seen(bound.measured(seen(site[0])))
    _, model = bound.adapt(bound.measured(seen(site[0])))
    y = torch.as_tensor(bound.logits(x, bound.start).argmax(axis=1))

    def ratio(one: Any) -> float:
        means, precisions = bound.source.means, bound.source.precisions
        intra, inter = intra_and_inter(squared_distances(*tensors(bound.values(x, one), means, precisions)), y)
        return float(intra / inter)

    assert ratio(model) < 0.9 * ratio(bound.start)


def test_it_helps_where_concepts_moved_alike(warm: World):
    rng = np.random.default_rng(5)
    (logits, _), (test, y) = warm.draw(rng, 80), warm.draw(rng, 300)
    for part in (logits, test):
        part[:, 4:8] += 0.9
    before = warm.accuracy(warm.pipeline, test, y, "b")
    for adapter, least in ((Conda(lpa=False, rcb=False), before + 0.02), (Conda(), before)):
        patch = fit_patch(adapter, warm.pipeline, seen(logits), created=DATE)
        assert warm.accuracy(patch.apply(warm.pipeline, on=DATE), test, y, "b") > least


def test_pseudo_labels_that_nothing_supports_are_not_followed(warm: World):
    wild = 4 * np.random.default_rng(0).normal(size=(120, 12))
    patch = fit_patch(Conda(agreement=0.99), warm.pipeline, seen(wild), created=DATE)
    assert patch.changes_nothing
    assert "lie nearest to the class that the model names" in patch.reason
    assert [guard.name for guard in patch.guards] == ["pseudo-label-agreement"]
    few = fit_patch(Conda(), warm.pipeline, seen(wild[:10]), created=DATE)
    assert few.reason == "No change: 10 unlabelled studies are too few, 16 are the least."


def test_margins_have_vectors_too(warm: World, site: Any):
    rng = np.random.default_rng(0)
    ids = warm.pipeline.bank.ids
    scorer = MarginScorer(ids, rng.uniform(1, 2, (12, 1)) * np.eye(12), rng.normal(size=12), np.zeros((12, 2)), False)
    pipeline = replace(warm.pipeline, scorer=scorer)
    train, y = warm.draw(rng, 100)
    values = pipeline.state(Features(train)).static
    source = type(pipeline.source).measure(ids, values, y, values[::2], y[::2], classes=3, site="a")
    pipeline = replace(pipeline, source=source)
    adapter = Conda(agreement=0.0)
    bound = CondaFit.bind(pipeline, adapter)
    _, model = bound.adapt(bound.measured(seen(site[0])))
    patched = pipeline.with_patch(
        SitePatch("b", pipeline.digest, pipeline.bank.digest, "conda", DATE, "", **bound.changes(model))
    )
    features = Features(site[0])
    found = patched.predict_features(features, site="b")
    np.testing.assert_allclose(found.logits / 1.5, bound.logits(bound.seen(features), model), atol=1e-4)
    assert found.state.logit is None


def test_concepts_without_vectors_keep_the_head_alone(warm: World, site: Any):
    standard = Standard(np.zeros(12), np.ones(12), np.zeros(12), 100.0)
    scorer = MeasuredScorer(warm.pipeline.bank.ids, np.eye(12), np.zeros(12), standard)
    pipeline = replace(warm.pipeline, scorer=scorer)
    with pytest.raises(OslerError) as caught:
        fit_patch(Conda(), pipeline, seen(site[0]), created=DATE)
    assert caught.value.code is Code.MODEL_INVALID
    assert "csa and rcb to false" in caught.value.mend
    alone = Conda(csa=False, rcb=False)
    found, expected = (fit_patch(alone, one, seen(site[0]), created=DATE) for one in (pipeline, warm.pipeline))
    np.testing.assert_allclose(found.head.weights, expected.head.weights, atol=1e-6)


def test_a_patch_that_reads_features_says_so_where_it_gets_none(warm: World, site: Any):
    patch = fit_patch(Conda(), warm.pipeline, seen(site[0]), created=DATE)
    state = warm.pipeline.state(Features(site[0]))
    assert patch.apply_state(state, "a") is state
    with pytest.raises(ValueError, match="reads features"):
        patch.apply_state(state, "b")
    with pytest.raises(OslerError) as caught:
        patch.apply_state(state, "b", Features(site[0][:, :5]))
    assert caught.value.code is Code.PATCH_INVALID
    plain = replace(patch, projection=None, residual=None)
    assert [line for line in plain.diff(patch) if not line.startswith("head")] == [
        "projection: none -> 12 vectors of 12 numbers",
        "residual: none -> 5 vectors of 12 numbers",
    ]
    with pytest.raises(OslerError) as caught:
        replace(patch, residual=replace(patch.residual, bias=(float("nan"),) * 3))
    assert caught.value.code is Code.PATCH_INVALID


@pytest.mark.parametrize("wrong", [{"steps": -1}, {"batch": 0}, {"held_out": 1.0}, {"rate": 0.0}])
def test_settings_out_of_range_are_refused(wrong: dict[str, Any]):
    with pytest.raises(OslerError) as caught:
        Conda(**wrong)
    assert caught.value.code is Code.USAGE


def test_torch_is_loaded_for_the_steps_alone():
    code = "import sys, osler.adapt.adapters.conda; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
