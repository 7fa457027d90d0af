"""What pages show to somebody who may see one team, and to nobody."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import pytest
from streamlit.testing.v1 import AppTest

import spanledger_dashboard
from spanledger_analytics.reports.calendar import Period
from spanledger_analytics.reports.question import Question
from spanledger_analytics.scope import EVERYTHING, scope_of_teams
from spanledger_dashboard import viewer
from spanledger_dashboard.application import places
from spanledger_dashboard.data import Lake, shown_lake
from spanledger_dashboard.login import FLAG, Access
from two_teams import HIDDEN, two_teams, with_alerts, words_in

ENTRY: Final = Path(spanledger_dashboard.__file__).parent / "entry" / "app.py"
NOW: Final = datetime.now(UTC)
ACCESS: Final = Access("teams", "*", 12, "finops@example.com")
TRACES: Final = {"amber": f"{0xA3BE_0000:032x}", "birch": f"{0xB1BC_0000:032x}", "shared": f"{0x5A5A_0000:032x}"}


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return two_teams(tmp_path_factory.mktemp("pages"), NOW)


@pytest.fixture(autouse=True)
def claims(lake: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    """What the provider says of who looks; a test may change it."""
    said: dict[str, object] = {"is_logged_in": True, "iat": NOW.timestamp(), "email": "ann@example.com"}
    said |= {"teams": ["amber"]}
    monkeypatch.setattr(viewer, "_claims", lambda: said)
    monkeypatch.setattr(sys, "argv", ["app.py", "--lake", str(lake), FLAG, ACCESS.argument()])
    monkeypatch.setenv("SPANLEDGER_HOME", str(with_alerts(tmp_path, NOW)))
    # Streamlit leaves the page there, and processes that are spawned later would run it again.
    monkeypatch.setitem(sys.modules, "__main__", sys.modules["__main__"])
    return said


def drawn(path: str) -> None:
    from spanledger_dashboard.application import places
    from spanledger_dashboard.components import links
    from spanledger_dashboard.viewer import admit

    if admit():
        links.offer({})
        next(place for place in places() if place.path == path).draw()


def seen(path: str, **parameters: str) -> str:
    """Draw a page, and return all that is sent to the browser."""
    page = AppTest.from_function(drawn, default_timeout=120, args=(path,))
    page.query_params.update(parameters)
    page.run()
    assert not page.exception
    return "\n".join(str(getattr(element, "proto", "")) for element in elements(page._tree))


def elements(block: Any) -> Iterator[Any]:
    """Yield a block and all that is in it."""
    yield block
    for child in getattr(block, "children", {}).values():
        yield from elements(child)


LEVELS: Final[dict[str, dict[str, str]]] = {
    "days": {},
    "another team's": {"team": "birch"},
    "hours": {"d": f"{NOW.date() - timedelta(days=1)}"},
    "trace": {"d": f"{NOW.date()}", "t": TRACES["amber"]},
    "another team's trace": {"d": f"{NOW.date()}", "t": TRACES["birch"]},
    "a trace of two teams": {"d": f"{NOW.date()}", "t": TRACES["shared"]},
}


QUERIES: Final = (
    "select team_id, count(*) as calls from spans group by all",
    "select team_idd from traces",
    "select * from outcomes union all by name select * from corrections",
)
WITHOUT_ROWS: Final = ("sql", "budgets")
"""Pages that show nothing of a lake by themselves: without a question, without a budget among the rules."""


@pytest.mark.parametrize("path", [place.path for place in places()])
def test_a_page_shows_a_team_its_own_and_nothing_of_others(path: str) -> None:
    assert words_in(seen(path), ("amber", *HIDDEN)) == ({"amber"} if path not in WITHOUT_ROWS else set())


@pytest.mark.parametrize("level", LEVELS)
def test_a_level_shows_a_team_its_own_and_nothing_of_others(level: str) -> None:
    shown = seen("explore", **LEVELS[level])
    asked = {word for value in LEVELS[level].values() for word in words_in(value)}
    assert words_in(shown) <= asked
    assert ("amber" in shown.lower()) or level.startswith("another")


@pytest.mark.parametrize("query", QUERIES)
def test_sql_shows_a_team_its_own_and_nothing_of_others(query: str) -> None:
    page = AppTest.from_function(drawn, default_timeout=120, args=("sql",))
    page.query_params["q"] = query
    page.run()
    assert page.session_state["sql-asking"].wait(120)
    page.run()
    assert not page.exception
    shown = "\n".join(str(getattr(element, "proto", "")) for element in elements(page._tree))
    assert words_in(shown, ("amber", *HIDDEN)) == (set() if "team_idd" in query else {"amber"})
    assert not [tab for tab in page.tabs if tab.label == "Saved"]


def test_who_sees_everything_is_shown_both(claims: dict[str, object]) -> None:
    claims["teams"] = ["*"]
    assert words_in(seen(""), ("amber", "birch")) == {"amber", "birch"}


@pytest.mark.parametrize(
    ("said", "told", "button"),
    [
        ({"teams": None}, "Ask finops@example.com for the claim teams.", "Log out"),
        ({"iat": NOW.timestamp() - 12 * 3600 - 1}, "Your login is over.", "Log in"),
        ({"is_logged_in": False}, "Log in to see what your teams spend.", "Log in"),
    ],
)
def test_who_may_see_nothing_is_told_why_and_how_to_go_on(
    claims: dict[str, object], said: dict[str, object], told: str, button: str
) -> None:
    claims |= said
    page = AppTest.from_file(str(ENTRY), default_timeout=120).run()
    assert told in page.text[0].value
    assert [one.label for one in page.button] == [button]
    assert (len(page.metric), len(page.sidebar.children)) == (0, 0)
    assert words_in(str(page), ("amber", *HIDDEN)) == set()


def test_a_part_that_is_drawn_by_itself_ends_with_the_login(claims: dict[str, object]) -> None:
    handed_on = shown_lake()
    assert handed_on.known()["team"] == ["amber"]
    claims["iat"] = NOW.timestamp() - 12 * 3600 - 1
    with pytest.raises(viewer.NoAccessError):
        handed_on.known()
    with pytest.raises(viewer.NoAccessError):
        shown_lake()


def test_what_is_kept_for_one_is_not_told_to_another(lake: Path) -> None:
    today = NOW.date()
    asked = Question(Period(today - timedelta(days=6), today), ("team",))
    shown = {}
    of_teams = {"amber": ["amber"], "both": ["amber", "birch"], "named like both": ["amberstr:birch"], "none": []}
    for name, scope in {"all": EVERYTHING, **{name: scope_of_teams(named) for name, named in of_teams.items()}}.items():
        kept = Lake(lake, scope)
        frame = kept.report("movers", asked, against="previous").frame
        shown[name] = {*kept.known()["team"], *kept.totals(asked)["team"], *frame["team"]}
    assert shown == {
        "all": {"amber", "birch", "", None},
        "amber": {"amber"},
        "both": {"amber", "birch"},
        "named like both": set(),
        "none": set(),
    }
