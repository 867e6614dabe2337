"""What an explanation shows, held against a planted truth: figures follow by hand, and what was not checked is not shown."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from osler.bottleneck.heads.linear import LinearHead
from osler.bottleneck.pipeline import Pipeline
from osler.bottleneck.records import Features
from osler.bottleneck.scorers.logistic import LogisticScorer
from osler.bottleneck.source import SourceReference
from osler_knowledge.bank import Citation, Concept, ConceptBank
from osler_training.evaluate.explanations import Seen, map_hits, read_shown, truth_of, validate

C, SIDE = 6, 4


@pytest.fixture(scope="module")
def pipeline() -> Pipeline:
    """A scorer that reads concept c off feature c, of the image and of each place, and a head that likes all of them."""
    passage = "Each of them speaks for the first class."
    cited = Citation("planted", "Planted", passage, 0, len(passage), ("A textbook, 2020",))
    named = [(f"concept_{c}", f"concept {c}", f"Is concept {c} there?", "lung", cited, {}) for c in range(C)]
    bank = ConceptBank("planted", 1, "test", ("first", "second"), tuple(Concept(*one) for one in named))
    values = np.random.default_rng(0).uniform(size=(60, C))
    return Pipeline(
        encoder=None,
        encoder_digest="0" * 64,
        bank=bank,
        scorer=LogisticScorer(bank.ids, np.eye(C) * 8, np.full(C, -4.0), normalised=False),
        head=LinearHead(bank.ids, np.stack([np.ones(C), -np.ones(C)]), np.zeros(2)),
        classes=("first", "second"),
        source=SourceReference.measure(bank.ids, values, np.arange(60) % 2, values, np.arange(60) % 2, classes=2),
    )


def seen(n: int, seed: int, *, spoiled: int = 0, astray: int = 0) -> Seen:
    """Studies whose features are their concepts; `spoiled` studies show concept 0 that is not there, and the maps of concept 1
    point elsewhere in `astray` of them."""
    draw = np.random.default_rng(seed)
    truth = (draw.uniform(size=(n, C)) < 0.5).astype(float)
    shown = truth.copy()
    shown[np.flatnonzero(truth[:, 0] == 0)[:spoiled], 0] = 1
    tokens = np.zeros((n, SIDE * SIDE, C))
    tokens[:, 5] = shown
    wrong = np.flatnonzero(truth[:, 1] == 1)[:astray]
    tokens[wrong, 5, 1], tokens[wrong, 10, 1] = 0, 1
    mask = np.zeros((SIDE * 4, SIDE * 4), bool)
    mask[4:8, 4:8] = True  # of place 5, row 1 and column 1
    masks = tuple({f"concept_{c}": mask for c in range(C) if row[c] == 1 and c < 5} for row in truth)
    features = Features(shown + draw.normal(0, 0.05, shown.shape), tokens, (SIDE, SIDE))
    return Seen(features, truth, tuple(f"p{seed}-{row}" for row in range(n)), masks)


def test_a_perfect_reader_is_right_and_points(pipeline: Pipeline) -> None:
    checked = validate(pipeline, seen(300, 1), "held-out")
    assert all(check.present_from is not None and check.auroc.value > 0.99 for check in checked.concepts.values())
    assert [checked.of(f"concept_{c}").map_shown for c in range(C)] == [True] * 5 + [False]  # the last has no mask
    held = seen(100, 2)
    found = read_shown(pipeline, held, checked, top=C)
    # The limit is the least likely study that shows it: a new one may lie a little below.
    assert found.right.sum() == found.called.sum() >= 0.98 * held.truth.sum()
    assert found.pointed.sum() == found.maps.sum() >= 0.98 * held.truth[:, :5].sum()
    shares = found.shares(held.patients)
    assert (shares["present"].value, shares["pointing"].value) == (1.0, 1.0)


def test_what_is_wrong_counts_as_wrong(pipeline: Pipeline) -> None:
    checked = validate(pipeline, seen(300, 1), "held-out")
    held = seen(100, 3, spoiled=10, astray=7)
    found = read_shown(pipeline, held, checked, top=C)
    assert found.called.sum() - found.right.sum() == 10
    assert found.concepts["concept_0"][0] - found.concepts["concept_0"][1] == 10
    # Maps of a concept that is not there miss, and so do those that point elsewhere.
    assert found.maps.sum() - found.pointed.sum() == 17
    assert found.maps_present.sum() - found.pointed_present.sum() == 7
    low, high = found.shares(held.patients)["present"].ci
    assert low < 1 - 10 / found.called.sum() < high < 1


def test_concepts_that_cannot_be_read_or_placed_are_not_claimed(pipeline: Pipeline) -> None:
    held = seen(300, 4, astray=100)
    held = replace(held, truth=np.column_stack([1 - held.truth[:, 0], held.truth[:, 1:]]))  # nobody reads the first
    checked = validate(pipeline, held, "held-out")
    assert (checked.of("concept_0").present_from, checked.of("concept_0").absent_to) == (None, None)
    assert not checked.of("concept_1").map_shown
    found = read_shown(pipeline, seen(100, 5), checked, top=C)
    assert "concept_0" not in found.concepts
    assert set(found.mapped) == {"concept_2", "concept_3", "concept_4"}
    few = read_shown(pipeline, seen(100, 5), checked, top=2)
    assert few.called.max() <= 2


def test_masks_of_other_studies_than_the_truths_are_enough(pipeline: Pipeline) -> None:
    blind = replace(seen(300, 6), masks=())
    assert not any(check.map_shown for check in validate(pipeline, blind, "held-out").concepts.values())
    assert validate(pipeline, blind, "held-out", seen(200, 7)).of("concept_2").map_shown
    assert map_hits(np.zeros((2, 2, 2)), "concept_0", ()) is None


def test_an_unknown_concept_is_neither_right_nor_wrong(pipeline: Pipeline) -> None:
    assert np.isnan(truth_of([{"concept_1": 1}], ["concept_0", "concept_1"])[0, 0])
    checked = validate(pipeline, seen(300, 1), "held-out")
    held = seen(50, 8)
    found = read_shown(pipeline, replace(held, truth=np.full_like(held.truth, np.nan)), checked, top=C)
    assert found.called.sum() == found.maps.sum() == 0
