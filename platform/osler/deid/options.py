"""What is asked of de-identification: the Basic Profile's options by name, and what to do about burned-in text."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class BurnedIn(StrEnum):
    """What to do about text in pixels.

    `quarantine` refuses an image that shows any but markers and exposure figures; `box` blanks it and goes on; `strict`
    also refuses ultrasound, secondary captures and screenshots whose header does not deny burned-in text, whatever is
    seen; `unjudged` looks at no pixels, and the object then says that its patient's identity was not removed.
    """

    QUARANTINE = "quarantine"
    BOX = "box"
    STRICT = "strict"
    UNJUDGED = "unjudged"


class Option(StrEnum):
    """Options that are off unless asked for (PS3.15 E.3)."""

    DEVICE = "device-identity"
    CHARACTERISTICS = "patient-characteristics"
    SAFE_PRIVATE = "safe-private"


@dataclass(frozen=True)
class Profile:
    """The profile of a run. Dates are always shifted, the same for all of a patient's (PS3.15 E.3.6).

    Attributes:
        burned_in: What to do about text in pixels.
        options: What is retained beyond the Basic Profile.
    """

    burned_in: BurnedIn = BurnedIn.QUARANTINE
    options: frozenset[Option] = frozenset()


BASIC = Profile()
