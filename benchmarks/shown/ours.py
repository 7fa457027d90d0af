"""The way of a reader through our dashboard: from all days down to a request, and back, a click a step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import partial
from pathlib import Path
from typing import Any, Final

from asked.draws import A_DAY, draw
from made.files import LAST, about
from shown.browser import Times, Visit
from spanledger_dashboard.state import PERIODS

STEPS: Final = ("day -> hours", "hours -> users", "users -> requests", "requests -> trace")
WITH_CAUSES: Final = "requests -> trace and its causes"
"""A trace stands when its waterfall does, with all words around it; why it costs that comes after it, in places that
are kept free. Both are timed from the same click.
"""
BACK: Final = ("back to requests", "back to users", "back to hours", "back to days")
OVERVIEW: Final = "/"
ROW_PX: Final = 36
"""Of a table."""
NAME_PX: Final = 330
"""From a table's left to a request's name."""
AFTER: Final = "[class*=st-key-card-why], [class*=st-key-card-drivers]"
"""Cards of a trace that come when its waterfall is on the screen: they are timed by themselves."""
WHOLE: Final = (
    "document.querySelector('[data-testid=stApp]')?.dataset.testScriptState === 'notRunning'"
    " && document.querySelector('[data-testid=stHeading]')?.innerText.trim()"
    f" && [...document.querySelectorAll('[data-testid=stSkeleton]')].every(one => one.closest('{AFTER}'))"
    " && [...document.querySelectorAll('[data-testid=stPlotlyChart]')]"
    f".every(chart => chart.closest('{AFTER}') || chart.querySelector('.bars .point path'))"
)
"""The page's own test that all stands that a script drew: it has ended, and every figure is there."""
CAUSES: Final = (
    "holds('[class*=st-key-card-why]', '.bars .point path, .scatterlayer .trace')"
    " && holds('[class*=st-key-card-drivers]', '.bars .point path')"
)
"""What comes after a trace's waterfall."""
ON_OVERVIEW: Final = f"document.querySelector('.st-key-days .bars .point path') && {WHOLE}"


@dataclass(frozen=True, slots=True)
class Way:
    """Where one walk goes."""

    period: int
    """Days that the first level shows."""
    place: int
    """Of the day among them."""
    hour: int
    user: str
    row: int
    """Of the user's requests, counted anew at the end of the table."""

    @property
    def start(self) -> str:
        """The address of the first level."""
        return f"/explore?days={self.period}"


def ways(lake: Path, count: int) -> list[Way]:
    """Return so many ways, each to another day as far as the lake has days."""
    days = about(lake)["made"]["days"]
    drawn = draw(lake, [LAST - timedelta(days=days - 1 - place) for place in range(days)], count * A_DAY)
    period = max(period for period in PERIODS if period <= days)
    found = []
    for number in range(count):
        one = drawn[number * A_DAY + number % 2]
        place = period - 1 - (LAST - date.fromisoformat(one["day"])).days
        found.append(Way(period, place, one["hour"], one["user"], number))
    return found


def level(address: str, chart: str) -> str:
    """Return the page's own test that a level stands, whose query matches `address` and which has a chart or table."""
    drawn = f"holds('[class*=st-key-{chart}]', '.bars .point path, canvas, [role=treeitem]')"
    return f"/{address}/.test(location.search) && {drawn} && {WHOLE}"


def first_level() -> str:
    """Return the page's own test that the first level stands."""
    return level(r"days=\d+$", "days")


async def walk(visit: Visit, way: Way) -> dict[str, Times]:
    """Go down and back once, and return the times of each step. The page must show the first level."""
    levels = [
        (level(r"[?&]d=[^&]*$", "hours"), lambda: press_bar(visit, "days", way.place)),
        (level(r"[?&]h=\d+$", "users"), lambda: press_bar(visit, "hours", way.hour)),
        (level(r"[?&]u=[^&]*$", "requests"), lambda: press_user(visit, way.user)),
        (level(r"[?&]t=\w+$", "waterfall"), lambda: press_row(visit, "requests", way.row)),
    ]
    times: dict[str, Times] = {}
    for step, (stands, act) in zip(STEPS, levels, strict=True):
        wanted = (stands, f"{stands} && {CAUSES}") if step == STEPS[-1] else (stands,)
        found = await visit.timed_each(partial(visit.press_until_noticed, act), *wanted)
        times |= dict(zip((step, WITH_CAUSES), found, strict=False))
    above = [first_level(), *(stands for stands, _ in levels[:-1])]
    for step, stands in zip(BACK, reversed(above), strict=True):
        times[step] = await visit.timed(visit.back, stands)
    return times


async def walks(visit: Visit, drawn: Sequence[Way]) -> dict[str, list[Times]]:
    """Go every way, and return the times of each step. The page must show the first level."""
    gone = [await walk(visit, way) for way in drawn]
    return {step: [times[step] for times in gone] for step in (*STEPS, WITH_CAUSES, *BACK)}


async def press_bar(visit: Visit, chart: str, place: int) -> None:
    """Press the n-th column or row of the hit layer of a chart."""
    hit = visit.page.locator(f".st-key-{chart} .js-plotly-plot .trace.bars").last.locator(".point path").nth(place)
    box = await hit.bounding_box()
    if box is None:
        raise SystemExit(f"the chart {chart!r} has no place {place}")
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    await visit.page.mouse.move(x, y)
    # Plotly takes a click only where it has noticed the pointer.
    await visit.page.wait_for_selector(f".st-key-{chart} .hoverlayer .hovertext")
    await visit.press(x, y)


async def press_user(visit: Visit, user: str) -> None:
    """Press a user's bar; the dearest one's where the chart leaves the user out."""
    ids: list[Any] = await visit.page.evaluate(
        "() => document.querySelector('.st-key-users .js-plotly-plot').data.at(-1).customdata.map(([id]) => id)"
    )
    await press_bar(visit, "users", ids.index(user) if user in ids else 0)


async def press_row(visit: Visit, table: str, row: int) -> None:
    """Press the name in a row of a table, which is drawn on a canvas."""
    box = await visit.page.locator(f".st-key-{table} canvas").first.bounding_box()
    if box is None:
        raise SystemExit(f"there is no table {table!r}")
    rows = max(1, int(box["height"]) // ROW_PX - 1)
    await visit.press(box["x"] + NAME_PX, box["y"] + ROW_PX * (row % rows + 1) + ROW_PX / 2)
