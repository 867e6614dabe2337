"""How much a site's concepts look like the source's whatever its mix of classes, without labels: a guard of label-free changes.

Between studies X of the site and the source's held-out studies S_k of class k, both in units of the source's deviation within
classes, it is the energy distance (Szekely and Rizzo 2013) to the mixture of the S_k that comes nearest:

    D(X) = min_pi  2 sum_k pi_k E|X - S_k| - sum_kl pi_k pi_l E|S_k - S_l| - E|X - X'|,   pi in the simplex.

Means are over pairs of different studies. D is convex in pi, and with the right mix 0 where each class looks as it does at the
source (Kawakubo et al. 2016 find class shares so). What chance alone gives is simulated: as many studies of that mix drawn
from one half of the held-out studies, compared with the other half, as the site is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, minimize
from scipy.spatial.distance import cdist

from osler.adapt.patch import GuardOutcome
from osler.adapt.site_values import SourceUnits, order_of
from osler.bottleneck.pipeline import Pipeline
from osler.bottleneck.records import Array

FEWEST_HELD = 4  # Held-out studies of each class: two for either half.
FEWEST = 16  # Studies of the site: eight for either half.
DRAWS, LEVEL, SEED = 99, 0.05, 0

# From places of studies that are measured, and places of others: the others' values (m, C) once corrected.
Crossed = Callable[[Sequence[int], Sequence[int]], Array]


@dataclass(frozen=True, eq=False)
class Likeness:
    """The source's held-out studies, in two halves of each class.

    Attributes:
        units: Units of the source.
        classes: Held-out studies of each class in these units, that a site is compared with.
        others: The other half, from which chance is drawn.
        between: Mean distance between studies of two classes (K, K).
    """

    units: SourceUnits
    classes: tuple[Array, ...]
    others: tuple[Array, ...]
    between: Array

    @classmethod
    def of(cls, pipeline: Pipeline) -> Likeness:
        """Take what the model remembers of its source."""
        source = pipeline.source.aligned(pipeline.bank.ids)
        units = SourceUnits.within(pipeline)
        rng = np.random.default_rng(SEED)
        halves = []
        for k in range(len(pipeline.classes)):
            own = units(source.values[source.y == k])
            own = own[order_of(own)][rng.permutation(len(own))]
            halves.append((own[::2], own[1::2]))
        classes, others = tuple(first for first, _ in halves), tuple(second for _, second in halves)
        return cls(units, classes, others, _between(classes))

    @property
    def judges(self) -> bool:
        """Whether there are enough held-out studies of every class."""
        return min(map(len, self.others)) >= FEWEST_HELD // 2

    def distance(self, values: Array) -> tuple[float, Array]:
        """Return the distance of concept values (n, C) to the nearest mix of classes, and that mix (K,)."""
        x = self.units(values)
        to_classes = np.array([cdist(x, one).mean() for one in self.classes])
        return self._nearest(to_classes, _within(cdist(x, x)))

    def chance(self, mix: Array, n: int) -> Array:
        """Return the distances of draws of n source studies with a mix of classes (K,)."""
        rng = np.random.default_rng(SEED)
        pool = np.concatenate(self.others)
        share = np.concatenate([np.full(len(one), mix[k] / len(one)) for k, one in enumerate(self.others)])
        to_classes = np.stack([cdist(pool, one).mean(axis=1) for one in self.classes], axis=1)
        apart = cdist(pool, pool)
        drawn = []
        for _ in range(DRAWS):
            counts = rng.multinomial(n, share / share.sum())
            # A study that was drawn twice is no pair of different studies.
            pairs = n**2 - (counts**2).sum()
            own = float(counts @ apart @ counts) / pairs if pairs else 0.0
            drawn.append(self._nearest(counts @ to_classes / n, own)[0])
        return np.array(drawn)

    def guards(self, values: Array, studies: int, crossed: Crossed) -> tuple[GuardOutcome, ...]:
        """Judge whether a site is unlike the source, and whether a correction brings it nearer.

        Args:
            values: The site's concept values (n, C), uncorrected.
            studies: Number of its studies.
            crossed: Returns the values of some studies, corrected by what others measure.
        """
        if not self.judges or min(len(values), studies) < FEWEST:
            few = (
                f"{studies} studies of the site and {sum(map(len, self.classes + self.others))} held-out ones of the source "
                "are too few to tell whether the site looks different."
            )
            return (GuardOutcome("unlike-source", False, 0.0, 0.0, few),)
        before, mix = self.distance(values)
        drawn = self.chance(mix, len(values))
        p = (1 + int((drawn >= before).sum())) / (1 + DRAWS)
        limit = float(np.quantile(drawn, 1 - LEVEL))
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

    def _nearest(self, to_classes: Array, own: float) -> tuple[float, Array]:
        K = len(to_classes)

        def loss(mix: Array) -> tuple[float, Array]:
            against = self.between @ mix
            return float(2 * to_classes @ mix - mix @ against), 2 * (to_classes - against)

        found = minimize(
            loss,
            np.full(K, 1 / K),
            jac=True,
            method="SLSQP",
            bounds=Bounds(np.zeros(K), np.ones(K)),
            constraints=LinearConstraint(np.ones((1, K)), 1, 1),
            options={"ftol": 1e-10, "maxiter": 200},
        )
        mix = np.clip(found.x, 0, None)
        mix = mix / mix.sum()
        return loss(mix)[0] - own, mix


def _between(classes: Sequence[Array]) -> Array:
    if min(map(len, classes)) < 2:
        return np.zeros((len(classes), len(classes)))
    return np.array(
        [
            [_within(cdist(a, a)) if k == r else float(cdist(a, b).mean()) for r, b in enumerate(classes)]
            for k, a in enumerate(classes)
        ]
    )


def _within(apart: Array) -> float:
    """Return the mean distance over pairs of different studies."""
    n = len(apart)
    return float(apart.sum() / (n * (n - 1))) if n > 1 else 0.0
