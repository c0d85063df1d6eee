"""The tutorial's app at its end, and its page in a real browser."""

from __future__ import annotations

from collections.abc import Callable

from tests.docs.browser import tab
from tests.docs.pages import ROOT, blocks
from tests.docs.running import Runner


async def test_the_page_shows_the_readings(runner: Runner, tool: Callable[[str], str]) -> None:
    """The number on it is a temperature, and changes."""
    for block in blocks(ROOT / "docs" / "tutorial.md"):
        if block.title in ("app.py", "static/index.html"):
            runner.run(block)
    runner.shell.serve("hypercorn -w 0 app")
    changes = "([id, old]) => ![old, 'waiting'].includes(document.getElementById(id).value)"
    async with tab(tool("chromium")) as page:
        await page.goto(f"http://{runner.shell.address}/static/index.html")
        await page.wait_for_function(changes, arg=["celsius", ""])
        shown = await page.locator("#celsius").text_content() or ""
        assert 0 < float(shown) < 40
        await page.wait_for_function(changes, arg=["celsius", shown])
