"""The hospital's own log-in against a real OpenID Connect provider: roles by groups, refusal, expiry, and the way out."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml
from oidc_provider_mock import User, run_server_in_thread
from playwright.sync_api import Browser, Page, expect

from osler import audit
from osler.workspace import Workspace
from osler_dashboard import pages
from osler_dashboard.screenshots import serving, unused_port

from .browsing import chromium
from .test_roles import SEEN

pytestmark = pytest.mark.system
expect.set_options(timeout=60_000)

BRIEF_S = 15  # of an identity token that is to run out while somebody looks
PEOPLE = (
    User(sub="ada", claims={"email": "ada@hospital.example", "email_verified": True, "groups": ["radiology"]}),
    User(sub="tom", claims={"email": "tom@hospital.example", "email_verified": True, "groups": ["it", "house"]}),
    User(sub="eve", claims={"email": "eve@hospital.example", "email_verified": True, "groups": ["kitchen"]}),
    User(sub="mal", claims={"email": "boss@hospital.example", "email_verified": False, "groups": []}),
)


@contextmanager
def hospital(built: Any, folder: Path, lasting: timedelta) -> Iterator[tuple[str, Workspace]]:
    """Run a provider and a dashboard that knows it; yields the dashboard's address and its workspace."""
    shutil.copytree(built.workspace.root, folder / "workspace")
    workspace = Workspace.open(folder / "workspace")
    secret, port = folder / "client.secret", unused_port()
    secret.write_text("between the two of us\n")
    secret.chmod(0o600)
    with run_server_in_thread(user_claims=PEOPLE, access_token_max_age=lasting) as provider:
        settings = {
            "title": "St. Elsewhere",
            "metadata": f"http://localhost:{provider.server_port}/.well-known/openid-configuration",
            "client_id": "osler",
            "client_secret_file": str(secret),
            "address": f"http://localhost:{port}",
            "groups": {"clinician": ["radiology"], "engineer": ["it"]},
            "people": {"administrator": ["boss@hospital.example"]},
        }
        path = workspace.root / "access" / "hospital.yaml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(yaml.safe_dump(settings))
        path.chmod(0o600)
        with serving(workspace.root, port=port) as url:
            yield str(url), workspace


@pytest.fixture(scope="module")
def long(built: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Workspace]]:
    with hospital(built, tmp_path_factory.mktemp("hospital"), timedelta(hours=1)) as held:
        yield held


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as held:
        yield held


@contextmanager
def window(browser: Browser) -> Iterator[Page]:
    """A browser of its own, without cookies."""
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    context.set_default_timeout(120_000)
    yield context.new_page()
    context.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    with window(browser) as held:
        yield held


def sign_in(page: Page, url: str, sub: str) -> None:
    """Go to the page to sign in, through the button to the provider, and be somebody there."""
    page.goto(f"{url}/")
    page.get_by_role("link", name="St. Elsewhere").click()
    page.get_by_placeholder("sub").fill(sub)
    page.get_by_role("button", name="Authorize").click()
    page.wait_for_url(f"{url}/**")


def leave(page: Page, url: str) -> None:
    """Follow the way out to the provider, which asks once more, and back to the page to sign in."""
    page.wait_for_url("**/oauth2/end_session**")
    page.get_by_role("button", name="End session").click()
    page.wait_for_url(f"{url}/sign-in**")
    expect(page.get_by_role("link", name="St. Elsewhere")).to_be_visible()


def told(workspace: Workspace) -> list[tuple[str, str]]:
    return [(one.actor, one.action) for one in audit.entries(workspace) if one.action.startswith("access.")]


def test_groups_of_the_hospital_become_roles_and_their_pages(page: Page, long: tuple[str, Workspace]) -> None:
    url, workspace = long
    sign_in(page, url, "ada")
    page.locator(".worklist .line").first.wait_for()
    for one in pages.listed():
        page.goto(f"{url}/{one.name}")
        page.locator(".o-foot").wait_for()
        closed = page.get_by_text(f"{one.title} is not among your pages.")
        if any(str(role) == "clinician" for role in SEEN[one.name]):
            expect(closed).to_have_count(0)
            assert f"/{one.name}" in page.url
        else:
            expect(closed).to_be_visible()
    assert ("ada@hospital.example", "access.sign-in") in told(workspace)


def test_another_group_has_other_pages(page: Page, long: tuple[str, Workspace]) -> None:
    url, _ = long
    sign_in(page, url, "tom")
    expect(page.get_by_text("What arrived").first).to_be_visible()
    page.goto(f"{url}/study")
    expect(page.get_by_text("is not among your pages.")).to_be_visible()


@pytest.mark.parametrize("sub", ["eve", "mal"])
def test_who_has_no_group_or_an_unchecked_address_is_not_let_in(
    page: Page, long: tuple[str, Workspace], sub: str
) -> None:
    url, workspace = long
    before = told(workspace)
    sign_in(page, url, sub)
    expect(page.get_by_text("Your hospital account has no role in Osler.")).to_be_visible()
    assert "hospital_b" not in page.content()
    assert set(told(workspace)[len(before) :]) == {("unknown", "access.refused")}
    page.goto(f"{url}/worklist")
    expect(page.get_by_text("Your hospital account has no role in Osler.")).to_be_visible()
    expect(page.locator(".worklist")).to_have_count(0)


def test_signing_out_ends_the_session_here_and_the_next_page_asks_again(
    page: Page, long: tuple[str, Workspace]
) -> None:
    url, workspace = long
    sign_in(page, url, "ada")
    page.locator(".worklist .line").first.wait_for()
    page.locator(".st-key-account button").first.click()
    page.get_by_role("button", name="Sign out").click()
    leave(page, url)
    assert told(workspace)[-1] == ("ada@hospital.example", "access.sign-out")
    page.goto(f"{url}/worklist")
    page.wait_for_url(f"{url}/sign-in**")
    assert "hospital b" not in page.content().lower()


def test_an_identity_that_runs_out_ends_the_session_on_the_screen(built: Any, browser: Browser, tmp_path: Path) -> None:
    start: partial[AbstractContextManager[tuple[str, Workspace]]] = partial(hospital, built, tmp_path)
    with start(timedelta(seconds=BRIEF_S)) as (url, _), window(browser) as page:
        sign_in(page, url, "ada")
        expect(page.get_by_role("button", name="Sign in again")).to_be_visible()  # by itself: nobody touches the page
        expect(page.locator(".worklist")).to_have_count(0)
        page.get_by_role("button", name="Sign in again").click()
        leave(page, url)
