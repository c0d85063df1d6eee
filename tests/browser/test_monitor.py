"""The page of examples/monitor, used as a person uses it."""

from __future__ import annotations

import asyncio
import re
import signal
from itertools import pairwise
from pathlib import Path

import httpx
import pytest
from playwright.async_api import Browser, Locator, Page, Route, expect

from tests.browser.conftest import tab
from tests.examples.served import DEADLINE, Monitor

pytestmark = pytest.mark.asyncio(loop_scope="session")
expect.set_options(timeout=1000 * DEADLINE)

# Whether something is drawn: more than the grid and its letters, which are grey.
COLORS = """(id) => {
    const canvas = document.getElementById(id);
    const copy = new OffscreenCanvas(canvas.width, canvas.height).getContext("2d", { willReadFrequently: true });
    copy.drawImage(canvas, 0, 0);
    const { data } = copy.getImageData(0, 0, canvas.width, canvas.height);
    let colored = 0;
    for (let at = 0; at < data.length; at += 4) {
        if (data[at + 3] > 200 && Math.abs(data[at] - data[at + 2]) > 60) colored += 1;
    }
    return colored > 20;
}"""


async def number(locator: Locator) -> int:
    return int(re.sub(r"\D", "", await locator.inner_text()) or 0)


def part(page: Page, lane: str, name: str) -> Locator:
    return page.locator(f'[data-lane="{lane}"] [data-part="{name}"]')


async def exported(monitor: Monitor, samples: int = 5) -> bytes:
    """The history as NDJSON, once there are so many samples."""
    async with httpx.AsyncClient(trust_env=False, timeout=DEADLINE) as client, asyncio.timeout(DEADLINE):
        while True:
            content = (await client.get(f"{monitor.url}/history.ndjson")).content
            if content.count(b"\n") >= samples:
                return content


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
async def test_the_page_shows_the_machine(monitor: Monitor, chromium: Browser, scheme: str, width: int) -> None:
    """Charts with lines in them, tables with rows, nothing wider than the window, and nothing from elsewhere."""
    async with tab(chromium, width=width, scheme=scheme) as page:
        hosts: set[str] = set()
        complaints: list[str] = []
        page.on("request", lambda request: hosts.add(request.url.split("/")[2]))
        page.on("console", lambda message: complaints.append(message.text))
        await page.goto(monitor.url)
        await expect(page.locator("#status")).to_have_text("Live")
        await expect(page.locator("#processes tr")).to_have_count(8)
        await expect(page.locator("#streams th")).to_have_text(["page"])
        await expect(page.locator("#totals th")).to_contain_text(["page"])
        await expect(page.locator("#circuit")).to_have_text(re.compile("closed"))
        for id in ("cpu", "memory", "network", "disk", "latency"):
            await expect(page.locator(f"#{id}")).to_have_attribute("aria-label", re.compile(r"[Cc]hart of"))
            await page.wait_for_function(COLORS, arg=id)
        assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert (hosts, complaints) == ({monitor.url.split("/")[2]}, [])


async def test_all_that_is_kept_can_be_shown(monitor: Monitor, page: Page) -> None:
    """More than the latest samples, thinned by the monitor, and back again."""
    await exported(monitor, 320)
    await page.goto(monitor.url)
    await expect(page.locator("#cpu")).to_have_attribute("aria-label", re.compile("Chart of 300 samples"))
    await page.get_by_text("all that is kept").click()
    await expect(page.locator("#cpu")).to_have_attribute(
        "aria-label", re.compile(r"Chart of (3[2-9]|[4-6]\d)\d samples")
    )
    await page.get_by_text("latest").click()
    await expect(page.locator("#cpu")).to_have_attribute("aria-label", re.compile("Chart of 300 samples"))


async def test_it_can_be_used_from_the_keyboard(monitor: Monitor, page: Page) -> None:
    """Tab reaches everything and shows where it is; the arrow keys read a chart; each control has a name."""
    await page.goto(monitor.url)
    await expect(page.locator("#processes tr")).to_have_count(8)
    await page.keyboard.press("Tab")
    await expect(page.get_by_role("link", name="Skip to the charts")).to_be_focused()
    cpu = page.locator("#cpu")
    for _ in range(20):
        await page.keyboard.press("Tab")
        if await cpu.evaluate("(canvas) => canvas === document.activeElement"):
            break
    await expect(cpu).to_be_focused()
    assert await cpu.evaluate("(canvas) => getComputedStyle(canvas).outlineStyle") == "solid"
    await page.keyboard.press("ArrowLeft")
    await expect(cpu).to_have_attribute("aria-label", re.compile(r" at \d"))
    await page.keyboard.press("Escape")
    await expect(cpu).not_to_have_attribute("aria-label", re.compile(r" at \d"))
    nameless = """() => [...document.querySelectorAll("a, button, input, canvas, progress, [role=region]")]
        .filter((node) => !(node.ariaLabel || node.labels?.length || node.textContent.trim()
            || node.hasAttribute("aria-labelledby"))).map((node) => node.outerHTML)"""
    assert await page.evaluate(nameless) == []


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
async def test_it_goes_on_after_a_restart(monitor: Monitor, page: Page, how: signal.Signals) -> None:
    """The browser comes back with the last id that it saw: no sample twice, none missing, and the page says so."""
    await page.goto(monitor.url)
    await expect(page.locator("#status")).to_have_text("Live")
    await page.evaluate("""() => {
        window.ids = [];
        const events = new EventSource("/events");
        events.addEventListener("sample", (event) => window.ids.push(Number(event.lastEventId)));
    }""")
    await page.wait_for_function("() => window.ids.length > 3")
    await monitor.restart(how)
    before = await page.evaluate("window.ids.length")
    await page.wait_for_function("(before) => window.ids.length > before + 3", arg=before)
    ids = await page.evaluate("window.ids")
    assert [after - before for before, after in pairwise(ids)] == [1] * (len(ids) - 1)
    await expect(page.locator("#status")).to_have_text("Live")


async def test_an_answer_that_was_lost_is_asked_for_again(monitor: Monitor, page: Page) -> None:
    """As in a restart: the page goes on without it, and shows it once it can be had."""
    answered = asyncio.Event()
    lost: list[str] = []

    async def lose_the_first(route: Route) -> None:
        if lost:
            await route.continue_()
            answered.set()
        else:
            lost.append(route.request.url)
            await route.abort()

    await page.route("**/imports", lose_the_first)
    await page.goto(monitor.url)
    async with asyncio.timeout(DEADLINE):
        await answered.wait()


async def test_a_slowed_reader_loses_events_and_the_page_does_not_stand_still(monitor: Monitor, page: Page) -> None:
    """Sliding and dropping lose, suspend waits; what is missing is what was dropped; and all else goes on."""
    await page.goto(monitor.url)
    await page.get_by_label("This page").focus()
    await page.keyboard.press("Home")
    await page.keyboard.press("ArrowRight")
    await page.keyboard.press("ArrowRight")
    await expect(page.locator("#pace-text")).to_have_text("takes 2 of 50 events a second")
    await page.get_by_role("button", name="Start reading").click()
    for lane, state in (("sliding", "losing"), ("dropping", "losing"), ("suspend", "waits")):
        await expect(part(page, lane, "state")).to_contain_text(state)
    await expect(part(page, "sliding", "missing")).to_have_text(re.compile(r"\d\d"))  # it is in what came
    assert await number(part(page, "sliding", "dropped")) > 0
    for name in ("dropped", "missing"):
        assert await number(part(page, "suspend", name)) == 0

    turns = """() => new Promise((resolve) => {
        let count = 0;
        const step = () => (++count === 30 ? resolve(count) : requestAnimationFrame(step));
        step();
    })"""
    assert await page.evaluate(turns) == 30
    items = await number(page.locator("#streams tr", has_text="page").locator("td").nth(2))
    await expect(page.locator("#streams tr", has_text="page").locator("td").nth(2)).not_to_have_text(str(items))
    await page.get_by_role("button", name="Stop reading").click()
    await expect(page.locator("#streams th")).to_have_text(["page"])


async def test_a_large_upload_shows_its_progress(monitor: Monitor, page: Page, tmp_path: Path) -> None:
    """The bar moves on while the monitor takes it in, and the history can be looked at and removed afterwards."""
    content = await exported(monitor)
    with (tmp_path / "large.ndjson").open("wb") as file:
        while file.tell() < 60_000_000:
            file.write(content)
    await page.goto(monitor.url)
    await page.evaluate("""() => {
        window.shares = [];
        const look = () => {
            const bar = document.querySelector("#jobs progress");
            if (bar?.hasAttribute("value") && bar.value !== window.shares.at(-1)) window.shares.push(bar.value);
        };
        const all = { subtree: true, attributes: true, childList: true };
        new MutationObserver(look).observe(document.getElementById("jobs"), all);
    }""")
    await page.set_input_files("#import-file", tmp_path / "large.ndjson")
    await expect(page.locator("#jobs .job-text")).to_contain_text("samples in ")
    shares: list[float] = await page.evaluate("window.shares")
    assert shares == sorted(shares)
    assert shares[-1] == 1 and len([share for share in shares if 0 < share < 1]) >= 2
    await expect(page.locator("#import-news")).to_contain_text("samples were imported")

    await page.reload()
    await expect(page.locator("#jobs .job-text")).to_contain_text("samples in ")
    await expect(page.locator("#import-news")).to_be_empty()  # it was said before
    await page.get_by_role("button", name="Show large.ndjson in the charts").click()
    await expect(page.locator("#imported-name")).to_contain_text("This is large.ndjson: ")
    await expect(page.locator("#machine-title")).to_be_focused()
    await page.get_by_role("button", name="Back to live").click()
    await expect(page.locator("#imported-shown")).to_be_hidden()
    page.on("dialog", lambda dialog: asyncio.ensure_future(dialog.accept()))
    await page.get_by_role("button", name="Remove large.ndjson").click()
    await expect(page.locator("#no-histories")).to_be_visible()


async def test_a_bad_line_is_shown_and_nothing_is_imported(monitor: Monitor, page: Page, tmp_path: Path) -> None:
    """The page says which line, in words that a screen reader speaks as well."""
    (tmp_path / "bad.ndjson").write_bytes(await exported(monitor, 2) + b'{"id": 3}\n')
    await page.goto(monitor.url)
    await page.set_input_files("#import-file", tmp_path / "bad.ndjson")
    await expect(page.locator("#jobs .job-text")).to_have_text(re.compile(r"Nothing was imported: line \d+ "))
    await expect(page.locator("#import-news")).to_contain_text("nothing was imported")
    await expect(page.locator("#no-histories")).to_be_visible()


async def test_an_upload_that_is_cancelled_leaves_nothing(monitor: Monitor, page: Page, tmp_path: Path) -> None:
    """The button ends it, the page says so, and no file stays."""
    content = await exported(monitor)
    with (tmp_path / "large.ndjson").open("wb") as file:
        while file.tell() < 400_000_000:
            file.write(content * 100)
    await page.goto(monitor.url)
    await page.set_input_files("#import-file", tmp_path / "large.ndjson")
    await page.get_by_role("button", name="Cancel the import of large.ndjson").click()
    await expect(page.locator("#jobs .job-text")).to_contain_text("Nothing was imported")
    async with asyncio.timeout(DEADLINE):
        while list(monitor.imports.iterdir()):  # noqa: ASYNC110 - a file system has no event
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("kind", ["CSV", "JSON", "NDJSON", "SQLite"])
async def test_a_history_can_be_saved(monitor: Monitor, page: Page, tmp_path: Path, kind: str) -> None:
    """Each link gives a file that is whole, with the first sample in it."""
    content = await exported(monitor)
    at = re.findall(rb'"at":"([^"]+)"', content)[0]
    await page.goto(monitor.url)
    async with page.expect_download() as saving:
        await page.locator(".downloads").get_by_role("link", name=kind, exact=True).click()
    download = await saving.value
    assert await download.failure() is None
    assert download.suggested_filename == f"history.{'sqlite3' if kind == 'SQLite' else kind.lower()}"
    await download.save_as(tmp_path / "saved")
    assert at in (tmp_path / "saved").read_bytes()


async def test_the_switch_opens_the_circuit(monitor: Monitor, page: Page) -> None:
    """From the keyboard: the source fails, the circuit opens, the page says so; switched back, it recovers."""
    await page.goto(monitor.url)
    await expect(page.locator("#latency-figure")).to_contain_text("ms")
    await page.get_by_role("switch", name="Make it fail").focus()
    await page.keyboard.press("Space")
    await expect(page.locator("#circuit")).to_have_text("open: left alone")
    await expect(page.locator("#circuit-changes li").first).to_contain_text("open")
    await expect(page.locator("#latency-figure")).to_have_text("none")
    await page.keyboard.press("Space")
    await expect(page.locator("#circuit")).to_have_text("closed: measuring")
    await expect(page.locator("#circuit-error")).to_have_text("none")
