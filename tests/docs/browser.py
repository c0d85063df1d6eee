"""A tab of a real browser, with a fresh profile, for what only a browser shows."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from playwright.async_api import Page, async_playwright

from tests.docs.running import DEADLINE

SWITCHES = [
    "--no-sandbox",
    "--no-first-run",
    *(f"--disable-{name}" for name in ("background-networking", "component-update", "gpu", "quic", "sync")),
]


@asynccontextmanager
async def tab(program: str, *, dark: bool = False) -> AsyncIterator[Page]:
    """A page of the browser that is at this path; what its scripts do wrong fails the test."""
    wrong: list[str] = []
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=program, args=SWITCHES)
        page = await browser.new_page(color_scheme="dark" if dark else "light")
        page.set_default_timeout(DEADLINE * 1000)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        yield page
        await browser.close()
    assert wrong == []
