"""What a reader study declares before it starts: arms, cases, readers, how much advice is wrong, and how long to wait."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from osler.yaml_settings import parse_settings, read_settings
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

Word = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,39}$")]
Line = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200, pattern=r"^[^\x00-\x1f]*$")
]
Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=80)]
UNAIDED = "nothing"
LARGEST = 1_000_000  # bytes of a protocol


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Arm(_Strict):
    """What a reader is shown beside the image.

    Attributes:
        shows: `nothing`, the `prediction` alone, or the prediction with its `concepts`.
        patch: Whether the model speaks under the patch in force at the site.
    """

    shows: Literal["nothing", "prediction", "concepts"]
    patch: bool = True


class Cases(_Strict):
    """Which studies are read; their truth is a label of the archive.

    Attributes:
        site: Where they are from.
        label: Label that holds the truth; found by its values where it is empty.
        names: Class by value of the label, for sites that use other words.
        count: How many are drawn, the classes as even as they allow, no two of one patient.
        studies: These instead, by pseudonymous UID.
    """

    site: Name
    label: str = ""
    names: dict[str, str] = Field(default_factory=dict)
    count: int | None = Field(default=None, ge=2, le=1000)
    studies: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _one_of_both(self) -> Cases:
        if (self.count is None) == (not self.studies):
            raise ValueError("give either `count` or `studies`")
        if len(set(self.studies)) != len(self.studies):
            raise ValueError("`studies` names a study twice")
        return self


class Protocol(_Strict):
    """A reader study as it is declared; nothing of it changes once it has started.

    Attributes:
        name: Name of its folder.
        title: As readers see it.
        question: What is asked of each case.
        model: Name of the model in the workspace that advises.
        arms: By name; at most one shows nothing.
        readers: Names of their accounts.
        cases: The studies.
        readings: `every arm`: each reader reads each case once in every arm; `once`: in one arm.
        wrong: Share of the cases whose advice is wrong on purpose.
        washout_days: Least number of days between two readings of a case by one reader.
        seed: Of cases, orders, and which advice is wrong.
    """

    name: Word
    title: Line
    question: Line = "What does this study show?"
    model: Name
    arms: dict[Word, Arm] = Field(min_length=1, max_length=6)
    readers: tuple[Name, ...] = Field(min_length=1, max_length=200)
    cases: Cases
    readings: Literal["every arm", "once"] = "every arm"
    wrong: float = Field(default=0.25, ge=0, le=0.5)
    washout_days: int = Field(default=28, ge=0, le=3650)
    seed: int = Field(default=0, ge=0)

    @model_validator(mode="after")
    def _coherent(self) -> Protocol:
        if len({name.casefold() for name in self.readers}) != len(self.readers):
            raise ValueError("`readers` names somebody twice")
        if len(set(self.arms.values())) != len(self.arms):
            raise ValueError("two of the `arms` show the same")
        if sum(arm.shows == UNAIDED for arm in self.arms.values()) > 1:
            raise ValueError("more than one of the `arms` shows nothing")
        if all(arm.shows == UNAIDED for arm in self.arms.values()) and self.wrong:
            raise ValueError("no arm gives advice, so that none can be `wrong`")
        return self

    @property
    def unaided(self) -> str | None:
        """The arm that shows nothing, None where there is none."""
        return next((name for name, arm in self.arms.items() if arm.shows == UNAIDED), None)

    @property
    def told(self) -> str:
        """What readers are told of the advice before they begin."""
        if all(arm.shows == UNAIDED for arm in self.arms.values()):
            return "You read each study without help."
        wrong = " Some of its answers were made wrong on purpose; which ones is not told." if self.wrong else ""
        return f"In some studies a model helps you. It errs, like every model.{wrong} Answer as you would yourself."


def read_protocol(path: Path) -> Protocol:
    """Read a protocol.

    Raises:
        OslerError: `source-missing`; `protocol-invalid` with what is wrong.
    """
    if not path.is_file():
        raise OslerError(Code.SOURCE_MISSING, f"There is no protocol {path}.", "Check the path.")
    return read_settings(path, Protocol, partial(_invalid, path.name), largest=LARGEST)


def parse_protocol(content: bytes, name: str) -> Protocol:
    """Read a protocol from its text; see `read_protocol`."""
    return parse_settings(content, Protocol, partial(_invalid, name))


def _invalid(name: str, what: str) -> OslerError:
    return refusal(f"the protocol {name}: {what}", "Correct it; docs/reader-study.md names every setting.")


def refusal(message: str, mend: str) -> OslerError:
    """Return the error of a study that cannot start."""
    return OslerError(Code.PROTOCOL_INVALID, f"{message}.", mend)
