"""How unlike the source a study is: the Mahalanobis distance to the nearest class, against held-out source studies.

Lee et al. 2018 (class means, one covariance within classes), with the covariance shrunk by Ledoit and Wolf 2004. Distances of
the source's own studies are cross-fitted: a study is never measured with moments that it was part of.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from osler.bottleneck.records import Array
from osler.explain.explanation import Likeness

FALSE_ALARMS = (0.01, 0.05)  # The first that the number of held-out studies allows.
LEAST = 20  # Held-out studies from which distances mean something.
FOLDS = 10
_FLAT = 1e-9


@dataclass(frozen=True, eq=False)
class Typical:
    """What is usual at the source.

    Attributes:
        of: What is measured, `concepts` or `image features`.
        centres: Mean of each class (K, D).
        whitening: Matrix (D, D) after which the spread within classes is one in every direction.
        held: Distances of held-out source studies, ascending (n,).
    """

    of: str
    centres: Array
    whitening: Array
    held: Array

    @classmethod
    def fit(
        cls,
        of: str,
        values: Array,
        y: NDArray[np.intp] | None = None,
        groups: Sequence[str] | None = None,
        *,
        seed: int = 0,
    ) -> Typical | None:
        """Measure it from values (n, D) of source studies; None where they are too few.

        Args:
            of: What they are.
            values: The values.
            y: Class of each study (n,); one class where it is not given.
            groups: Patients (n,): a patient is in one fold.
            seed: Of the folds.
        """
        values = np.asarray(values, np.float64)
        if len(values) < LEAST or not np.isfinite(values).all():
            return None
        labels = np.zeros(len(values), np.intp) if y is None else np.asarray(y)
        names = np.arange(len(values)) if groups is None else np.unique(np.asarray(groups), return_inverse=True)[1]
        fold = (np.random.default_rng(seed).permutation(int(names.max()) + 1) % FOLDS)[names]
        held = np.full(len(values), np.nan)
        for one in range(FOLDS):
            out = fold == one
            if out.any() and (~out).sum() >= LEAST // 2:
                held[out] = _distances(values[out], *_moments(values[~out], labels[~out]))
        return cls(of, *_moments(values, labels), np.sort(held[~np.isnan(held)]))

    def tensors(self) -> dict[str, Array]:
        """Return its numbers, to store."""
        return {name: np.ascontiguousarray(getattr(self, name)) for name in ("centres", "whitening", "held")}

    def distances(self, values: Array) -> Array:
        """Return the distance of each row (n, D) to the nearest class (n,)."""
        return _distances(np.asarray(values, np.float64), self.centres, self.whitening)

    def limit(self, false_alarm: float) -> float:
        """Return the distance that at most such a share of new source studies exceeds; inf where they are too few to say."""
        place = int(np.ceil((len(self.held) + 1) * (1 - false_alarm)))
        return float(self.held[place - 1]) if place <= len(self.held) else float("inf")

    def judge(self, values: Array) -> Likeness | None:
        """Judge one study's values (D,); None where too few held-out studies are known for any limit."""
        allowed = [one for one in FALSE_ALARMS if np.isfinite(self.limit(one))]
        if not allowed or not np.isfinite(values).all():
            return None
        distance, limit = float(self.distances(values[None])[0]), self.limit(allowed[0])
        return Likeness(self.of, distance, limit, allowed[0], len(self.held), distance > limit)


def _moments(values: Array, y: NDArray[np.intp]) -> tuple[Array, Array]:
    """Return the classes' means (K, D), and the whitening (D, D) of what remains."""
    from sklearn.covariance import ledoit_wolf

    kinds, place = np.unique(y, return_inverse=True)
    centres = np.stack([values[place == k].mean(axis=0) for k in range(len(kinds))])
    rest = values - centres[place]
    # Standardised first: shrinking towards one variance for all would favour what happens to be large.
    spread = rest.std(axis=0)
    spread = np.where(spread < _FLAT, 1.0, spread)
    covariance, _ = ledoit_wolf(rest / spread, assume_centered=True)
    size, axes = np.linalg.eigh(covariance)
    return centres, (axes / np.sqrt(np.maximum(size, _FLAT))) / spread[:, None]


def _distances(values: Array, centres: Array, whitening: Array) -> Array:
    at, of = values @ whitening, centres @ whitening
    return np.asarray(np.sqrt(((at[:, None] - of[None]) ** 2).sum(axis=2)).min(axis=1))
