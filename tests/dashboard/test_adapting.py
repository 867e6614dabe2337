"""The adaptation page: from what moved to a decision, by somebody who has only this page."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any

import pytest

from osler.adapt.store import PatchStore
from osler.audit import entries
from osler.explain.service import StudyExplainer
from osler_dashboard import adapt_services

SITE = "hospital_b"


@pytest.fixture
def wizard(open_page: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> Any:
    """The steps for hospital B; the tracker's database, which takes its time, is tested elsewhere."""
    monkeypatch.setattr(adapt_services, "track", lambda *_: None)
    monkeypatch.setattr(adapt_services, "open_tracker", lambda _: None)
    screen = open_page("sites")
    screen.app.button(key="adapt_open").click().run()
    screen.app.number_input(key="adapt_shots").set_value(2).run()
    return screen


def propose(screen: Any, how: str = "logistic_shots") -> None:
    screen.app.selectbox(key="adapt_how").set_value(how)
    press(screen, "Propose a change")


def press(screen: Any, label: str) -> None:
    next(one for one in screen.app.button if one.label == label).click().run()


def decide(screen: Any, label: str, why: str = "first weeks") -> None:
    screen.app.text_input(key="adapt_why").set_value(why)
    press(screen, label)


def warnings(screen: Any) -> str:
    assert not screen.app.exception
    return " ".join(one.value for one in screen.app.warning)


def test_the_steps_come_one_after_the_other(wizard: Any, demo: Any) -> None:
    assert re.search(r"2\s+What moved", wizard.words)
    assert re.search(r"\d+ of 10 signs are seen here more or less", wizard.words)
    assert "6 studies of this site can be read: 3 of heart failure, 3 of pneumonia, 0 without a label" in wizard.words
    assert "Decision" not in wizard.words
    propose(wizard)
    assert re.search(r"\d of 4 right before, \d of 4 after", wizard.words)
    assert "this proves nothing about others" in wizard.words
    assert re.search(r"5\s+Decision", wizard.words)
    assert "2.25." not in wizard.words, "no internal identifier"
    assert len(PatchStore(demo.workspace.patches).all()) == 1, "a proposal writes nothing"


def test_a_proposal_is_put_in_force_and_switched_off_later(wizard: Any, demo: Any) -> None:
    store = PatchStore(demo.workspace.patches)
    (before,) = store.all()
    propose(wizard)
    decide(wizard, "Put it in force", "")
    assert "Give a reason" in warnings(wizard)
    decide(wizard, "Put it in force")
    assert "The change is in force" in wizard.app.success[0].value
    patch = store.active(SITE, before.model)
    assert patch is not None
    assert patch.id != before.id
    assert (patch.author, patch.adapter) == ("Dr A", "logistic_shots")
    assert date.fromisoformat(patch.expires or "") > datetime.now(UTC).date()
    assert store.get(before.id).status == "revoked"
    assert "In force" in wizard.words
    assert re.search(r"Holds until \d+ \w+ 20\d\d", wizard.words)
    assert re.search(r"How much it speaks for\s+Before → here", wizard.words)
    done = [(one.actor, one.action) for one in entries(demo.workspace) if one.action != "access.sign-in"]
    assert done == [("Dr A", "patch.fit"), ("Dr A", "patch.apply")]
    explainer = StudyExplainer(demo.workspace, "fitted")
    study = explainer.archive.studies(SITE)[0].uid
    patched = explainer.explain(study).finding.logit
    wizard.app.text_input(key="switch_why").set_value("worse on the ward")
    press(wizard, "Switch it off")
    assert store.get(patch.id).status == "revoked"
    plain = explainer.explain(study)
    assert plain.patch is None
    assert plain.finding.logit != patched
    assert plain == explainer.explain(study, patched=False), "bit by bit what it was"
    assert [one.action for one in entries(demo.workspace)][-1] == "patch.revoke"


def test_a_proposal_is_declined_and_kept(wizard: Any, demo: Any) -> None:
    store = PatchStore(demo.workspace.patches)
    (before,) = store.all()
    propose(wizard)
    decide(wizard, "Decline", "too few studies")
    assert "declined" in wizard.app.success[0].value
    assert store.get(before.id).status == "active"
    (declined,) = [one for one in store.all() if one.id != before.id]
    assert declined.status == "revoked"
    assert declined.history[-1][2] == "declined by Dr A: too few studies"


def test_no_change_is_an_answer(wizard: Any, demo: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    made = adapt_services.proposal

    def nothing(*words: Any, **more: Any) -> Any:
        found = made(*words, **more)
        return replace(found, patch=replace(found.patch, head=None, reason="No change: it would harm the source."))

    monkeypatch.setattr(adapt_services, "proposal", nothing)
    propose(wizard)
    assert "It would harm the source." in wizard.words
    assert next(one for one in wizard.app.button if one.label == "Put it in force").disabled
    decide(wizard, "Note it")
    assert "nothing changed" in wizard.app.success[0].value
    assert len(PatchStore(demo.workspace.patches).all()) == 2


def test_what_is_missing_is_asked_for_in_plain_words(wizard: Any) -> None:
    first, second = wizard.app.multiselect
    first.set_value([]).run()
    assert "Choose at least one study of heart failure" in warnings(wizard)
    assert "Proposal" not in wizard.words
    wizard.app.button(key="adapt_back").click().run()
    assert "What arrived" in wizard.words
    assert second.label == "Studies of pneumonia"


def test_a_study_under_two_findings_is_refused(wizard: Any, demo: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    names = {one.uid: "hospital B · study 1" for one in StudyExplainer(demo.workspace, "fitted").archive.studies(SITE)}
    monkeypatch.setattr(adapt_services, "choice", lambda *_: adapt_services.Choice(names, {}))
    wizard.app.run()
    first, second = wizard.app.multiselect
    first.set_value([next(iter(names))])
    second.set_value([next(iter(names))])
    wizard.app.run()
    assert "decide on one" in warnings(wizard)


def test_a_proposal_of_other_studies_is_not_shown(wizard: Any) -> None:
    propose(wizard)
    wizard.app.button(key="adapt_redraw").click().run()
    assert "Decision" not in wizard.words


def test_an_expired_patch_says_so_and_cannot_come_into_force(open_page: Callable[..., Any], demo: Any) -> None:
    store = PatchStore(demo.workspace.patches)
    (patch,) = store.all()
    (demo.workspace.patches / f"{patch.id}.json").unlink()
    store.save(replace(patch, expires="2026-02-01"))
    screen = open_page("sites")
    assert "Expired" in screen.words
    assert "Holds until 1 February 2026" in screen.words or "Held until 1 February 2026" in screen.words


def test_the_source_itself_is_refused_without_codes(wizard: Any) -> None:
    wizard.app.button(key="adapt_back").click().run()
    wizard.app.button_group[0].set_value("hospital_a").run()
    wizard.app.button(key="adapt_open").click().run()
    propose(wizard)
    assert "where the model was fitted: there is nothing to adapt to" in warnings(wizard)
    assert "support-insufficient" not in wizard.text
    assert "Decision" not in wizard.words
