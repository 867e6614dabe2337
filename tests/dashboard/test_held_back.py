"""Files held back: why each, and what a person may do about it; and the examination of the installation."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from osler import audit
from osler.access import Role
from osler.archive.quarantine import Quarantine
from osler.ingest import ingest

SITE = "hospital_b"


@pytest.fixture
def held(demo: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """One file more at the site, of a kind that only a person may let in."""
    import pydicom

    folder = tmp_path / "incoming"
    folder.mkdir()
    dataset = pydicom.dcmread(demo.sources / SITE / "0.dcm")
    for name in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"):
        setattr(dataset, name, pydicom.uid.generate_uid(entropy_srcs=["held", name]))
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.BurnedInAnnotation = "YES"
    dataset.save_as(folder / "one.dcm", enforce_file_format=True)
    found = ingest(folder, site=SITE, workspace=demo.workspace, key=b"k" * 32, workers=0)
    assert found.quarantined == 1
    key = tmp_path / "keys" / "deid.key"
    key.parent.mkdir()
    key.write_text((b"k" * 32).hex())
    key.chmod(0o600)
    monkeypatch.setenv("OSLER_KEY_FILE", str(key))
    return demo


@pytest.fixture
def page(held: Any, open_page: Callable[..., Any]) -> Any:
    return open_page("sites", roles=[Role.ENGINEER])


def decide(page: Any, label: str, why: str = "seen by the ward: no text") -> None:
    page.app.text_input(key="held_back_why").set_value(why)
    next(one for one in page.app.button if one.label == label).click().run()


def test_what_a_person_may_release_comes_first_with_its_reason(page: Any) -> None:
    assert "1 of 3 wait for a decision" in page.words
    assert page.app.selectbox(key=f"held_back-{SITE}").options[0].startswith("Text burned into the image")
    assert re.search(r"Judged as\s+Chest radiograph", page.words)
    assert "DOE" not in page.text


def test_a_release_needs_a_reason(page: Any, held: Any) -> None:
    decide(page, "Let it in", " ")
    assert "Give a reason" in page.app.warning[0].value
    assert len(Quarantine(held.workspace.quarantine).reasons()) == 3


def test_a_file_is_let_in_by_name_and_counted(page: Any, held: Any) -> None:
    decide(page, "Let it in")
    assert "in the archive now" in page.app.info[0].value
    assert "0 of 2 wait for a decision" in page.words
    done = [(one.actor, one.action) for one in audit.entries(held.workspace) if one.action.startswith("quarantine.")]
    assert done == [("Dr A", "quarantine.release"), ("Dr A", "quarantine.outcome")]


def test_what_cannot_enter_can_only_be_deleted(page: Any, held: Any) -> None:
    refused = next(one for one in Quarantine(held.workspace.quarantine) if not one.releasable)
    page.app.session_state[f"held_back-{SITE}"] = refused.sha256
    page.app.run()
    assert next(one for one in page.app.button if one.label == "Let it in").disabled
    decide(page, "Delete for good", "sent by mistake")
    assert "deleted" in page.app.info[0].value
    assert refused.sha256 not in {one.sha256 for one in Quarantine(held.workspace.quarantine)}


def test_without_the_key_nothing_is_let_in_and_that_is_said(
    page: Any, held: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("OSLER_KEY_FILE", str(tmp_path / "none"))
    decide(page, "Let it in")
    assert "There is no key file" in page.app.warning[0].value
    assert len(Quarantine(held.workspace.quarantine).reasons()) == 3


def test_the_installation_is_examined(open_page: Callable[..., Any], demo: Any) -> None:
    page = open_page("sites", roles=[Role.ENGINEER])
    assert "Python" not in page.words
    page.app.button(key="examine").click().run()
    assert "parts are well" in page.words
    assert "Python" in page.words or "python" in page.words
