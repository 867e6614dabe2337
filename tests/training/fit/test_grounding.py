"""Grounding on planted concepts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from osler_training.fit.grounding import GroundingRule, fit_grounding


def planted(n: int = 600, D: int = 20, C: int = 3, seed: int = 0) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Features with one direction a concept, and labels that follow them without noise."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, D))
    return x, (x[:, :C] > 0).astype(float), [f"p{i}" for i in range(n)]


def test_a_grounding_finds_the_direction_that_was_planted() -> None:
    x, labels, patients = planted()
    grounding = fit_grounding(x, labels, patients, ["a", "b", "c"], seed=1)
    assert grounding.ids == ("a", "b", "c")
    assert np.abs(grounding.vectors).argmax(1).tolist() == [0, 1, 2]
    assert all(fit.accuracy > 0.85 and fit.auroc > 0.95 for fit in grounding.fits)


def test_labels_that_are_missing_are_not_used() -> None:
    x, labels, patients = planted()
    hidden = labels.copy()
    hidden[::2] = np.nan
    poisoned = x.copy()
    poisoned[::2] = 1e6  # any use of an unlabelled row would ruin the fit
    grounding = fit_grounding(poisoned, hidden, patients, ["a", "b", "c"], seed=1)
    alone = fit_grounding(x[1::2], labels[1::2], patients[1::2], ["a", "b", "c"], seed=1)
    assert np.isfinite(grounding.vectors).all()
    assert [fit.positives for fit in grounding.fits] == [fit.positives for fit in alone.fits]
    assert min(fit.accuracy for fit in grounding.fits) > 0.8


def test_the_hold_out_rule_and_the_share_of_the_rarer_answer() -> None:
    x, labels, patients = planted()
    labels[:, 1] = np.nan
    labels[:90, 1] = np.arange(90) % 2  # 45 of each: a tenth is four, fewer than ten
    labels[:, 2] = 0
    labels[:30, 2] = 1  # one in twenty
    grounding = fit_grounding(x, labels, patients, ["a", "few", "rare"], seed=1)
    assert grounding.ids == ("a",)
    skipped = {fit.concept: fit.skipped for fit in grounding.fits if fit.skipped}
    assert skipped == {"few": "fewer than 10 to hold out", "rare": "rarer answer below 10%"}
    assert grounding.fits[0].held_out == 2 * int(0.1 * min(labels[:, 0].sum(), 600 - labels[:, 0].sum()))


def test_a_strength_is_not_chosen_on_fewer_than_a_fold_has() -> None:
    x, labels, patients = planted(n=46)
    labels[:, 0] = np.arange(46) % 2
    rule = GroundingRule(held_out_share=0.85, Cs=(1.0, 10.0))
    fits = fit_grounding(x, labels[:, :1], patients, ["few"], seed=0, rule=rule).fits
    assert fits[0].skipped == "too few left to choose a strength on"
    assert not fit_grounding(x, labels[:, :1], patients, ["few"], seed=0, rule=replace(rule, Cs=(1.0,))).fits[0].skipped


def test_each_concept_is_its_own_whatever_the_order_or_the_company() -> None:
    x, labels, patients = planted()
    together = fit_grounding(x, labels, patients, ["a", "b", "c"], seed=1)
    alone = fit_grounding(x, labels[:, [2]], patients, ["c"], seed=1)
    assert np.array_equal(alone.vectors[0], together.vectors[2])
    again = fit_grounding(x, labels[:, ::-1], patients, ["c", "b", "a"], seed=1)
    assert np.array_equal(again.vectors, together.vectors[::-1])


def test_another_seed_draws_another_hold_out() -> None:
    x, labels, patients = planted()
    one, other = (fit_grounding(x, labels, patients, ["a", "b", "c"], seed=seed) for seed in (1, 2))
    assert not np.array_equal(one.vectors, other.vectors)


def test_a_patient_held_out_is_not_trained_on() -> None:
    """Copies of a patient with labels at odds: trained on, they would be held out at an accuracy that chance forbids."""
    rng = np.random.default_rng(0)
    x = np.repeat(rng.normal(size=(200, 400)), 2, axis=0)  # wide: any row that is trained on is memorised
    labels = np.repeat(rng.integers(2, size=200).astype(float), 2)[:, None]
    patients = [f"p{i // 2}" for i in range(400)]
    rule = GroundingRule(held_out_share=0.25, Cs=(1e6,))
    apart = fit_grounding(x, labels, patients, ["noise"], seed=0, rule=rule).fits[0]
    leaky = fit_grounding(x, labels, [str(i) for i in range(400)], ["noise"], seed=0, rule=rule).fits[0]
    assert apart.accuracy < 0.75 < leaky.accuracy


@pytest.mark.parametrize("share", [0.3, 0.5])
def test_training_is_balanced_whatever_the_prevalence(share: float) -> None:
    rng = np.random.default_rng(0)
    label = (rng.random(2000) < share).astype(float)
    x = rng.normal(size=(2000, 2)) + 2 * label[:, None]
    grounding = fit_grounding(x, label[:, None], [str(i) for i in range(2000)], ["a"], seed=0)
    # With equal classes and equal spread the boundary runs half way between the means.
    assert grounding.vectors[0] @ [1.0, 1.0] + grounding.intercepts[0] == pytest.approx(0, abs=0.5)


def test_the_strength_is_chosen_inside_the_training_examples() -> None:
    """Where labels are noise a stiff penalty wins, where they follow one direction a loose one."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(400, 60))
    clean = (x[:, 0] > 0).astype(float)
    noise = rng.integers(2, size=400).astype(float)
    labels, patients = np.stack([clean, noise], axis=1), [str(i) for i in range(400)]
    rule = GroundingRule(Cs=(1e-3, 1.0, 100.0))
    fits = fit_grounding(x, labels, patients, ["clean", "noise"], seed=0, rule=rule).fits
    chosen = {fit.concept: fit.C for fit in fits}
    assert chosen["noise"] == 1e-3
    assert chosen["clean"] > 1e-3
