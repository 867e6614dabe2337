"""How much a site's concepts look like the source's whatever its mix of classes, without labels: a guard of label-free changes.

Between studies X of the site and the source's held-out studies S_k of class k, both in units of the source's deviation within
classes, it is the energy distance (Szekely and Rizzo 2013) to the mixture of the S_k that comes nearest:

    D(X) = min_pi  2 sum_k pi_k E|X - S_k| - sum_kl pi_k pi_l E|S_k - S_l| - E|X - X'|,   pi in the simplex.

Means are over pairs of different studies. D is convex in pi, and with the right mix 0, but for chance, where each class looks
as it does at the source (Kawakubo et al. 2016 find class shares so). What chance alone gives is simulated: the held-out studies
are halved again and again, as many studies of that mix are drawn from one half, and compared with the other half, as the site is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.optimize import nnls
from scipy.spatial.distance import cdist

from osler.adapt.patch import GuardOutcome
from osler.adapt.site_values import Labels, SourceUnits, order_of
from osler.bottleneck.pipeline import Pipeline
from osler.bottleneck.records import Array, BoolArray

FEWEST_HELD = 4  # Held-out studies of each class: two in either half.
FEWEST = 16  # Studies of the site: eight for either half.
DRAWS, LEVEL, SEED = 99, 0.05, 0
HEAVY, FLATTEST = 1e4, 1e-6

# From places of studies that are measured, and places of others: the others' values (m, C) once corrected.
Crossed = Callable[[Sequence[int], Sequence[int]], Array]


@dataclass(frozen=True, eq=False)
class Likeness:
    """The source's held-out studies, as something that a site is compared with.

    Attributes:
        units: Units of the source.
        held: Held-out studies in these units (m, C), class by class.
        classes: Their classes (m,).
        apart: Distances between them (m, m).
        K: Number of classes.
    """

    units: SourceUnits
    held: Array
    classes: Labels
    apart: Array
    K: int

    @classmethod
    def of(cls, pipeline: Pipeline) -> Likeness:
        """Take what the model remembers of its source."""
        source = pipeline.source.aligned(pipeline.bank.ids)
        units = SourceUnits.within(pipeline)
        held = units(source.values)
        order = order_of(held)
        order = order[np.argsort(source.y[order], kind="stable")]
        held = held[order]
        return cls(units, held, source.y[order], cdist(held, held), len(pipeline.classes))

    @property
    def judges(self) -> bool:
        """Whether there are enough held-out studies of every class."""
        return int(np.bincount(self.classes, minlength=self.K).min()) >= FEWEST_HELD

    def distance(self, values: Array) -> tuple[float, Array]:
        """Return the distance of concept values (n, C) to the nearest mix of classes, and that mix (K,)."""
        to_held, own = self._seen(values)
        everything = np.ones(len(self.held), bool)
        return self._nearest(to_held, own, everything, self._between(everything))

    def against_chance(self, values: Array) -> tuple[Array, Array]:
        """Return distances of concept values (n, C), and of source studies of the same number and mix: one each a halving."""
        rng = np.random.default_rng(SEED)
        to_held, own = self._seen(values)
        n, mix = len(values), self.distance(values)[1]
        found = np.empty((2, DRAWS))
        for draw in range(DRAWS):
            compared = self._half(rng)
            share = mix[self.classes] * ~compared
            share = share / np.bincount(self.classes, ~compared, minlength=self.K)[self.classes]
            counts = self._member * rng.multinomial(n, share / share.sum())[:, None]
            far = self.apart @ counts
            between = self._between(compared)
            found[0, draw] = self._nearest(to_held, own, compared, between)[0]
            drawn = _within_draw(counts.T @ far, counts)
            found[1, draw] = self._nearest(far.sum(axis=1) / n, drawn, compared, between)[0]
        return found[0], found[1]

    def guards(self, values: Array, studies: int, crossed: Crossed) -> tuple[GuardOutcome, ...]:
        """Judge whether a site is unlike the source, and whether a correction brings it nearer.

        Args:
            values: The site's concept values (n, C), uncorrected.
            studies: Number of its studies.
            crossed: Returns the values of some studies, corrected by what others measure.
        """
        if not self.judges or min(len(values), studies) < FEWEST:
            few = (
                f"{studies} studies of the site and {len(self.held)} held-out ones of the source "
                "are too few to tell whether the site looks different."
            )
            return (GuardOutcome("unlike-source", False, 0.0, 0.0, few),)
        found, chance = self.against_chance(values)
        before, limit = float(np.median(found)), float(np.quantile(chance, 1 - LEVEL))
        p = (1 + int((chance >= before).sum())) / (1 + DRAWS)
        unlike = GuardOutcome(
            "unlike-source",
            p <= LEVEL,
            limit,
            before,
            f"{len(values)} studies lie {before:.3g} from the source's nearest mix of classes; chance gives up to "
            f"{limit:.3g} (p={p:.2f}).",
        )
        return (unlike, self._nearer(values, studies, crossed)) if unlike.passed else (unlike,)

    def _nearer(self, values: Array, studies: int, crossed: Crossed) -> GuardOutcome:
        halves = np.random.default_rng(SEED).permutation(studies)
        first, second = np.sort(halves[::2]), np.sort(halves[1::2])
        after = np.concatenate([crossed(first.tolist(), second.tolist()), crossed(second.tolist(), first.tolist())])
        before_distance, after_distance = self.distance(values)[0], self.distance(after)[0]
        sentence = (
            f"Corrected by what the other half measures, the studies lie {after_distance:.3g} from the source's nearest "
            f"mix of classes, {before_distance:.3g} before."
        )
        return GuardOutcome(
            "nearer-source", after_distance < before_distance, before_distance, after_distance, sentence
        )

    def _seen(self, values: Array) -> tuple[Array, float]:
        """Return the mean distance of concept values (n, C) to each held-out study (m,), and among themselves."""
        x = self.units(values)
        n = len(x)
        return cdist(x, self.held).mean(axis=0), float(cdist(x, x).sum() / (n * (n - 1))) if n > 1 else 0.0

    def _half(self, rng: np.random.Generator) -> BoolArray:
        """Return half of the studies of each class (m,), drawn at random."""
        chosen = np.zeros(len(self.held), bool)
        for k in range(self.K):
            own = rng.permutation(np.flatnonzero(self.classes == k))
            chosen[own[: len(own) // 2]] = True
        return chosen

    @cached_property
    def _member(self) -> BoolArray:
        return np.asarray(self.classes[:, None] == np.arange(self.K))

    def _between(self, compared: BoolArray) -> Array:
        """Return the mean distance between `compared` studies (m,) of two classes (K, K), no study paired with itself."""
        weight = self._member & compared[:, None]
        count = weight.sum(axis=0)
        sums = weight.T @ (self.apart @ weight)
        return np.asarray(sums / (np.outer(count, count) - np.diag(count)))

    def _nearest(self, to_held: Array, own: float, compared: BoolArray, between: Array) -> tuple[float, Array]:
        """Return the distance to the nearest mix of the held-out studies that are `compared` (m,), and that mix (K,).

        On the simplex, adding a constant to `-between` adds a constant to D, and makes it positive definite, but for what
        few studies leave to chance, which is cut off: non-negative least squares finds the minimum, the sum of the shares
        being held at one by a heavy row.
        """
        to_classes = np.bincount(self.classes, to_held * compared, minlength=self.K) / np.bincount(
            self.classes, compared, minlength=self.K
        )
        largest = float(between.max())
        values, vectors = np.linalg.eigh((self.K + 1) * largest - between)
        scale = np.sqrt(np.maximum(values, FLATTEST * largest))
        rows = np.concatenate([scale[:, None] * vectors.T, np.full((1, self.K), HEAVY * np.sqrt(largest))])
        wanted = np.concatenate([-(vectors.T @ to_classes) / scale, [HEAVY * np.sqrt(largest)]])
        mix = nnls(rows, wanted)[0]
        mix = mix / mix.sum()
        return float(2 * to_classes @ mix - mix @ between @ mix - own), mix


def _within_draw(sums: Array, counts: Labels) -> float:
    """Return the mean distance over pairs of a draw with replacement, as if no study had been drawn twice.

    Pairs of one study with itself are left out within each class, which keeps its weight: otherwise classes with few
    studies would weigh less, and draws would seem to lie farther apart than they do.

    Args:
        sums: Sum of the distances between what was drawn of two classes (K, K).
        counts: How often each study was drawn, in the column of its class (m, K).
    """
    drawn = counts.sum(axis=0)
    pairs = drawn**2 - (counts**2).sum(axis=0)
    within = np.diag(sums) * np.where(pairs > 0, drawn * (drawn - 1) / np.maximum(pairs, 1), 1.0)
    n = drawn.sum()
    return float((sums.sum() - np.trace(sums) + within.sum()) / (n * (n - 1)))
