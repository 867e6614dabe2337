"""The audit page: who did what, filtered and paged, and whether anybody touched the log; the accounts page beside it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from osler import audit
from osler.access import Role
from osler_dashboard import session

PASSWORD = "four plain words here"


@pytest.fixture
def filled(demo: Any) -> Any:
    """A log with more than a page of entries by two people."""
    for number in range(60):
        actor = "Dr Ada" if number % 3 else "Eve Engineer"
        action = "study.view" if number % 3 else "patch.apply"
        audit.record(
            demo.workspace, actor=actor, action=action, subject=f"2.25.{number}", details={"note": f"n{number}"}
        )
    return demo


@pytest.fixture
def page(filled: Any, open_page: Callable[..., Any]) -> Any:
    return open_page("audit", roles=[Role.ADMINISTRATOR])


def rows(page: Any) -> int:
    return sum(one.proto.body.count("<tr>") for one in page.app.get("html")) - 1


def test_the_newest_entries_come_first_and_the_rest_on_further_pages(page: Any) -> None:
    assert "Chain verified" in page.words
    assert "61 entries" in page.words
    assert rows(page) == 50
    assert page.words.index("n59") < page.words.index("n58")
    assert "n3" not in page.words.split()
    page.app.number_input[0].set_value(2).run()
    assert rows(page) == 11
    assert "note: n0" in page.words


def test_entries_are_filtered_by_who_what_and_words(page: Any) -> None:
    page.app.selectbox(key="audit_actor").set_value("Eve Engineer").run()
    assert rows(page) == 20
    page.app.selectbox(key="audit_kind").set_value("study").run()
    assert "No entry matches." in page.words
    page.app.selectbox(key="audit_actor").set_value("Everybody").run()
    assert rows(page) == 40
    page.app.text_input(key="audit_words").set_value("N59").run()
    assert rows(page) == 1


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda log: log.replace(b"Eve Engineer", b"Dr Somebody!"), "Entry 1: "),
        (lambda log: b"".join(log.splitlines(True)[:-2]), "ends before it"),
        (lambda log: log.splitlines(True)[1] + log, "Entry 1: "),
    ],
)
def test_a_touched_log_is_shown_as_broken(
    filled: Any, open_page: Callable[..., Any], spoil: Callable[[bytes], bytes], said: str
) -> None:
    page = open_page("audit", roles=[Role.ADMINISTRATOR])
    path = filled.workspace.feedback / audit.LOG
    path.write_bytes(spoil(path.read_bytes()))
    page.app.run()
    assert "was changed by something other than Osler" in page.words
    assert said in page.words
    assert "Chain verified" not in page.words


def test_markup_in_an_entry_is_inert(demo: Any, open_page: Callable[..., Any]) -> None:
    probe = "<img src=x onerror=alert(1)>"
    audit.record(demo.workspace, actor=probe, action="study.view", subject=probe, details={"note": probe})
    page = open_page("audit", roles=[Role.ADMINISTRATOR])
    assert page.words.count(probe) >= 3
    assert not any("<img" in one.proto.body for one in page.app.get("html"))


class TestAccounts:
    """The page for accounts."""

    @pytest.fixture
    def accounts(self, demo: Any, open_page: Callable[..., Any]) -> Any:
        session.gate().accounts.add("Boss", ["administrator"], PASSWORD, actor="root")
        return open_page("accounts", number=session.gate().sign_in("Boss", PASSWORD))

    def press(self, page: Any, label: str) -> None:
        next(one for one in page.app.button if one.label == label).click().run()

    def test_somebody_is_added_changed_and_removed(self, accounts: Any, demo: Any) -> None:
        accounts.app.text_input(key="account_name").set_value("Dr Ada")
        accounts.app.multiselect(key="account_roles").set_value(["clinician"])
        accounts.app.text_input(key="$account_password").set_value("short")
        self.press(accounts, "Add")
        assert "12 to 256 characters" in accounts.app.warning[0].value
        accounts.app.text_input(key="$account_password").set_value("another good phrase")
        self.press(accounts, "Add")
        assert "Dr Ada may sign in now" in accounts.app.success[0].value
        number = session.gate().sign_in("Dr Ada", "another good phrase")
        accounts.app.selectbox(key="account_chosen").set_value("Dr Ada").run()
        next(one for one in accounts.app.toggle).set_value(False)
        self.press(accounts, "Change")
        assert "Locked" in accounts.words
        assert session.gate().holder(number) is None or not session.gate().accounts.get("Dr Ada").active
        self.press(accounts, "Remove Dr Ada")
        assert session.gate().accounts.get("Dr Ada") is None
        done = [(one.actor, one.action) for one in audit.entries(demo.workspace) if one.action.startswith("account.")]
        assert done == [("root", "account.add"), *(("Boss", f"account.{word}") for word in ("add", "change", "remove"))]

    def test_the_last_administrator_cannot_lock_everybody_out(self, accounts: Any) -> None:
        self.press(accounts, "Remove Boss")
        assert "last administrator" in accounts.app.warning[0].value
        assert session.gate().accounts.get("Boss") is not None

    def test_no_hash_is_sent_to_the_browser(self, accounts: Any) -> None:
        assert "argon2" not in accounts.text
        assert PASSWORD not in accounts.text
