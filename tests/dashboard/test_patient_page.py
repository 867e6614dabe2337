"""A patient is found by the hospital's own number, audited; no other page says who anybody is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pydicom
import pytest

from osler import audit
from osler.access import Role
from osler.deid.crosswalk import open_crosswalk
from osler.deid.links import links_of
from osler.deid.pseudonyms import Pseudonymizer
from osler_dashboard import pages

# What the hospital knows of the planted patient, and of its other ones (tests/dashboard/conftest.py writes them).
PLANTED = ("DOE^JANE", "DOE", "hospital_b-3", "19500101", "20200301", "1950-01-01", "2020-03-01")


@pytest.fixture
def crosswalk(demo: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A crosswalk over everything that was taken in, where the server is told to find it."""
    path = tmp_path / "secret" / "crosswalk"
    monkeypatch.setenv("OSLER_CROSSWALK_FILE", str(path))
    monkeypatch.setenv("OSLER_CROSSWALK_KEY_FILE", str(tmp_path / "keys" / "crosswalk.key"))
    held = open_crosswalk(path, demo.workspace, create=True)
    for site in ("hospital_a", "hospital_b"):
        for number in range(6):
            dataset = pydicom.dcmread(demo.sources / site / f"{number}.dcm")
            held.add(links_of(dataset, Pseudonymizer(b"k" * 32), site))
    return held


def look_up(screen: Any, identifier: str, reason: str = "the ward asks") -> None:
    screen.app.text_input(key="patient_identifier").set_value(identifier)
    screen.app.text_input(key="patient_reason").set_value(reason)
    next(one for one in screen.app.button if one.label == "Look up").click().run()


def looked_up(demo: Any) -> list[audit.Entry]:
    return [one for one in audit.entries(demo.workspace) if one.action == "crosswalk.find"]


def studies(screen: Any) -> list[str]:
    return [one.label for one in screen.app.button if one.key and one.key.startswith("open-")]


def test_the_hospitals_number_leads_to_the_pseudonymous_study(
    crosswalk: Any, open_page: Callable[..., Any], demo: Any
) -> None:
    screen = open_page("patient", roles=[Role.CLINICIAN])
    look_up(screen, "hospital_b-3")
    (name,) = studies(screen)
    assert name == "Hospital B · study 0004"
    (entry,) = looked_up(demo)
    assert (entry.actor, entry.details) == ("Dr A", {"reason": "the ward asks"})
    assert "hospital_b-3" not in (demo.workspace.feedback / audit.LOG).read_text()
    next(one for one in screen.app.button if one.label == name).click().run()
    assert screen.app.query_params["study"] in ("hospital-b-study-0004", ["hospital-b-study-0004"])


@pytest.mark.parametrize("identifier", ["nobody", "DOE^JANE 3", "hospital_b", "' OR 1=1 --", "*", "hospital_b-3\\x"])
def test_who_is_not_found_is_told_so_and_audited(
    crosswalk: Any, open_page: Callable[..., Any], demo: Any, identifier: str
) -> None:
    screen = open_page("patient", roles=[Role.CLINICIAN])
    look_up(screen, identifier)
    assert studies(screen) == []
    assert "written in another way" in screen.app.info[0].value
    assert len(looked_up(demo)) == 1


@pytest.mark.parametrize(("identifier", "reason"), [("", "why"), ("hospital_b-3", ""), ("hospital_b-3", "  ")])
def test_an_identifier_and_a_reason_are_needed(
    crosswalk: Any, open_page: Callable[..., Any], demo: Any, identifier: str, reason: str
) -> None:
    screen = open_page("patient", roles=[Role.CLINICIAN])
    look_up(screen, identifier, reason)
    assert "Give an identifier and a reason" in screen.app.warning[0].value
    assert looked_up(demo) == []


def test_without_a_crosswalk_nobody_can_be_identified(
    open_page: Callable[..., Any], demo: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OSLER_CROSSWALK_FILE", raising=False)
    screen = open_page("patient", roles=[Role.CLINICIAN])
    assert "Nobody can be identified here." in screen.words
    assert not screen.app.text_input


def test_a_crosswalk_that_cannot_be_opened_is_told_calmly(
    crosswalk: Any, open_page: Callable[..., Any], tmp_path: Path
) -> None:
    (tmp_path / "secret" / "crosswalk").chmod(0o644)
    screen = open_page("patient", roles=[Role.CLINICIAN])
    assert "cannot be looked up now" in screen.words
    assert "chmod 600" in screen.words


@pytest.mark.parametrize("page", [page.name for page in pages.PAGES if page.path.is_file()])
def test_no_page_says_who_anybody_is(crosswalk: Any, open_page: Callable[..., Any], demo: Any, page: str) -> None:
    """Everything that is sent to the browser, hidden parts and components included, the look-up alone set aside."""
    crosswalk.look_up(demo_patient(crosswalk), actor="Dr A", reason="so that the audit page has one to show")
    screen = open_page(page)
    drawn = "\n".join(str(one.proto) for one in screen.app.main)
    drawn += "\n".join(str(one.proto) for one in screen.app.get("bidi_component"))
    assert len(drawn) > 200
    for value in PLANTED:
        assert value not in drawn, value


def demo_patient(crosswalk: Any) -> str:
    return str(next(link.pseudonym for link in crosswalk._links() if link.kind == "patient"))
