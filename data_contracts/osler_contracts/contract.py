"""A data contract: what a file's header must hold to enter, clause by clause, as a YAML file that people can read."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Callable, Iterator, Mapping
from enum import StrEnum
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from osler_contracts.codes import Code
from osler_contracts.errors import OslerError
from osler_contracts.headers import COLUMNS
from osler_contracts.rules import RULES, Scope
from osler_contracts.rules.value_representation import REPRESENTATIONS

SHIPPED = files("osler_contracts") / "contracts"

UNIQUE = "expect_column_values_to_be_unique"
# Expectations of Great Expectations that a clause may name, with the arguments they need and those they may have.
NATIVE: Mapping[str, tuple[frozenset[str], frozenset[str]]] = {
    "expect_column_values_to_not_be_null": (frozenset(), frozenset()),
    UNIQUE: (frozenset(), frozenset()),
    "expect_column_values_to_be_in_set": (frozenset({"value_set"}), frozenset()),
    "expect_column_values_to_not_be_in_set": (frozenset({"value_set"}), frozenset()),
    "expect_column_values_to_match_regex": (frozenset({"regex"}), frozenset()),
    "expect_column_values_to_not_match_regex": (frozenset({"regex"}), frozenset()),
    "expect_column_value_lengths_to_be_between": (frozenset(), frozenset({"min_value", "max_value"})),
}
# Filled by the engine: the day, and the transfer syntaxes that the floor above can decode.
ENGINE_ARGUMENTS = frozenset({"today", "decodable"})

Text = Annotated[str, Field(min_length=1)]


class Severity(StrEnum):
    """What follows from a violation, the gravest first.

    A refused file can never enter as it is. A quarantined one waits for a person, who may release it. A warning goes
    with the file into the archive. Refused and quarantined files are kept untouched, both in the quarantine.
    """

    REFUSE = "refuse"
    QUARANTINE = "quarantine"
    WARN = "warn"


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Expectation(_Record):
    """The name of an expectation and its arguments; one of Great Expectations, or one of `osler_contracts.rules`.

    What judges one column may name several as `columns`: each is then judged for itself.
    """

    type: Text
    kwargs: dict[str, Any]

    @model_validator(mode="after")
    def _check(self) -> Expectation:
        if self.type not in RULES and self.type not in NATIVE:
            raise ValueError(f"expectation {self.type} is not known; allowed: {', '.join(sorted({*RULES, *NATIVE}))}")
        needed, allowed = _signature(self.type, several="columns" in self.kwargs)
        if not needed <= self.kwargs.keys() <= needed | allowed:
            raise ValueError(f"{self.type} needs {sorted(needed)} and may have {sorted(allowed)}")
        wrong = [f"{name} must be {told}" for name, value in self.kwargs.items() if (told := _misfit(name, value))]
        if wrong:
            raise ValueError(
                f"{', '.join(wrong)} (an argument of {self.type} is not of its type; words like 'YES' and '16' need "
                "quotes)"
            )
        unknown = [str(column) for column in self.columns if column not in COLUMNS]
        if unknown:
            raise ValueError(f"the header table has no column {', '.join(unknown)}; allowed: {', '.join(COLUMNS)}")
        width = RULES[self.type].width if self.type in RULES else 0
        if width and len(self.columns) != width:
            raise ValueError(f"{self.type} takes {width} columns")
        return self

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that it reads."""
        named = [self.kwargs[name] for name in ("column", "column_A", "column_B") if name in self.kwargs]
        return (*named, *self.kwargs.get("columns", ()), *self.kwargs.get("column_list", ()))

    @property
    def compares_rows(self) -> bool:
        """Whether it compares the rows of a table with each other."""
        return self.type == UNIQUE or (self.type in RULES and RULES[self.type].scope is Scope.TABLE)

    def single(self) -> Iterator[tuple[tuple[str, ...], dict[str, Any]]]:
        """Return, for each part that is judged for itself, its columns and its arguments."""
        if "columns" not in self.kwargs:
            yield self.columns, dict(self.kwargs)
            return
        others = {name: value for name, value in self.kwargs.items() if name != "columns"}
        for column in self.columns:
            yield (column,), {"column": column, **others}


def _signature(name: str, *, several: bool) -> tuple[frozenset[str], frozenset[str]]:
    """Return the arguments that an expectation needs, and those that it may have."""
    column = frozenset({"columns" if several else "column"})
    if name in NATIVE:
        needed, allowed = NATIVE[name]
        return needed | column, allowed
    rule = RULES[name]
    own = frozenset(rule.arguments) - ENGINE_ARGUMENTS
    columns = column if rule.scope is Scope.COLUMN else frozenset(rule.scope.arguments)
    return (own - {*rule.optional}) | columns, own & {*rule.optional}


def _misfit(name: str, value: object) -> str | None:
    """Say what an argument must be, where it is not: YAML reads YES as a truth value and 16 as a number."""
    if name in ("value_set", "columns", "column_list"):
        fits = isinstance(value, list) and bool(value) and all(isinstance(item, str) for item in value)
        return None if fits else "a list of texts"
    if name == "vr":
        return None if value in REPRESENTATIONS else f"one of {', '.join(REPRESENTATIONS)}"
    if name == "regex":
        return None if isinstance(value, str) and _compiles(value) else "a regular expression"
    if name.startswith("column"):
        return None if isinstance(value, str) else "a text"
    number = isinstance(value, (int, float)) and not isinstance(value, bool) and not math.isnan(value)
    return None if number else "a number"


def _compiles(pattern: str) -> bool:
    try:
        re.compile(pattern)
    except re.error:
        return False
    return True


class Clause(_Record):
    """One clause of a contract.

    Attributes:
        name: Names the clause within its contract.
        code: Stable code of a violation.
        severity: What follows from it.
        required: Whether a missing value violates the clause too; without it, the clause speaks of present values.
        expectation: The check.
        clause: Where the standard says so, for example `PS3.3 C.7.6.3.1.1`, or the reason that Osler has.
        sentence: What a person reads: what is wrong, and the mend.
    """

    name: Text
    code: Code
    severity: Severity
    required: bool = False
    expectation: Expectation
    clause: Text
    sentence: Text


class Contract(_Record):
    """A named list of clauses; where a file violates several of a severity, the first one gives the reason."""

    name: Text
    version: int = Field(ge=1)
    summary: Text
    clauses: tuple[Clause, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _check_names(self) -> Contract:
        names = [clause.name for clause in self.clauses]
        repeated = sorted({name for name in names if names.count(name) > 1})
        if repeated:
            raise ValueError(f"clause names must be unique; repeated: {', '.join(repeated)}")
        return self

    def without(self, unwanted: Callable[[Clause], bool]) -> Contract:
        """Return the contract without some clauses, for a caller who decides these in another way."""
        kept = tuple(clause for clause in self.clauses if not unwanted(clause))
        return self.model_copy(update={"clauses": kept})

    @property
    def digest(self) -> str:
        """SHA-256 of the contract, so that a result can say which one it passed."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()


def shipped_contracts() -> tuple[str, ...]:
    """Return the names of the contracts in the package."""
    return tuple(sorted(Path(item.name).stem for item in SHIPPED.iterdir() if item.name.endswith(".yaml")))


def load_contract(name_or_path: str | Path) -> Contract:
    """Load a shipped contract by name, or any other by the path of its YAML file.

    Raises:
        OslerError: `unknown-contract` for a name that is not shipped, `source-missing` for a path without a file,
            `contract-invalid` for one that does not say what a contract must.
    """
    if isinstance(name_or_path, str) and not name_or_path.endswith((".yaml", ".yml")):
        if name_or_path not in shipped_contracts():
            allowed = ", ".join(shipped_contracts())
            raise OslerError(
                Code.UNKNOWN_CONTRACT,
                f"There is no contract {name_or_path}; shipped are {allowed}.",
                "Name one of them, or the path of a .yaml file.",
            )
        return parse_contract((SHIPPED / f"{name_or_path}.yaml").read_text(encoding="utf-8"), name_or_path)
    path = Path(name_or_path)
    if not path.is_file():
        raise OslerError(Code.SOURCE_MISSING, f"There is no file {path}.", "Check the path of the contract.")
    return parse_contract(path.read_text(encoding="utf-8", errors="replace"), str(path))


def parse_contract(text: str, origin: str) -> Contract:
    """Read a contract from YAML; `origin` names it in the error (`contract-invalid`)."""
    try:
        return Contract.model_validate(yaml.safe_load(text))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark else ""
        message = f"The contract {origin} is not YAML{where}."
        raise OslerError(Code.CONTRACT_INVALID, message, "Compare it with a shipped one.") from error
    except ValidationError as error:
        faults = "; ".join(
            f"{'.'.join(map(str, fault['loc'])) or 'contract'}: {fault['msg']}" for fault in error.errors()
        )
        raise OslerError(
            Code.CONTRACT_INVALID, f"The contract {origin} is not valid: {faults}.", "Mend the clauses named."
        ) from error
