"""The pictures in the README: each is of the page as it is when what it shows is there.

`pytest tests/browser/test_pictures.py --screenshots` takes them anew, into docs/images.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from playwright.async_api import Browser, FloatRect, Page, expect

from tests.browser.conftest import tab
from tests.browser.test_monitor import exported, part
from tests.examples.served import Monitor

pytestmark = pytest.mark.asyncio(loop_scope="session")

ROOT = Path(__file__).parents[2]
IMAGES = ROOT / "docs" / "images"
Take = Callable[[Page, str, str, str], Awaitable[None]]


@pytest.fixture
def take(pytestconfig: pytest.Config) -> Take:
    """Takes a picture from one element to another, if it was asked for. That the two are there is checked anyway."""

    async def taken(page: Page, name: str, first: str, last: str) -> None:
        await page.evaluate("scrollTo(0, 0)")
        boxes = [await page.locator(element).bounding_box() for element in (first, last)]
        above, below = boxes
        assert above is not None and below is not None
        assert min(above["width"], above["height"], below["height"]) > 20
        if pytestconfig.getoption("--screenshots"):
            clip: FloatRect = {
                "x": 0,
                "y": above["y"] - 12,
                "width": page.viewport_size["width"] if page.viewport_size else above["width"],
                "height": below["y"] + below["height"] - above["y"] + 24,
            }
            await page.screenshot(path=IMAGES / f"{name}.png", full_page=True, clip=clip)

    return taken


@pytest.fixture
def enough(pytestconfig: pytest.Config) -> int:
    """Samples that make a chart: for a picture, more."""
    return 300 if pytestconfig.getoption("--screenshots") else 10


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_picture_of_the_machine(
    monitor: Monitor, chromium: Browser, take: Take, enough: int, scheme: str
) -> None:
    """The charts."""
    async with tab(chromium, width=1100, scheme=scheme) as page:
        await page.goto(monitor.url)
        await exported(monitor, enough)
        await expect(page.locator("#latency-figure")).to_contain_text("ms")
        await expect(page.locator("#cpu")).to_have_attribute("aria-label", re.compile(r"\d\d samples"))
        await take(page, f"monitor-{scheme}", "header", ".latency")


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_picture_of_the_slow_reader(
    monitor: Monitor, chromium: Browser, take: Take, enough: int, scheme: str
) -> None:
    """Three strategies under the same slow reader."""
    async with tab(chromium, width=1100, scheme=scheme) as page:
        await page.goto(monitor.url)
        await page.get_by_role("button", name="Start reading").click()
        await expect(part(page, "sliding", "state")).to_contain_text("losing")
        await expect(part(page, "suspend", "state")).to_contain_text("waits")
        if enough > 100:
            await expect(part(page, "suspend", "read")).to_have_text(re.compile("2[0-9]{2}"))
            await expect(part(page, "suspend", "state")).to_contain_text("waits")
        await take(page, f"slow-reader-{scheme}", "#reader", "#reader .cards")


async def test_the_readme_shows_them() -> None:
    """Each picture that the README names is there, and is small; each that is there is shown."""
    named = re.findall(r"docs/images/([\w-]+\.png)", (ROOT / "README.md").read_text())
    assert sorted(set(named)) == sorted(path.name for path in IMAGES.glob("*.png"))
    assert all((IMAGES / name).stat().st_size < 200_000 for name in named)
