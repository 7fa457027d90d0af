"""Other people's dashboards for traces, on the same spans: how each is started and clicked through.

Each product goes the same round: its list of traces, one of them opened, Back, the cost of each day, Back. A step of
theirs has ended when what is named here stands; ours has to stand whole. Products take turns in one browser. They hear
on loopback only, are told to send nothing home, and what their pages ask of other hosts is counted.
"""

from __future__ import annotations

import contextlib
import json
import urllib.error
import urllib.request
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

from made.files import LAST, about
from shown.brought import PATIENCE_S, bare_environment, installed, send, store_of
from shown.browser import Times, Visit, browser, visit
from shown.ours import level, press_row, ways
from shown.processes import Server, dashboard, free_port, serving
from shown.times import spread

OURS: Final = "spanledger"
STEPS: Final = ("first load of the list", "open a trace", "back to the list", "cost by day", "back to the list again")
ROWS: Final = 10
"""Of the list, that are opened in turn."""


@dataclass(frozen=True, slots=True)
class Product:
    """A dashboard as this benchmark clicks it; tests of what stands are the page's own."""

    name: str
    address: str
    path: str
    """Of the list of traces."""
    list_stands: str
    open: Callable[[Visit, int], Awaitable[object]]
    trace_stands: str
    to_cost: Callable[[Visit], Awaitable[object]]
    cost_stands: str
    prepare: Callable[[Visit], Awaitable[object]]
    """Closes what a page greets its first visitor with."""


async def beside_peers(lake: Path, runs: int, scratch: Path) -> dict[str, Any]:
    """Return the figures of every product over the spans of a lake."""
    with contextlib.ExitStack() as stack:
        served = stack.enter_context(dashboard(lake, scratch / "beside.log"))
        products = [ours(served, lake), *(stack.enter_context(peer(lake)) for peer in (phoenix, mlflow))]
        times: dict[str, dict[str, list[Times]]] = {one.name: {step: [] for step in STEPS} for one in products}
        for _ in range(runs):
            for product in products:
                times[product.name][STEPS[0]].append(await first_load(product))
        async with browser() as started, contextlib.AsyncExitStack() as pages:
            visits = [await pages.enter_async_context(visit(started, one.address)) for one in products]
            for one, product in zip(visits, products, strict=True):
                await one.load(product.path, product.list_stands)
                await product.prepare(one)
            for run in range(runs):
                for one, product in zip(visits, products, strict=True):
                    for step, took in (await go_round(one, product, run)).items():
                        times[product.name][step].append(took)
            asked = {one.name: len(of.foreign) for one, of in zip(products, visits, strict=True)}
    return {
        "lake": about(lake),
        "steps": {step: compared({name: steps[step] for name, steps in times.items()}) for step in STEPS},
        "asked_of_other_hosts": asked,
    }


async def first_load(product: Product) -> Times:
    """Open the list of traces in a browser that has just been started."""
    async with browser() as started, visit(started, product.address) as one:
        return await one.load(product.path, product.list_stands)


async def go_round(one: Visit, product: Product, run: int) -> dict[str, Times]:
    """Open a trace from the list, go back, see the cost of each day, and go back."""
    return {
        STEPS[1]: await one.timed(lambda: product.open(one, run % ROWS), product.trace_stands),
        STEPS[2]: await one.timed(one.back, product.list_stands),
        STEPS[3]: await one.timed(lambda: product.to_cost(one), product.cost_stands),
        STEPS[4]: await one.timed(one.back, product.list_stands),
    }


def compared(times: dict[str, list[Times]]) -> dict[str, Any]:
    """Return the figures of a step, and how many times ours the others' median is."""
    found: dict[str, dict[str, float]] = {name: spread(took) for name, took in times.items()}
    for name, one in found.items():
        if name != OURS:
            one["p50_to_ours"] = round(one["p50_ms"] / found[OURS]["p50_ms"], 2)
    return found


async def nothing(_visit: Visit) -> None:
    """Greet back."""


def ours(served: Server, lake: Path) -> Product:
    """Return our dashboard, at the requests of a user of a day."""
    way = ways(lake, 1)[0]
    day = LAST - timedelta(days=way.period - 1 - way.place)
    return Product(
        name=OURS,
        address=served.address,
        path=f"/explore?d={day}&u={way.user}",
        list_stands=level(r"[?&]u=[^&]*$", "requests"),
        open=lambda one, row: press_row(one, "requests", row),
        trace_stands=level(r"[?&]t=\w+$", "waterfall"),
        to_cost=lambda one: press(one, ".st-key-crumb-0 button"),
        cost_stands=level("^$", "days"),
        prepare=nothing,
    )


@contextlib.contextmanager
def phoenix(lake: Path) -> Iterator[Product]:
    """Serve arize-phoenix with the spans of a lake."""
    store, port = store_of("arize-phoenix", lake), free_port()
    environment = {
        "PHOENIX_HOST": "127.0.0.1",
        "PHOENIX_PORT": str(port),
        "PHOENIX_GRPC_PORT": str(free_port()),
        "PHOENIX_WORKING_DIR": str(store),
        "PHOENIX_TELEMETRY_ENABLED": "false",
        "PHOENIX_ALLOW_EXTERNAL_RESOURCES": "false",
    }
    words = [str(installed("arize-phoenix") / "phoenix"), "serve"]
    with serving(words, port, "/healthz", store / "log", bare_environment(environment)) as server:
        send(server, lake, store)
        project = first_project(server)
        of_cost = "[...document.querySelectorAll('section')].find(part => part.innerText.startsWith('Cost'))"
        yield Product(
            name="arize-phoenix",
            address=server.address,
            path=f"/projects/{project}/traces?timeRangeKey=30d",
            list_stands="!document.querySelector('[role=dialog]')"
            f" && document.querySelectorAll('tbody tr a').length >= {ROWS}",
            open=lambda one, row: press(one, f"tbody tr:nth-child({row + 1}) a"),
            trace_stands="document.querySelector('[data-testid=trace-tree] [role=button]')"
            " && document.querySelector('[data-testid=span-details] [role=tabpanel]')",
            to_cost=lambda one: press(one, "[role=tab]:has-text('Metrics')"),
            cost_stands=f"{of_cost}?.querySelector('.recharts-rectangle')",
            prepare=nothing,
        )


@contextlib.contextmanager
def mlflow(lake: Path) -> Iterator[Product]:
    """Serve mlflow with the spans of a lake."""
    store, port = store_of("mlflow", lake), free_port()
    words = [
        str(installed("mlflow") / "mlflow"),
        "server",
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
        "--workers",
        "1",
    ]
    words += ["--backend-store-uri", f"sqlite:///{store}/mlflow.db"]
    environment = {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}
    with serving(words, port, "/health", store / "log", bare_environment(environment)) as server:
        send(server, lake, store)
        nodes = "document.querySelector('[data-testid^=timeline-tree-node-]')"
        title = "[...document.querySelectorAll('span')].find(one => one.innerText === 'Cost Over Time')"
        card = f"{title}?.parentElement.parentElement.parentElement.parentElement"
        yield Product(
            name="mlflow",
            address=server.address,
            path="/#/experiments/0/traces?startTimeLabel=LAST_30_DAYS",
            list_stands=f"!{nodes} && document.querySelectorAll('[role=row] [role=cell]').length >= {ROWS}",
            open=lambda one, row: press(
                one, f"[role=row]:nth-child({row + 1} of :has([role=cell])) [role=cell]:nth-child(2)"
            ),
            trace_stands=f"{nodes} && document.querySelector('[data-testid$=attributes-section-toggle]')",
            to_cost=lambda one: press(one, "a[href*='/overview']"),
            cost_stands=f"{card}?.querySelector('.recharts-curve, .recharts-rectangle')",
            prepare=lambda one: one.page.get_by_role("button", name="Got it").click(),
        )


def first_project(server: Server) -> str:
    """Return the id of Phoenix's one project."""
    with urllib.request.urlopen(f"{server.address}/v1/projects", timeout=PATIENCE_S) as answer:  # noqa: S310
        project: str = json.load(answer)["data"][0]["id"]
    return project


async def press(one: Visit, selector: str) -> None:
    """Press the middle of the first element that is meant."""
    found = one.page.locator(selector).first
    await found.scroll_into_view_if_needed()
    box = await found.bounding_box()
    if box is None:
        raise SystemExit(f"nothing to press: {selector}")
    await one.press(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
