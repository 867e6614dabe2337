"""The site page: counts that add up, a patch with its reasons, and an undo that is kept."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from typing import Any

import pytest

from osler.adapt.patch import GuardOutcome
from osler.adapt.store import PatchStore


@pytest.fixture
def sites(open_page: Callable[..., Any]) -> Any:
    return open_page("sites")


def switch(screen: Any, why: str) -> None:
    screen.app.text_input(key="switch_why").set_value(why)
    next(one for one in screen.app.button if one.label in ("Switch it off", "Put it in force")).click().run()


def test_what_arrived_adds_up_and_says_why(sites: Any) -> None:
    counts = re.findall(r"(\d+)\s+(files received|accepted|quarantined|duplicates)", sites.words)
    assert {name: int(count) for count, name in counts} == {
        "files received": 9,
        "accepted": 6,
        "quarantined": 2,
        "duplicates": 1,
    }
    for why in ("cut off before its end", "no image in the file", "sent before"):
        assert why in sites.words


def test_the_patch_is_told_with_its_reasons_and_figures(sites: Any) -> None:
    assert "fitted on 4 of heart failure and 4 of pneumonia" in sites.words
    assert re.search(r"Pacemaker\s+ignored\s+Fired in 4 of 4 pneumonia studies", sites.words)
    assert re.search(r"Perihilar haze\s+weighed 1\.50 times as much\s+Weaker", sites.words)
    assert "mean over 20 draws of 4 studies a class" in sites.words
    assert "+12.0 points here, 95% interval +7.0 to +18.0; 30% of the draws changed nothing, 5% did harm" in sites.words
    assert "Hospital A: 0.0 points" in sites.words
    assert "Passed: it must help on studies it was not fitted on" in sites.words


def test_the_patch_is_switched_off_and_on_with_a_reason(sites: Any, demo: Any) -> None:
    store = PatchStore(demo.workspace.patches)
    switch(sites, "scanner replaced")
    (patch,) = store.all()
    assert patch.status == "revoked"
    assert patch.history[-1][1:] == ("revoked", "Dr A: scanner replaced")
    assert "Switched off" in sites.words
    switch(sites, "scanner came back")
    (patch,) = store.all()
    assert (patch.status, len(patch.history)) == ("active", 3)
    assert sites.words.index("scanner came back") < sites.words.index("scanner replaced")


@pytest.mark.parametrize("why", ["", " "])
def test_a_switch_needs_a_reason(sites: Any, demo: Any, why: str) -> None:
    switch(sites, why)
    assert "Give a reason" in sites.app.warning[0].value
    assert PatchStore(demo.workspace.patches).all()[0].status == "active"


def test_a_site_without_a_patch_says_so(sites: Any) -> None:
    sites.app.button_group[0].set_value("hospital_a").run()
    assert "no patch was made for this site" in sites.words
    assert "switch_why" not in {one.key for one in sites.app.text_input}
    assert re.search(r"6\s+files received\s+=\s+6\s+accepted", sites.words)


def test_markup_in_a_reason_is_inert(sites: Any) -> None:
    switch(sites, "<img src=x onerror=alert(1)>")
    assert "<img src=x" in sites.words
    assert not any("<img" in one.proto.body for one in sites.app.get("html"))


def test_a_guard_that_failed_says_that_its_part_is_left_out(demo: Any, open_page: Callable[..., Any]) -> None:
    store = PatchStore(demo.workspace.patches)
    (patch,) = store.all()
    (demo.workspace.patches / f"{patch.id}.json").unlink()
    store.save(replace(patch, guards=(*patch.guards, GuardOutcome("site-scale", False, 0.0, -0.1, "Less."))))
    words = open_page("sites").words
    assert re.search(r"✓\s+Passed: it must help on studies", words)
    assert re.search(r"✗\s+Failed, so that part is left out: setting the site's scale", words)
    on = patch.history[-1][0]
    assert f"{date.fromisoformat(on):%B %Y}" in words
    assert on not in words


def test_a_patch_that_changes_nothing_says_why_and_offers_no_switch(demo: Any, open_page: Callable[..., Any]) -> None:
    store = PatchStore(demo.workspace.patches)
    (patch,) = store.all()
    (demo.workspace.patches / f"{patch.id}.json").unlink()
    guard = replace(patch.guards[0], passed=False)
    reason = "No change: masking 1 and amplifying 0 concepts would not pass the guards (no gain)."
    store.save(replace(patch, deltas={}, blend=0.0, status="proposed", history=(), guards=(guard,), reason=reason))
    screen = open_page("sites")
    assert re.search(r"No change\s+fitted on 4 of heart failure", screen.words)
    assert "Masking 1 and amplifying 0 concepts would not pass the guards (no gain)." in screen.words
    assert re.search(r"✗\s+Failed: it must help on studies", screen.words)
    assert "switch_why" not in {one.key for one in screen.app.text_input}
