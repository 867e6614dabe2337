"""From what annotators of public sets wrote down to concepts of the shipped banks, value by value.

A value that a rule does not name, and an empty cell, is NaN: not looked at, or not answered by the set.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import pandas as pd

from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

_NAN = float("nan")


@dataclass(frozen=True)
class Rule:
    """Which values of a column make a concept true, and which false."""

    column: str
    yes: frozenset[str]
    no: frozenset[str]


@dataclass(frozen=True)
class ConceptMap:
    """A mapping into a bank.

    Attributes:
        task: Name of the shipped bank.
        rules: A rule for each concept that the set answers.
        colours: Columns that hold 1 where a colour is present: their count decides `many_colours` (five or more)
            and `few_colours` (one or two).
    """

    task: str
    rules: Mapping[str, Rule]
    colours: tuple[str, ...] = field(default=())

    @property
    def concepts(self) -> tuple[str, ...]:
        """Concepts that the map answers."""
        return (*self.rules, *(("many_colours", "few_colours") if self.colours else ()))

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns that the map reads."""
        return tuple(dict.fromkeys([*(rule.column for rule in self.rules.values()), *self.colours]))

    def apply(self, table: pd.DataFrame) -> pd.DataFrame:
        """Return the concepts (n, C) in {0, 1, NaN} of a table of text.

        Raises:
            OslerError: `table-invalid` where a column is missing.
        """
        if lacking := [name for name in self.columns if name not in table.columns]:
            raise OslerError(
                Code.TABLE_INVALID,
                f"The table of concepts has no column {', '.join(lacking)}.",
                "Give the table as its owners distribute it, or another concept map.",
            )
        answers = {
            name: table[rule.column].map(lambda value, rule=rule: _answer(rule, value))
            for name, rule in self.rules.items()
        }
        if self.colours:
            flags = table[list(self.colours)].map(lambda value: {"0": 0.0, "1": 1.0}.get(str(value).strip(), _NAN))
            count = flags.sum(axis=1, skipna=False)
            answers["many_colours"] = (count >= 5).astype(float).where(count.notna())
            answers["few_colours"] = (count <= 2).astype(float).where(count.notna())
        return pd.DataFrame(answers, index=table.index, columns=list(self.concepts)).astype(float)


def _answer(rule: Rule, value: object) -> float:
    text = str(value).strip().lower()
    return 1.0 if text in rule.yes else 0.0 if text in rule.no else _NAN


def _exclusive(column: str, values: Mapping[str, str], more: tuple[str, ...] = ()) -> dict[str, Rule]:
    """Return the rules of a column whose values exclude each other: each concept is true of one value, false of others."""
    every = frozenset(values) | frozenset(more)
    concepts = dict.fromkeys(values.values())
    yes = {concept: frozenset(value for value in values if values[value] == concept) for concept in concepts}
    return {concept: Rule(column, yes[concept], every - yes[concept]) for concept in concepts}


_NUCLEI = {
    "unsegmented-round": "round_nucleus",
    "unsegmented-indented": "indented_nucleus",
    "unsegmented-band": "band_nucleus",
    "segmented-bilobed": "bilobed_nucleus",
    "segmented-multilobed": "multilobed_nucleus",
    "irregular": "irregular_nucleus",
}

# WBCAtt (Tsutsui et al., NeurIPS 2023): 11 attributes of each cell. "Irregular" nuclei leave open whether they are lobed.
WBCATT = ConceptMap(
    task="blood-cell",
    rules={
        **_exclusive("cell_size", {"big": "large_cell", "small": "small_cell"}),
        **_exclusive("cell_shape", {"round": "round_cell", "irregular": "irregular_cell"}),
        "segmented_nucleus": Rule(
            "nucleus_shape",
            frozenset(value for value in _NUCLEI if value.startswith("segmented")),
            frozenset(value for value in _NUCLEI if value.startswith("unsegmented")),
        ),
        **_exclusive("nucleus_shape", _NUCLEI),
        **_exclusive(
            "nuclear_cytoplasmic_ratio",
            {"high": "high_nuclear_cytoplasmic_ratio", "low": "low_nuclear_cytoplasmic_ratio"},
        ),
        **_exclusive("chromatin_density", {"densely": "dense_chromatin", "loosely": "loose_chromatin"}),
        **_exclusive("cytoplasm_vacuole", {"yes": "cytoplasm_vacuole"}, ("no",)),
        **_exclusive("cytoplasm_texture", {"clear": "clear_cytoplasm", "frosted": "frosted_cytoplasm"}),
        **_exclusive(
            "cytoplasm_colour",
            {
                "light blue": "light_blue_cytoplasm",
                "blue": "blue_cytoplasm",
                "purple blue": "purple_blue_cytoplasm",
            },
        ),
        **_exclusive(
            "granule_type",
            {"small": "small_granules", "round": "round_granules", "coarse": "coarse_granules"},
            ("nil",),
        ),
        **_exclusive(
            "granule_colour", {"pink": "pink_granules", "red": "red_granules", "purple": "purple_granules"}, ("nil",)
        ),
        **_exclusive("granularity", {"yes": "granular_cytoplasm", "no": "granules_absent"}),
    },
)

# PH2 (Mendonca et al. 2013). Asymmetry 2 is of both axes, which is what the bank asks. Its "regression areas" may be white or
# peppered: they answer no single question of the bank, and are left out.
PH2 = ConceptMap(
    task="dermoscopy",
    rules={
        **_exclusive("asymmetry", {"2": "asymmetry"}, ("0", "1")),
        **_exclusive("pigment_network", {"typical": "typical_network", "atypical": "atypical_network"}, ("absent",)),
        **_exclusive(
            "dots_globules", {"typical": "regular_globules", "atypical": "irregular_dots_globules"}, ("absent",)
        ),
        **_exclusive("streaks", {"present": "irregular_streaks"}, ("absent",)),
        **_exclusive("blue_whitish_veil", {"present": "blue_white_veil"}, ("absent",)),
    },
    colours=(
        "colour_white",
        "colour_red",
        "colour_light_brown",
        "colour_dark_brown",
        "colour_blue_gray",
        "colour_black",
    ),
)

# Derm7pt (Kawahara et al. 2019). Regular streaks are no irregular ones; blue areas of regression are peppering, white ones are
# like scars, combinations are both. "Irregular pigmentation" is the checklist's blotch; "within regression" and "wreath" name
# no vessel of the bank.
DERM7PT = ConceptMap(
    task="dermoscopy",
    rules={
        **_exclusive("pigment_network", {"typical": "typical_network", "atypical": "atypical_network"}, ("absent",)),
        **_exclusive("streaks", {"irregular": "irregular_streaks"}, ("absent", "regular")),
        **_exclusive(
            "dots_and_globules", {"regular": "regular_globules", "irregular": "irregular_dots_globules"}, ("absent",)
        ),
        **_exclusive("blue_whitish_veil", {"present": "blue_white_veil"}, ("absent",)),
        "peppering": Rule(
            "regression_structures", frozenset({"blue areas", "combinations"}), frozenset({"absent", "white areas"})
        ),
        "scar_like_area": Rule(
            "regression_structures", frozenset({"white areas", "combinations"}), frozenset({"absent", "blue areas"})
        ),
        "irregular_blotch": Rule(
            "pigmentation",
            frozenset({"diffuse irregular", "localized irregular"}),
            frozenset({"absent", "diffuse regular", "localized regular"}),
        ),
        **_exclusive(
            "vascular_structures",
            {
                "arborizing": "arborising_vessels",
                "comma": "comma_vessels",
                "hairpin": "hairpin_vessels",
                "dotted": "dotted_vessels",
                "linear irregular": "linear_irregular_vessels",
            },
            ("absent", "within regression", "wreath"),
        ),
    },
)

MAPS = {"derm7pt": DERM7PT, "ph2": PH2, "wbcatt": WBCATT}


def map_named(name: str) -> ConceptMap:
    """Return a map by its name.

    Raises:
        OslerError: `usage`.
    """
    if name not in MAPS:
        raise OslerError(Code.USAGE, f"There is no concept map {name!r}.", f"Use one of {', '.join(sorted(MAPS))}.")
    return MAPS[name]
