"""What moved at the door, on the site page: in plain words, with what it rests on."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from osler.drift.check import check, make_reference
from osler.drift.store import Checked, DriftStore
from osler_contracts.drift.compare import compare
from osler_contracts.drift.observations import observe
from osler_contracts.drift.reference import make_profile

SITE = "hospital_b"


def plant(demo: Any, *, moved: bool, fields: int = 1) -> None:
    """Keep the report of a comparison in which a device was replaced after 40 of 120 patients, or nothing was."""
    rng = np.random.default_rng(3)
    names = ("KVP", "Exposure", "XRayTubeCurrent", "ExposureTime", "WindowWidth", "WindowCenter", "Sensitivity")[
        :fields
    ]
    old = {name: rng.normal(120, 4, 300) for name in names} | {"Manufacturer": ["Lumenara & Sons"] * 300}
    shift = np.repeat([0, 30 if moved else 0], [40, 80])
    new: dict[str, Any] = {name: rng.normal(120, 4, 120) - shift for name in names}
    new["Manufacturer"] = ["Lumenara & Sons"] * 40 + ["Kestrel & Co" if moved else "Lumenara & Sons"] * 80
    profile = make_profile(observe(range(300), old), site=SITE, origin={"through": 0})
    store = DriftStore(demo.workspace.drift)
    store.keep_profile(profile)
    report = compare(profile, observe(range(120), new))
    store.keep_report(Checked("2026-02-03T04:05:06+00:00", report, 0))


def test_without_a_reference_it_says_how_to_make_one(demo: Any, open_page: Callable[..., Any]) -> None:
    told = r"No reference profile yet: make one with\s+osler drift profile --site hospital_b\b"
    assert re.search(told, open_page("sites").words)


def test_a_profile_that_was_never_compared_with_says_how(demo: Any, open_page: Callable[..., Any]) -> None:
    make_reference(demo.workspace, SITE, first=3)
    assert re.search(r"osler drift check --site hospital_b\s+does", open_page("sites").words)


def test_six_studies_are_too_few_to_tell(demo: Any, open_page: Callable[..., Any]) -> None:
    make_reference(demo.workspace, SITE, first=3)
    check(demo.workspace, SITE, track=False)
    words = open_page("sites").words
    assert re.search(r"Too few to tell\s+0 of \d+ things watched, in 3 patients since the reference of 3", words)
    assert re.search(r"cannot be told with so few: a shift of [1-9]\.\d standard deviations could", words)
    assert "have arrived since then" not in words


def test_what_moved_is_told_in_plain_words(demo: Any, open_page: Callable[..., Any]) -> None:
    plant(demo, moved=True)
    screen = open_page("sites")
    assert re.search(r"Moved\s+2 of 2 things watched, in 120 patients since the reference of 300", screen.words)
    assert re.search(r"Tube voltage\s+typically 1(19|20|21) kV\s+typically 9\d(\.\d)? kV", screen.words)
    assert re.search(r"Manufacturer\s+none\s+KESTREL & CO: 67%", screen.words)
    assert "arrival 41 of 120. Large; by chance alone less than 1 in 1,000." in screen.words
    assert "Compared on 3 February 2026. 6 studies have arrived since then." in screen.words
    assert "KESTREL &amp; CO" in "\n".join(one.proto.body for one in screen.app.get("html"))


def test_many_moves_are_folded(demo: Any, open_page: Callable[..., Any]) -> None:
    plant(demo, moved=True, fields=7)
    screen = open_page("sites")
    assert "2 more" in [one.label for one in screen.app.expander]


def test_what_is_steady_is_said_to_be(demo: Any, open_page: Callable[..., Any]) -> None:
    plant(demo, moved=False)
    assert re.search(r"Steady\s+0 of 2 things watched", open_page("sites").words)


@pytest.mark.parametrize("content", ["", "{}", '{"when": 1, "through": "x", "report": {}}'])
def test_a_damaged_report_is_as_none(demo: Any, open_page: Callable[..., Any], content: str) -> None:
    plant(demo, moved=True)
    (path,) = demo.workspace.drift.rglob("latest.json")
    path.write_text(content)
    assert "Not compared with the reference profile yet" in open_page("sites").words
