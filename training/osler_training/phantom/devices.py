"""Devices that lie in or on a patient, as strokes of metal or plastic."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from osler_training.phantom.anatomy import LEFT, RIGHT
from osler_training.phantom.findings import Canvas

Points = NDArray[np.float64]
# Thickness in cm of water that attenuates alike.
PLASTIC, WIRE, METAL = 0.55, 1.6, 5.0


def _path(*points: tuple[float, float]) -> Points:
    """Return a smooth path through a few points."""
    knots = np.array(points)
    at = np.linspace(0, 1, len(knots))
    fine = np.linspace(0, 1, 40)
    coefficients = np.polyfit(at, knots, min(3, len(knots) - 1))
    return np.stack([np.polyval(coefficients[:, axis], fine) for axis in (0, 1)], axis=1)


def _endotracheal_tube(canvas: Canvas) -> None:
    tip = canvas.rng.uniform(98, 126)
    for side in (RIGHT, LEFT):
        canvas.stroke(_path((side * 4.5, 0), (side * 4.5 + 1, tip / 2), (side * 4.5, tip)), PLASTIC, 1.6)
    canvas.stroke(_path((4.5, 0), (5.5, tip / 2), (4.5, tip)), WIRE, 1.0)


def _central_venous_line(canvas: Canvas) -> None:
    middle = canvas.anatomy.shift
    if canvas.rng.random() < 0.5:
        canvas.stroke(_path((-46, 4), (-38, 50), (-24, 100), (middle - 22, 168)), 0.9, 2.0)
    else:
        canvas.stroke(_path((-128, 66), (-72, 82), (-30, 104), (middle - 22, 172)), 0.9, 2.0)


def _ecg_leads(canvas: Canvas) -> None:
    for across, down, towards in ((-98, 96, -150), (96, 98, 150), (72, 256, 160)):
        x, y = across + canvas.rng.normal(0, 7), down + canvas.rng.normal(0, 7)
        turn = np.linspace(0, 2 * np.pi, 24)
        for radius in (2.0, 4.0):
            canvas.stroke(np.stack([x + radius * np.cos(turn), y + radius * np.sin(turn)], axis=1), METAL / 2, 2.4)
        canvas.stroke(_path((x, y), ((x + towards) / 2, y + canvas.rng.normal(20, 15)), (towards, 330)), WIRE, 1.1)


def _pacemaker(canvas: Canvas) -> None:
    x, y = 98 + canvas.rng.normal(0, 5), 100 + canvas.rng.normal(0, 5)
    for row in np.arange(-13, 14, 3.0):
        half = 19 * np.sqrt(max(0.0, 1 - (row / 16) ** 2))
        canvas.stroke(np.array([[x - half, y + row], [x + half, y + row]]), METAL / 2, 4.0)
    base = canvas.anatomy.dome[LEFT]
    canvas.stroke(_path((x, y - 12), (46, 84), (2, 130), (24, base - 22)), 2.2, 1.6)


_DRAW: dict[str, Callable[[Canvas], None]] = {
    "endotracheal_tube": _endotracheal_tube,
    "central_venous_line": _central_venous_line,
    "ecg_leads": _ecg_leads,
    "pacemaker": _pacemaker,
}


def draw_devices(canvas: Canvas) -> None:
    """Draw every device of the study."""
    for name in canvas.anatomy.spec.devices:
        _DRAW[name](canvas)
