"""The results page draws the summary's figures, and none where there are none."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any


def test_figures_and_intervals_are_those_of_the_summary(open_page: Callable[..., Any]) -> None:
    screen = open_page("results")
    assert re.search(r"Linear probe\s+95\.0%\s+91\.0 to 99\.0\s+31\.0%\s+26\.0 to 36\.0", screen.words)
    assert re.search(r"Bottleneck with prior\s+90\.0%\s+86\.0 to 94\.0\s+80\.0%", screen.words)
    assert "Phantom data" in screen.words
    (chart,) = screen.app.get("vega_lite_chart")
    assert json.loads(chart.proto.spec)["layer"]


def test_an_empty_or_broken_summary_is_told(demo: Any, open_page: Callable[..., Any]) -> None:
    for text in ("{}", "{not json"):
        demo.workspace.summary.write_text(text)
        assert "no results here yet" in open_page("results").words
