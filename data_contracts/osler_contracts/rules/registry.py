"""The rules that Great Expectations lacks, under the names that contracts call them by.

Each judges the values that are present (a missing value is the business of a clause's `required`). A rule about a value
(a date that is not in the future) passes what is not well formed, so that no file is refused for the wrong reason: the
rule about its form says that.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any

from osler_contracts.rules import across_rows, character_sets, dates, magnitudes, pixels, position, uids
from osler_contracts.rules import value_representation as vr


class Scope(Enum):
    """What a rule looks at."""

    COLUMN = "column"
    PAIR = "pair"
    ROW = "row"
    TABLE = "table"

    @property
    def arguments(self) -> tuple[str, ...]:
        """The arguments of a clause that name columns."""
        return {"column": ("column",), "pair": ("column_A", "column_B")}.get(self.value, ("column_list",))


@dataclass(frozen=True)
class Rule:
    """A rule as an expectation.

    Attributes:
        predicate: Judges the values of one row; for `Scope.TABLE`, the columns of all rows.
        arguments: Names of its keyword arguments.
        optional: Those that may be left out.
        scope: What it looks at.
        width: Number of columns that it takes; 0 where `scope` says it, or where any number will do.
        sees_missing: Whether a pair is judged although a value is missing; rows and tables always are.
    """

    predicate: Callable[..., Any]
    arguments: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    scope: Scope = Scope.COLUMN
    width: int = 0
    sees_missing: bool = False

    @property
    def meaning(self) -> str:
        """What the rule asks, in words."""
        return (self.predicate.__doc__ or "").split("\n\n")[0].split(" (PS3")[0].strip()


BOUNDS = ("min_value", "max_value")
SLACK = ("slack_days",)

# Names follow Great Expectations, since contracts mix them with its own.
RULES: dict[str, Rule] = {
    "expect_column_values_to_be_dicom_uid": Rule(uids.is_uid),
    "expect_column_values_to_have_uid_root": Rule(uids.has_uid_root),
    "expect_column_values_to_be_decodable_here": Rule(uids.is_listed, ("decodable",)),
    "expect_column_values_to_be_dicom_date": Rule(dates.is_date),
    "expect_column_values_to_be_date_not_after": Rule(dates.is_not_after, ("today", "slack_days"), SLACK),
    "expect_column_values_to_be_dicom_age": Rule(dates.is_age),
    "expect_column_values_to_be_plausible_age": Rule(dates.is_plausible_age, ("max_years",)),
    "expect_column_values_to_be_number_between": Rule(magnitudes.is_number_between, BOUNDS),
    "expect_column_values_to_be_spacing_between": Rule(magnitudes.is_spacing, BOUNDS),
    "expect_column_values_to_fit_vr": Rule(vr.fits_representation, ("vr",)),
    "expect_column_values_to_be_character_set": Rule(character_sets.is_character_set),
    "expect_column_pair_numbers_to_differ_between": Rule(magnitudes.differ_between, BOUNDS, scope=Scope.PAIR),
    "expect_column_pair_to_hold_one_at_least": Rule(magnitudes.holds_one, scope=Scope.PAIR, sees_missing=True),
    "expect_column_pair_view_to_fit_orientation": Rule(position.view_fits_orientation, scope=Scope.PAIR),
    "expect_multicolumn_dates_to_be_in_order": Rule(dates.are_in_order, SLACK, SLACK, scope=Scope.ROW),
    "expect_multicolumn_age_to_fit_birth": Rule(
        dates.age_fits_birth, ("slack_years",), ("slack_years",), scope=Scope.ROW, width=3
    ),
    "expect_multicolumn_pixels_to_agree": Rule(pixels.pixels_agree, scope=Scope.ROW, width=6),
    "expect_multicolumn_rows_to_be_no_copies": Rule(across_rows.repeats_equally, scope=Scope.TABLE, width=2),
    "expect_multicolumn_groups_to_have_one_member": Rule(across_rows.has_one_partner, scope=Scope.TABLE, width=2),
}
