"""The two lungs of a frontal chest radiograph, found without training.

A drawn pair of lungs is laid over the film wherever its size and place fit best (normalised cross-correlation); then each
outline moves to where dark lung ends, the best closed path around the lung's middle by dynamic programming (as Duryea and
Boone 1995 traced edges by rules). The drawn shape holds the outline where disease hides the edge. Nothing was tuned on
masks of people: reference masks only score it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.draw import polygon2mask
from skimage.feature import match_template
from skimage.filters import gaussian
from skimage.measure import label
from skimage.transform import resize

from osler.bottleneck.records import Array, BoolArray
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

LIMIT = 48  # Pixels of a side below which nothing is looked for.
SEARCH = 64  # Longer side of the film, in pixels, at which the drawn lungs are laid over it.
RAYS, STEPS = 96, 49
MARGIN = 0.12  # What is drawn around the lungs, as a share of their box.
RIGHT, LEFT = 0, 1  # The patient's; the right lung is seen on the left.


@dataclass(frozen=True)
class ChestParameters:
    """What the segmentation goes by.

    Attributes:
        longest: Films are shrunk to this longer side in pixels; smaller ones stay as they are.
        background: Share of the brightness range below which what touches the frame is no body.
        skin: Width of what is left out along the body's outline, as a share of the longer side.
        widths: Widths of the pair of lungs that are tried, as shares of the film's width.
        heights: Their heights, as shares of the film's height.
        least_fit: Least correlation of the drawn lungs with the film, after the two weights below.
        reach: Least and most radius of an outline, over the drawn one's.
        neighbourhood: Deviation of the Gaussian by which brightness is evened out, as a share of the longer side.
        prefer_large: The correlation counts by this power of the box's share of the film.
        prefer_body: And by this power of the share of the drawn lungs that lies in the body.
        off_centre: Deviation of the Gaussian by which boxes off the middle count less, as a share of the width.
        least_height: Least height of the pair of lungs, over its width.
        blurs: Deviations of the Gaussians that edges are taken with, one pass each, as shares of the longer side.
        edge: Weight of edges.
        region: Weight of what is dark inside and bright outside.
        shape: Weight of the squared departure from the drawn radius.
        bend: Weight of the squared change of the radius from ray to ray.
    """

    longest: int = 256
    background: float = 0.25
    skin: float = 0.03
    widths: tuple[float, ...] = (0.52, 0.6, 0.68, 0.76, 0.84, 0.92, 1.0)
    heights: tuple[float, ...] = (0.45, 0.52, 0.6, 0.68, 0.76, 0.84, 0.92, 1.0)
    least_fit: float = 0.2
    reach: tuple[float, float] = (0.55, 1.5)
    neighbourhood: float = 1 / 12
    prefer_large: float = 0.15
    prefer_body: float = 10.0
    off_centre: float = 0.2
    least_height: float = 0.8
    blurs: tuple[float, ...] = (0.03, 0.03, 0.012)
    edge: float = 1.0
    region: float = 0.15
    shape: float = 3.0
    bend: float = 60.0

    def to_record(self) -> dict[str, Any]:
        """Return what a digest covers."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> ChestParameters:
        """Read what `to_record` wrote."""
        values: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value for key, value in record.items()
        }
        return cls(**values)


@dataclass(frozen=True, eq=False)
class Chest:
    """The lungs of a film.

    Attributes:
        image: Film (h, w) in [0, 1], dense tissue bright.
        lungs: The patient's right and left lung (2, h, w).
        spaces: The space of each lung, with what the heart hides or disease makes as bright as the heart (2, h, w).
        body: Where the body is (h, w).
        box: Top, bottom, left and right of the drawn pair where it fits best, in pixels.
        fit: Correlation of the drawn pair with the film.
    """

    image: Array
    lungs: BoolArray
    spaces: BoolArray
    body: BoolArray
    box: tuple[float, float, float, float]
    fit: float


@dataclass(frozen=True)
class NoLungs:
    """No lungs were found.

    Attributes:
        reason: Why, without any value of the file.
    """

    reason: str


def segment(image: Array, parameters: ChestParameters | None = None) -> Chest | NoLungs:
    """Find both lungs in a frontal radiograph.

    Args:
        image: Film (H, W), or (H, W, 3) whose channels are averaged, in [0, 1], dense tissue bright.
        parameters: What the segmentation goes by.

    Raises:
        OslerError: `input-range` where the image is outside [0, 1].
    """
    parameters = parameters or ChestParameters()
    grey = _grey(image)
    if min(grey.shape) < LIMIT:
        return NoLungs(f"the image is smaller than {LIMIT} pixels")
    scale = min(1.0, parameters.longest / max(grey.shape))
    shape = tuple(max(LIMIT, round(side * scale)) for side in grey.shape)
    film = np.asarray(grey if scale == 1.0 else resize(grey, shape, anti_aliasing=True), np.float64)
    if np.ptp(film) < 0.02:
        return NoLungs("the film is blank")
    body = find_body(film, parameters)
    even = evened(film, body, parameters)
    box, fit = place(even, body, parameters)
    if fit < parameters.least_fit:
        return NoLungs("nothing looks like a pair of lungs")
    # Coarse first: where ribs and clavicles blur away, the outline finds the size; then fine, from that size.
    for share in parameters.blurs:
        blur = share * max(film.shape)
        smooth = ndimage.gaussian_filter(even, blur)
        lungs = np.stack([outline(smooth, box, side, parameters, blur) for side in (RIGHT, LEFT)])
        box = around(lungs)
    return Chest(film, lungs, lung_spaces(lungs, parameters), body, box, fit)


def find_body(film: Array, parameters: ChestParameters) -> BoolArray:
    """Return the body (h, w): all but what is black or blank white and touches the frame."""
    low, high = np.quantile(film, [0.005, 0.98])
    smooth = gaussian(film, 1.0)
    outside = np.zeros(film.shape, np.bool_)
    for flat in (smooth <= low + parameters.background * (high - low), smooth >= 0.985):
        parts = label(flat)
        edge = np.unique(np.concatenate([parts[0], parts[-1], parts[:, 0], parts[:, -1]]))
        outside |= np.isin(parts, edge[edge > 0])
    body = ~ndimage.binary_dilation(outside, iterations=max(1, round(parameters.skin * max(film.shape))))
    return np.asarray(body if body.mean() > 0.3 else np.ones_like(body))


def evened(film: Array, body: BoolArray, parameters: ChestParameters) -> Array:
    """Return the film less its local mean, over its local deviation (h, w), in [-2.5, 2.5]; 0.7 outside the body."""
    factor = SEARCH / max(film.shape)
    shape = tuple(max(8, round(side * factor)) for side in film.shape)
    small, inside = (resize(one, shape, order=1, anti_aliasing=True) for one in (film, body.astype(float)))
    sigma = SEARCH * parameters.neighbourhood
    weight = np.maximum(ndimage.gaussian_filter(inside, sigma), 1e-3)
    mean = ndimage.gaussian_filter(small * inside, sigma) / weight
    deviation = np.sqrt(ndimage.gaussian_filter(inside * (small - mean) ** 2, sigma) / weight)
    mean, deviation = (resize(one, film.shape, order=1) for one in (mean, deviation))
    # What lies beside the body is no lung, however black.
    return np.asarray(np.where(body, np.clip((film - mean) / np.maximum(deviation, 1e-3), -2.5, 2.5), 0.7))


def drawn_lung(u: Array, v: Array, side: int, *, behind_heart: bool = False) -> BoolArray:
    """Return whether points lie in a drawn lung.

    Args:
        u: Across the pair of lungs, -1 to 1 from the patient's right to the left.
        v: Down, 0 at the apices to 1 at the lower costophrenic angle.
        side: `RIGHT` or `LEFT`.
        behind_heart: Whether what the heart hides belongs to it.
    """
    across = -u if side == RIGHT else u
    wall = 0.30 + 0.70 * np.sqrt(np.clip(1 - np.clip(1 - v / 0.75, 0, 1) ** 2.3, 0, 1))
    heart = 0.0 if behind_heart else 0.12 if side == RIGHT else 0.30
    medial = 0.14 + heart * np.clip((v - 0.42) / 0.45, 0, 1) ** 1.3
    dome = 0.84 if side == RIGHT else 0.88
    bottom = dome + (1 - dome) * np.clip((across - 0.45) / 0.55, 0, 1) ** 2 + 0.05 * np.clip(0.45 - across, 0, 1)
    top = 0.45 * np.clip((across - 0.42) / 0.55, -0.5, 1) ** 2
    return np.asarray((across > medial) & (across < wall) & (v > top) & (v < bottom))


@lru_cache(maxsize=256)
def _drawn_pair(height: int, width: int) -> Array:
    """Return drawn lungs (-1) among what is around them (0), on a canvas with a margin."""
    margins = round(MARGIN * height), round(MARGIN * width)
    v, u = np.mgrid[-margins[0] : height + margins[0], -margins[1] : width + margins[1]]
    v, u = (v + 0.5) / height, 2 * (u + 0.5) / width - 1
    lungs = drawn_lung(u, v, RIGHT) | drawn_lung(u, v, LEFT)
    return np.asarray(-gaussian(lungs.astype(float), 1.0))


def place(even: Array, body: BoolArray, parameters: ChestParameters) -> tuple[tuple[float, float, float, float], float]:
    """Return the box of the drawn lungs where they fit best, and their correlation there."""
    factor = SEARCH / max(even.shape)
    small = resize(even, tuple(max(8, round(side * factor)) for side in even.shape), anti_aliasing=True)
    pad = 1 + round(MARGIN * SEARCH)
    padded = np.pad(small, pad, mode="edge")
    held = np.pad(resize(body.astype(float), small.shape, anti_aliasing=True), pad)
    best, found = -1.0, (0.0, 1.0, 0.0, 1.0)
    for share in parameters.heights:
        for part in parameters.widths:
            height, width = round(share * small.shape[0]), round(part * small.shape[1])
            if not 0.6 <= width / height <= 1.9:  # No chest is so tall or so broad, even squashed to a square.
                continue
            drawn = _drawn_pair(height, width)
            if drawn.shape[0] > padded.shape[0] or drawn.shape[1] > padded.shape[1]:
                continue
            fits = match_template(padded, drawn)
            middle = (np.arange(fits.shape[1]) + drawn.shape[1] / 2 - padded.shape[1] / 2) / small.shape[1]
            fits = fits * np.exp(-((middle / parameters.off_centre) ** 2) / 2)
            row, column = np.unravel_index(int(np.argmax(fits)), fits.shape)
            lungs = drawn < -0.5
            inside = held[row : row + drawn.shape[0], column : column + drawn.shape[1]][lungs].mean()
            score = fits[row, column] * (share * part) ** parameters.prefer_large * inside**parameters.prefer_body
            if score > best:
                top = row + round(MARGIN * height) - pad
                left = column + round(MARGIN * width) - pad
                best, found = float(score), (top, top + height, left, left + width)
    rows, columns = even.shape[0] / small.shape[0], even.shape[1] / small.shape[1]
    top, bottom, left, right = found
    return (top * rows, bottom * rows, left * columns, right * columns), best


def around(lungs: BoolArray) -> tuple[float, float, float, float]:
    """Return the box of a pair of lungs: top, bottom, left and right."""
    rows, columns = (np.flatnonzero(lungs.any(axis=axes)) for axes in ((0, 2), (0, 1)))
    return float(rows[0]), float(rows[-1] + 1), float(columns[0]), float(columns[-1] + 1)


def lung_spaces(lungs: BoolArray, parameters: ChestParameters) -> BoolArray:
    """Return the space of each lung (2, h, w): what is seen of it, and the drawn lung in the pair's box.

    The box is made as high as lungs are for their width, downwards: what is bright at the base of a lung hides its end.
    """
    top, bottom, left, right = around(lungs)
    bottom = min(max(bottom, top + parameters.least_height * (right - left)), lungs.shape[1])
    v, u = np.mgrid[: lungs.shape[1], : lungs.shape[2]] + 0.5
    v, u = (v - top) / (bottom - top), 2 * (u - left) / (right - left) - 1
    drawn = np.stack([drawn_lung(u, v, side, behind_heart=True) for side in (RIGHT, LEFT)])
    own = np.stack([lungs[RIGHT] & ~drawn[LEFT], lungs[LEFT] & ~drawn[RIGHT]])
    return np.asarray(own | drawn)


def outline(
    smooth: Array, box: tuple[float, float, float, float], side: int, parameters: ChestParameters, blur: float
) -> BoolArray:
    """Return one lung (h, w): the closed path around the drawn lung's middle that runs along its edges.

    Args:
        smooth: Evened film, blurred (h, w).
        box: Where the pair is drawn.
        side: `RIGHT` or `LEFT`.
        parameters: What it goes by.
        blur: Deviation of the blur in pixels.
    """
    centre, radii = _drawn_rays(box, side)
    ratio = np.linspace(*parameters.reach, STEPS)
    angle = 2 * np.pi * np.arange(RAYS) / RAYS
    reach = radii[:, None] * ratio
    rows = centre[0] + reach * np.sin(angle)[:, None]
    columns = centre[1] + reach * np.cos(angle)[:, None]
    values = ndimage.map_coordinates(smooth, [rows, columns], order=1, mode="nearest")
    step = (ratio[1] - ratio[0]) * np.median(radii)
    # Outward gradient over a length that does not depend on the size of the lung, so that small lungs have edges too.
    edges = np.gradient(values, axis=1) / step * blur
    middle = np.median(values[:, ratio < 1]) / 2 + np.median(values[:, ratio > 1.1]) / 2
    inside = np.cumsum(values - middle, axis=1) * (ratio[1] - ratio[0]) * 4
    cost = parameters.region * inside - parameters.edge * edges + parameters.shape * 0.1 * (ratio - 1) ** 2
    outside = (rows < 0) | (rows > smooth.shape[0] - 1) | (columns < 0) | (columns > smooth.shape[1] - 1)
    cost = np.where(outside, cost + 0.02, cost)
    chosen = ratio[closed_path(cost, parameters.bend * (ratio[1] - ratio[0]) ** 2)]
    points = np.column_stack([centre[0] + chosen * radii * np.sin(angle), centre[1] + chosen * radii * np.cos(angle)])
    return np.asarray(polygon2mask(smooth.shape, points))


def closed_path(cost: Array, bend: float) -> NDArray[np.intp]:
    """Return a column of each row (R,) with the least sum of costs (R, S) and `bend` times squared steps, closed.

    The rows are gone round three times and the middle of the way is kept: it is closed wherever the way has settled, which it
    nearly always has. Where it has not, the best closed way through each column of the first row is compared.
    """
    count = len(cost)
    path = _way(np.tile(cost, (3, 1)), bend)
    if path[count - 1] == path[2 * count - 1]:
        return path[count : 2 * count]
    jumps = bend * (np.arange(cost.shape[1])[:, None] - np.arange(cost.shape[1])) ** 2
    closed = []
    for start in range(cost.shape[1]):
        pinned = cost.copy()
        pinned[0] = np.where(np.arange(cost.shape[1]) == start, cost[0], np.inf)
        pinned[-1] = cost[-1] + jumps[start]
        closed.append(_way(pinned, bend))
    prices = [cost[np.arange(count), one].sum() + jumps[one, np.roll(one, -1)].sum() for one in closed]
    return closed[int(np.argmin(prices))]


def _way(cost: Array, bend: float) -> NDArray[np.intp]:
    """Return a column of each row (R,) with the least sum of costs (R, S) and `bend` times squared steps."""
    count, steps = cost.shape
    jumps = bend * (np.arange(steps)[:, None] - np.arange(steps)) ** 2
    total = np.zeros(steps)
    came = np.zeros((count, steps), np.intp)
    for row in range(count):
        ways = total[None] + jumps
        came[row] = ways.argmin(axis=1)
        total = ways[np.arange(steps), came[row]] + cost[row]
    path = np.zeros(count, np.intp)
    path[-1] = total.argmin()
    for row in range(count - 1, 0, -1):
        path[row - 1] = came[row, path[row]]
    return path


def _drawn_rays(box: tuple[float, float, float, float], side: int) -> tuple[tuple[float, float], Array]:
    """Return the middle of a drawn lung, row and column, and its radius along each ray (RAYS,)."""
    top, bottom, left, right = box
    across = (-0.55 if side == RIGHT else 0.60, 0.55)
    centre = top + across[1] * (bottom - top), (left + right) / 2 + across[0] * (right - left) / 2
    angle = 2 * np.pi * np.arange(RAYS) / RAYS
    far = np.linspace(0, 1.2 * max(bottom - top, right - left), 400)
    v = (centre[0] + np.outer(np.sin(angle), far) - top) / (bottom - top)
    u = 2 * (centre[1] + np.outer(np.cos(angle), far) - left) / (right - left) - 1
    within = drawn_lung(u, v, side)
    # The first way out: the drawn lung is a star around its middle but for rounding.
    radius = far[np.argmin(within, axis=1)]
    return centre, np.asarray(np.maximum(ndimage.gaussian_filter1d(radius, 1.0, mode="wrap"), 1.0))


def _grey(image: Array) -> Array:
    grey = image.mean(axis=2) if image.ndim == 3 else image
    if image.ndim not in (2, 3) or (image.size and not (np.min(image) >= 0 and np.max(image) <= 1)):
        raise OslerError(
            Code.INPUT_RANGE,
            f"An image of shape {image.shape} is no radiograph (H, W) in [0, 1].",
            "Read images with osler.dicom.pixels.read_image.",
        )
    return np.asarray(grey)
