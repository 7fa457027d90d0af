"""A browser whose pages note their own times: from a click until what was asked for stands on the screen."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from playwright.async_api import (
    Browser,
    ConsoleMessage,
    Page,
    TimeoutError as PlaywrightTimeout,
    ViewportSize,
    async_playwright,
)

sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))

from browsing import FLAGS, chromium

WATCHING: Final = Path(__file__).with_name("watching.js").read_text("utf-8")
VIEWPORT: Final = ViewportSize(width=1440, height=1000)
PATIENCE_MS: Final = 180_000
QUIET_MS: Final = 250
"""So long nothing may change before the next click."""
NOTICE_MS: Final = 15_000
MOST_PRESSES: Final = 3

Times = dict[str, float]
"""Milliseconds since the click: until it stood there (shown), of the last change (changed), and of the messages."""


@dataclass(slots=True)
class Visit:
    """One page in a session of its own, and what went wrong in it."""

    page: Page
    address: str
    errors: list[str] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)
    """What was asked of other hosts."""
    lost: int = 0
    """Presses that the page took no notice of."""

    def watch(self) -> None:
        """Note errors of the page and requests to other hosts from now on."""
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("console", lambda message: self._console(message))
        self.page.on("request", lambda request: self._request(request.url))

    def _console(self, message: ConsoleMessage) -> None:
        if message.type == "error" and "_stcore" not in str(message.location.get("url", "")):
            self.errors.append(message.text)

    def _request(self, url: str) -> None:
        if not url.startswith((self.address, self.address.replace("http", "ws"), "data:", "blob:")):
            self.foreign.append(url)

    async def timed(self, act: Callable[[], Awaitable[object]], stands: str) -> Times:
        """Do something, and return the times until the page's expression `stands` holds."""
        return (await self.timed_each(act, stands))[0]

    async def timed_each(self, act: Callable[[], Awaitable[object]], *stand: str) -> list[Times]:
        """Do something, and return the times until each of the page's expressions holds."""
        asked = ", ".join(f"untilShown(() => {stands}, {QUIET_MS}, {PATIENCE_MS})" for stands in stand)
        await self.page.evaluate(
            f"() => {{ window.answer = Promise.all([{asked}]); window.answer.catch(() => {{}}); }}"
        )
        await act()
        times: list[Times] = await self.page.evaluate("() => window.answer")
        return times

    async def load(self, path: str, stands: str) -> Times:
        """Open an address, and return the times since the browser began to."""
        await self.page.goto(self.address + path, wait_until="commit")
        times: Times = await self.page.evaluate(f"() => untilShown(() => {stands}, {QUIET_MS}, {PATIENCE_MS}, 0)")
        return times

    async def back(self) -> None:
        """Go back as the browser's button does."""
        await self.page.evaluate("() => goBack()")

    async def press(self, x: float, y: float) -> None:
        """Move to a place of the page and press there."""
        await self.page.mouse.move(x, y)
        await self.page.mouse.down()
        await self.page.mouse.up()

    async def press_until_noticed(self, press: Callable[[], Awaitable[object]]) -> None:
        """Press, and once more where the page told its server nothing: a busy one may miss where the pointer is."""
        for _ in range(MOST_PRESSES):
            pressing = asyncio.ensure_future(press())
            try:
                await self.page.wait_for_function("() => wasNoticed()", timeout=NOTICE_MS)
            except PlaywrightTimeout:
                self.lost += 1
            else:
                return
            finally:
                # What a late notice took away can't be pressed again.
                pressing.cancel()
                await asyncio.gather(pressing, return_exceptions=True)


@contextlib.asynccontextmanager
async def browser() -> AsyncIterator[Browser]:
    """Run Chromium, cold.

    Raises:
        SystemExit: there is none.
    """
    path = chromium()
    if path is None:
        raise SystemExit("needs Chromium: apt-get install chromium (Debian, Ubuntu) or brew install chromium")
    async with async_playwright() as playwright:
        started = await playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield started
        await started.close()


@contextlib.asynccontextmanager
async def visit(started: Browser, address: str) -> AsyncIterator[Visit]:
    """Open a page that shares nothing with others."""
    context = await started.new_context(viewport=VIEWPORT)
    await context.add_init_script(WATCHING)
    page = await context.new_page()
    page.set_default_timeout(PATIENCE_MS)
    one = Visit(page, address)
    one.watch()
    yield one
    await context.close()
