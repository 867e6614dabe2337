"""Both themes are legible: WCAG 2.2, 1.4.3, of every ink on every ground that it stands on."""

from __future__ import annotations

import re

import pytest

from osler_dashboard.components.assets import asset
from osler_dashboard.settings import AGAINST, DARK, FOR, LIGHT, THEME

PAIR = re.compile(r"--([\w-]+): light-dark\((#[0-9A-Fa-f]{6}), (#[0-9A-Fa-f]{6})\)")
COLOURS = {name: pair for name, *pair in PAIR.findall(asset("theme.css"))}
PAGES = ("o-paper", "o-panel")
ON = {
    **dict.fromkeys(("o-ink", "o-quiet", "o-for", "o-against", "o-dim"), PAGES),
    "o-good-ink": ("o-good-bg",),
    "o-warn-ink": ("o-warn-bg",),
    "o-mark-ink": ("o-mark-bg",),
    "o-chip-ink": ("o-chip-bg",),
    "o-on-fill": ("o-for-fill",),
}


def luminance(colour: str) -> float:
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(one: str, two: str) -> float:
    high, low = sorted((luminance(one), luminance(two)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_the_formula_is_the_one_of_the_recommendation() -> None:
    assert contrast("#000000", "#FFFFFF") == pytest.approx(21)
    assert contrast("#777777", "#FFFFFF") == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize(("ink", "ground"), [(ink, ground) for ink, grounds in ON.items() for ground in grounds])
def test_text_is_legible(ink: str, ground: str, theme: int) -> None:
    assert contrast(COLOURS[ink][theme], COLOURS[ground][theme]) >= 4.5


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])
def test_streamlits_own_text_and_marks_are_legible(theme: dict[str, str]) -> None:
    for ground in (theme["backgroundColor"], theme["secondaryBackgroundColor"]):
        assert contrast(theme["textColor"], ground) >= 4.5
        assert contrast(theme["linkColor"], ground) >= 4.5
    assert contrast("#FFFFFF", theme["primaryColor"]) >= 4.5, "the words on a button"
    for mark in (FOR, AGAINST):
        assert contrast(mark, theme["backgroundColor"]) >= 3, "marks of a chart, WCAG 2.2, 1.4.11"


def test_both_themes_agree_with_streamlits() -> None:
    for place, theme in enumerate((LIGHT, DARK)):
        assert COLOURS["o-paper"][place] == theme["backgroundColor"]
        assert COLOURS["o-panel"][place] == theme["secondaryBackgroundColor"]
        assert COLOURS["o-ink"][place] == theme["textColor"]
    assert {name.split(".")[1] for name in THEME} >= {"light", "dark"}
    assert "theme.base" not in THEME, "the reader's system chooses"


def test_no_colour_stands_outside_the_list() -> None:
    rest = re.sub(r":root \{.*?\n\}", "", asset("theme.css"), flags=re.DOTALL)
    assert re.findall(r"#[0-9A-Fa-f]{3,8}\b", rest) == []


def test_for_and_against_differ_in_lightness_or_hue_to_every_eye() -> None:
    """Blue and orange: their blue channels are far apart, which no common colour blindness confuses."""
    for for_, against in zip(COLOURS["o-for"], COLOURS["o-against"], strict=True):
        assert abs(int(for_[5:7], 16) - int(against[5:7], 16)) > 100
