"""Where a map points, against masks: pointing game, overlap at equal area, positive mass, and what chance reaches (M18, M20.2)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from osler.bottleneck.records import Array
from osler_training.evaluate.bootstrap import REPLICATES, Estimate, patient_weights

Mask = NDArray[np.bool_]
# Area of the neighbourhood of the source: alpha twelfths of the image. In medicine a mask's own area is the better measure.
ALPHAS = (1, 3, 6)


def upsampled(maps: Array, shape: tuple[int, int]) -> Array:
    """Return maps (n, h, w) on a finer grid (n, *shape), bilinearly; the cells of a coarse map stay where they are."""
    coarse = torch.from_numpy(np.ascontiguousarray(maps, np.float64))[:, None]
    return np.asarray(functional.interpolate(coarse, size=shape, mode="bilinear", align_corners=False)[:, 0].numpy())


def top_share(values: Array, count: float) -> Array:
    """Return in how far each pixel of a map (H, W) is among the `count` highest, in [0, 1]: pixels that tie share what is left."""
    flat = values.ravel()
    if count >= flat.size:
        return np.ones(values.shape)
    level = np.partition(flat, flat.size - max(1, int(np.ceil(count))))[flat.size - max(1, int(np.ceil(count)))]
    above, at = flat > level, flat == level
    return np.asarray((above + at * (count - above.sum()) / at.sum()).reshape(values.shape))


def pointing_hit(values: Array, mask: Mask) -> float:
    """Return 1 where the highest pixel of a map (H, W) lies in the mask, otherwise 0; of a flat map the mask's area."""
    return float(mask[values == values.max()].mean())


def overlap(values: Array, mask: Mask) -> float:
    """Return intersection over union of the mask with as many of the map's highest pixels as it has itself."""
    inside = float(top_share(values, int(mask.sum()))[mask].sum())
    return inside / (2 * float(mask.sum()) - inside)


def mass_ratio(values: Array, mask: Mask) -> float:
    """Return the share of a map's positive mass in the mask over the mask's share of the image: 1 is chance, NaN no mass."""
    positive = np.maximum(values, 0)
    total = positive.sum()
    return float(positive[mask].sum() / total / mask.mean()) if total > 0 else float("nan")


def near_centre(values: Array, centre: tuple[float, float], alpha: int) -> float:
    """Return in how far a centre (row, column) in pixels is among the top alpha twelfths of a map (H, W)."""
    row, column = (min(int(at), side - 1) for at, side in zip(centre, values.shape, strict=True))
    return float(top_share(values, alpha * values.size / 12)[row, column])


def prior_hits(masks: Sequence[Mask], patients: Sequence[str]) -> Array:
    """Return what pointing reaches without looking (n,): always at where the masks of the other patients overlap most."""
    stack = np.stack(masks).astype(float)
    total, name = stack.sum(0), np.asarray(patients)
    return np.array(
        [pointing_hit(total - stack[name == one].sum(0), mask) for one, mask in zip(name, masks, strict=True)]
    )


MEASURES = {"pointing": pointing_hit, "overlap": overlap, "mass_ratio": mass_ratio}


def located(maps: Array, masks: Sequence[Mask]) -> dict[str, Array]:
    """Return each measure (n,) of maps (n, h, w) against masks (H, W) of the same images."""
    fine = upsampled(maps, masks[0].shape)
    return {name: np.array([one(*pair) for pair in zip(fine, masks, strict=True)]) for name, one in MEASURES.items()}


@dataclass(frozen=True)
class ConceptLocation:
    """Whether the maps of the concepts that a model leans on lie where the concepts are (M18).

    Attributes:
        top: Of each image, the so many concepts that contribute most are asked for; of them those that are present and have
            a centre count.
        alphas: Sizes of the neighbourhood, in twelfths of the image.
    """

    top: int = 5
    alphas: tuple[int, ...] = ALPHAS

    def compute(
        self, maps: Array, contributions: Array, centres: Array, patients: Sequence[str], *, seed: int = 0
    ) -> dict[str, Estimate]:
        """Return the share of hits by alpha, `location_1` and so on, with intervals by patient.

        Args:
            maps: Maps (n, C, h, w), on the grid on which centres are counted or a coarser one.
            contributions: Of each concept to the predicted class (n, C).
            centres: Row and column of each concept (n, C, 2) as fractions of the image, NaN where absent or not annotated.
            patients: Pseudonyms (n,).
            seed: Of the bootstrap.
        """
        chosen = np.argsort(-contributions, axis=1, kind="stable")[:, : self.top]
        scores = np.full((len(self.alphas), len(maps)), np.nan)
        for i, concepts in enumerate(chosen):
            there = [c for c in concepts if np.isfinite(centres[i, c]).all()]
            for a, alpha in enumerate(self.alphas):
                hits = [near_centre(maps[i, c], tuple(centres[i, c] * maps.shape[2:]), alpha) for c in there]
                scores[a, i] = np.mean(hits) if hits else np.nan
        weights = patient_weights(patients, seed=seed)
        return {
            f"location_{alpha}": mean_estimate(one, weights) for alpha, one in zip(self.alphas, scores, strict=True)
        }


def mean_estimate(values: Array, weights: Array) -> Estimate:
    """Return the mean of values (n,), NaN left out, with its replicates under weights (R, n)."""
    known = ~np.isnan(values)
    filled = np.where(known, values, 0)

    def mean(rows: Array) -> Array:
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray(rows @ filled / (rows @ known), float)

    return Estimate(float(mean(np.ones((1, len(values))))[0]), mean(weights))


def compare_maps(
    scores: Mapping[str, Array], patients: Sequence[str], *, seed: int = 0, replicates: int = REPLICATES
) -> dict[str, Estimate]:
    """Return the mean score of each kind of map on the same images; their differences are paired."""
    weights = patient_weights(patients, seed=seed, replicates=replicates)
    return {name: mean_estimate(values, weights) for name, values in scores.items()}
