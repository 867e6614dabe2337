"""How the patient lies in the image: view position against patient orientation (PS3.3 C.7.6.1.1.1, C.8.1.1)."""

from __future__ import annotations

FRONTAL = {"PA", "AP"}
LATERAL = {"LL", "RL"}
# First letters of the directions that the rows and the columns of an upright image run in.
ROWS = {"frontal": {"L", "R"}, "lateral": {"A", "P"}}
COLUMNS = {"F", "H"}


def view_fits_orientation(view: str | None, orientation: str | None) -> bool:
    """Whether the rows of a frontal view run left or right, those of a lateral one to the front or the back.

    The columns of both run to the feet or the head; an image that lies on its side has the two exchanged. Other views,
    and what is missing or has not two directions, pass.
    """
    kind = "frontal" if view in FRONTAL else "lateral" if view in LATERAL else None
    directions = [part.strip()[:1] for part in (orientation or "").split("\\")]
    if kind is None or len(directions) != 2 or not all(directions):
        return True
    across, along = directions
    return (across in ROWS[kind] and along in COLUMNS) or (along in ROWS[kind] and across in COLUMNS)
