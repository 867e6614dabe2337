"""The outline of a cell around its nucleus: the best closed path in polar coordinates, by dynamic programming.

A watershed follows red cells that touch; a path that may not jump goes on around the cell where they do. Each direction
from the nucleus's centre has one radius, so that the cell is taken to be star-shaped.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.color import rgb2lab
from skimage.filters import threshold_otsu
from skimage.morphology import convex_hull_image

from osler.bottleneck.records import Array, BoolArray

NEVER = 50.0  # Cost of cutting through the nucleus.


@dataclass(frozen=True)
class OutlineParameters:
    """What the path goes by; radii are in units of that of the nucleus's convex hull.

    Attributes:
        reach: Largest radius.
        angles: Directions.
        radii: Radii of each direction, from 0.2 to `reach`.
        jump: Most radii by which neighbouring directions differ.
        bend: Cost of a difference of one radius; it grows with its square.
        glass: Cost of glass within the outline, for a length of one.
        far: Cost of a radius of one: of equals the nearer is taken.
        contrast: Distance of a cell's colour from the glass, in CIELAB units: least and most that its threshold may be.
    """

    reach: float = 2.6
    angles: int = 64
    radii: int = 48
    jump: int = 2
    bend: float = 0.15
    glass: float = 4.0
    far: float = 0.15
    contrast: tuple[float, float] = (6.0, 25.0)


def outline(image: Array, nucleus: BoolArray, parameters: OutlineParameters | None = None) -> BoolArray:
    """Return the cell (h, w) around a nucleus (h, w) that is not empty, in an image (h, w, 3) whose glass is white."""
    parameters = parameters or OutlineParameters()
    off = ndimage.gaussian_filter(np.sqrt(((rgb2lab(image) - [100.0, 0.0, 0.0]) ** 2).sum(axis=2)), 0.8)
    hull = convex_hull_image(nucleus)
    radius = float(np.sqrt(hull.sum() / np.pi))
    centre = ndimage.center_of_mass(hull)
    apart = ndimage.distance_transform_edt(~hull)
    ring = off[(apart > 1) & (apart <= 1.6 * radius)]
    threshold = float(np.clip(threshold_otsu(np.minimum(ring, 50.0)) if len(ring) else 0.0, *parameters.contrast))
    solid = 1 / (1 + np.exp(-(off - threshold) / (0.15 * threshold + 0.5)))
    angle = np.arange(parameters.angles) * 2 * np.pi / parameters.angles
    radii = np.linspace(0.2, parameters.reach, parameters.radii)
    at = [
        place + radius * radii * direction(angle)[:, None]
        for place, direction in zip(centre, (np.sin, np.cos), strict=True)
    ]
    solid, off, inside = (ndimage.map_coordinates(one, at, order=1) for one in (solid, off, hull * 1.0))
    cost = _cost(solid, off, inside, radii, parameters)
    path = radius * radii[closed_path(cost, jump=parameters.jump, bend=parameters.bend)]
    y, x = np.indices(nucleus.shape)
    turn = np.mod(np.arctan2(y - centre[0], x - centre[1]), 2 * np.pi) * parameters.angles / (2 * np.pi)
    end = np.interp(turn, np.arange(parameters.angles + 1), np.append(path, path[0]))
    return np.asarray((np.hypot(y - centre[0], x - centre[1]) <= end) | nucleus)


def _cost(solid: Array, off: Array, hull: Array, radii: Array, parameters: OutlineParameters) -> Array:
    """Return what it costs to end at each radius (angles, radii): little where the image changes to glass outward."""
    inside = hull > 0.5
    change = np.zeros_like(solid)
    change[:, 1:-1] = solid[:, :-2] - solid[:, 2:]
    change[:, 1:-1] += 0.5 * np.clip((off[:, :-2] - off[:, 2:]) / 20, -0.5, 0.5)
    glass = np.cumsum((1 - solid) * ~inside, axis=1) * (radii[1] - radii[0])
    cost = -change + parameters.glass * glass + parameters.far * radii
    count = len(radii)
    last = np.where(inside.any(axis=1), count - 1 - np.argmax(inside[:, ::-1], axis=1), 0)
    cost[np.arange(count) < last[:, None]] = NEVER
    return np.asarray(cost)


def closed_path(cost: Array, *, jump: int, bend: float) -> NDArray[np.intp]:
    """Return the column of each row (n,) of a cheap path through costs (n, m), whose end meets its beginning.

    Rows follow each other in a circle; neighbours differ by at most `jump` columns, which costs `bend` times the square.
    Of a path around three times the middle turn is taken: it is closed wherever the path settles, which is nearly always.
    """
    n, m = cost.shape
    here, steps = np.arange(m), np.arange(-jump, jump + 1)
    price = (bend * steps**2)[:, None]
    padded = np.full(m + 2 * jump, np.inf)
    padded[jump : jump + m] = cost[0]
    from_there = np.lib.stride_tricks.sliding_window_view(padded, m)  # Row by step: the best that ends that far off.
    came = np.zeros((3 * n, m), np.intp)
    for row in range(1, 3 * n):
        reached = from_there + price
        choice = reached.argmin(axis=0)
        came[row] = here + steps[choice]
        padded[jump : jump + m] = reached[choice, here] + cost[row % n]
    path = np.empty(3 * n, np.intp)
    path[-1] = int(padded[jump : jump + m].argmin())
    for row in range(3 * n - 1, 0, -1):
        path[row - 1] = came[row, path[row]]
    return path[n : 2 * n]
