"""Logging in with a provider, in a browser: who sees what, and who sees nothing."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Final

import pytest
from playwright.sync_api import Browser, Page, expect

from browsing import Watched, dashboard, new_page, settle
from oidc_provider import CLIENT, SECRET, Provider, provider
from spanledger_dashboard.application import places
from spanledger_dashboard.login import Access, Login
from two_teams import HIDDEN, two_teams, words_in

pytest.importorskip("authlib", reason="needs the extra `auth`")
HOURS: Final = 12


@pytest.fixture(scope="module")
def vouching() -> Iterator[Provider]:
    with provider() as started:
        yield started


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory, vouching: Provider) -> Iterator[str]:
    """The dashboard of two teams' lake, with a login."""
    folder = tmp_path_factory.mktemp("login")
    access = Access("groups", "finops", HOURS, "finops@example.com")
    discovery = f"{vouching.address}/.well-known/openid-configuration"
    login = Login(discovery, CLIENT, SECRET, "", "openid groups", access)
    with dashboard(two_teams(folder, datetime.now(UTC)), folder / "dashboard.log", login) as served:
        yield served


@contextmanager
def visiting(chrome: Browser, guarded: str) -> Iterator[Page]:
    """Open the dashboard for somebody who wasn't there before; their page must raise no error."""
    watched = Watched(guarded)
    context = chrome.new_context(viewport={"width": 1440, "height": 1000})
    page = new_page(context)
    watched.watch(page)
    page.goto(guarded)
    yield page
    context.close()
    assert watched.errors == []


def log_in(page: Page, vouching: Provider, **claims: Any) -> None:
    vouching.claims = {"email": "ann@example.com", **claims}
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("button", name="Log out")).to_be_visible()


def test_a_team_sees_its_own_on_every_page_until_it_logs_out(chrome: Browser, guarded: str, vouching: Provider) -> None:
    with visiting(chrome, guarded) as page:
        expect(page.get_by_text("Log in to see what your teams spend.")).to_be_visible()
        assert words_in(page.content(), ("amber", *HIDDEN)) == set()
        log_in(page, vouching, groups=["amber"])
        expect(page.get_by_text("Shown: amber. Totals and shares are of that.")).to_be_visible()
        seen = {}
        for place in places():
            page.goto(f"{guarded}/{place.path}")
            settle(page)
            seen[place.title] = page.content()
            assert words_in(seen[place.title]) == set(), place.title
        assert "amber" in seen["Overview"]
        page.goto(f"{guarded}/explore?d={datetime.now(UTC).date()}&t={0xB1BC_0000:032x}")
        expect(page.get_by_test_id("stAlert")).to_contain_text("is in the lake: the link is wrong")
        page.evaluate("() => { window.isBefore = true }")
        page.get_by_role("button", name="Log out").click()
        # The page says so already while it is left for the address of logging out, which leads back once more.
        page.wait_for_function("() => !window.isBefore")
        expect(page.get_by_text("Log in to see what your teams spend.")).to_be_visible()
        settle(page)
        assert words_in(page.content(), ("amber",)) == set()


def test_who_may_see_everything_does(chrome: Browser, guarded: str, vouching: Provider) -> None:
    with visiting(chrome, guarded) as page:
        log_in(page, vouching, groups=["everyone", "finops"])
        expect(page.get_by_text("All teams are shown.")).to_be_visible()
        settle(page)
        assert words_in(page.content(), ("amber", "birch")) == {"amber", "birch"}


def test_who_may_see_nothing_is_told_whom_to_ask(chrome: Browser, guarded: str, vouching: Provider) -> None:
    with visiting(chrome, guarded) as page:
        log_in(page, vouching)
        expect(page.get_by_text("Ask finops@example.com for the claim groups.")).to_be_visible()
        assert words_in(page.content(), ("amber", *HIDDEN)) == set()


def test_a_login_that_is_over_is_none(chrome: Browser, guarded: str, vouching: Provider) -> None:
    with visiting(chrome, guarded) as page:
        vouching.claims = {"groups": ["amber"], "iat": int(time.time()) - HOURS * 3600}
        page.get_by_role("button", name="Log in").click()
        expect(page.get_by_text("Your login is over.")).to_be_visible()
        assert words_in(page.content(), ("amber", *HIDDEN)) == set()


def test_a_forged_cookie_is_no_login(chrome: Browser, guarded: str) -> None:
    with visiting(chrome, guarded) as page:
        page.context.add_cookies([{"name": "_streamlit_user", "value": "eyJpc19sb2dnZWRfaW4iOnRydWV9", "url": guarded}])
        page.goto(guarded)
        expect(page.get_by_text("Log in to see what your teams spend.")).to_be_visible()
