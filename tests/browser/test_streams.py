"""What Chromium makes of our responses: events, reconnection, tabs that are closed, downloads, failures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from playwright.async_api import Page

from tests.servers import Server
from tests.servers.apps.browser import AWKWARD, BLOB

pytestmark = pytest.mark.asyncio(loop_scope="session")

LISTEN = """
([path, kinds, last]) => new Promise((resolve) => {
  const seen = [];
  const events = new EventSource(path);
  for (const kind of kinds) {
    events.addEventListener(kind, (event) => {
      seen.push([event.type, event.data, event.lastEventId]);
      if (kind === last) { events.close(); resolve(seen); }
    });
  }
})
"""


@pytest.fixture(params=["hypercorn", "uvicorn"])
def site(request: pytest.FixtureRequest, start_server: Any) -> Server:
    """The app of tests/servers/apps/browser.py."""
    server: Server = start_server(request.param, "tests.servers.apps.browser:app")
    return server


def at(site: Server, path: str = "/") -> str:
    return f"http://127.0.0.1:{site.address[1]}{path}"


async def test_events_arrive_as_they_were_sent(site: Server, page: Page) -> None:
    """Lines, spaces, colons, emptiness, any Unicode, types and ids: the browser sees what the app meant."""
    await page.goto(at(site))
    kinds = sorted({event.event or "message" for event in AWKWARD})
    seen = await page.evaluate(LISTEN, ["/awkward", kinds, "end"])
    expected, last = [], ""
    for event in AWKWARD:
        last = last if event.id is None else event.id
        expected.append([event.event or "message", event.data, last])
    place = next(place for place, event in enumerate(AWKWARD) if not isinstance(event.data, str))
    seen[place][1] = json.loads(seen[place][1])
    assert seen == expected


@pytest.mark.parametrize("id", ["7", "ключ 😀", 'a "quoted", b; c=d', "x" * 1024])
async def test_a_browser_that_comes_back_brings_the_last_id(site: Server, page: Page, id: str) -> None:
    """The stream ends, the browser reconnects by itself, and the route is told the id that the last event had."""
    await page.goto(at(site))
    seen = await page.evaluate(LISTEN, [f"/again?id={quote(id)}", ["message", "known"], "known"])
    assert seen == [["message", "go on", id], ["known", id, id]]


async def test_a_tab_that_is_closed_frees_its_stream(site: Server, page: Page, key: str) -> None:
    """The source is cleaned up as soon as the tab has gone: the app itself says when."""
    await page.goto(at(site))
    await page.evaluate(f"""() => new Promise((resolve) => {{
        window.events = new EventSource("/numbers?key={key}");
        window.events.addEventListener("message", resolve, {{ once: true }});
    }})""")
    assert (await site.state(key)).get("cleaned", 0) == 0
    await page.close()
    assert (await site.until(key, cleaned=1))["started"] == 1


async def test_a_tab_that_goes_elsewhere_frees_its_stream(site: Server, page: Page, key: str) -> None:
    """The same for a link that is followed, though the page may be kept for the way back."""
    await page.goto(at(site))
    await page.evaluate(f"""() => new Promise((resolve) => {{
        new EventSource("/numbers?key={key}").addEventListener("message", resolve, {{ once: true }});
    }})""")
    await page.goto("about:blank")
    assert (await site.until(key, cleaned=1))["started"] == 1


async def test_a_fetch_that_is_aborted_frees_its_stream(site: Server, page: Page, key: str) -> None:
    """A script that has enough ends the stream at its source."""
    await page.goto(at(site))
    await page.evaluate(f"""async () => {{
        const abort = new AbortController();
        const answer = await fetch("/numbers?key={key}", {{ signal: abort.signal }});
        await answer.body.getReader().read();
        abort.abort();
    }}""")
    assert (await site.until(key, cleaned=1))["started"] == 1


async def save(page: Page, path: str) -> Any:
    """Follows a link to a file, as a person would."""
    await page.evaluate("(path) => { document.getElementById('link').href = path; }", path)
    async with page.expect_download() as saving:
        await page.click("#link")
    return await saving.value


@pytest.mark.parametrize("path", ["/blob", "/blob?size"])
async def test_a_download_arrives_whole(site: Server, page: Page, tmp_path: Path, path: str) -> None:
    """With a length that is known and without, under its name."""
    await page.goto(at(site))
    download = await save(page, path)
    assert await download.failure() is None
    assert download.suggested_filename == "blöb.bin"
    await download.save_as(tmp_path / "saved")
    assert (tmp_path / "saved").read_bytes() == BLOB


@pytest.mark.parametrize("kind", ["csv", "json", "ndjson"])
async def test_a_failed_export_is_shown_as_failed(site: Server, page: Page, kind: str) -> None:
    """What broke off after many whole rows is no finished download, whatever the format."""
    await page.goto(at(site))
    download = await save(page, f"/broken.{kind}")
    assert await download.failure() is not None


@pytest.mark.parametrize("kind", ["csv", "json", "ndjson"])
async def test_a_failed_export_fails_for_a_script(site: Server, page: Page, kind: str) -> None:
    """`fetch` answers, since the head was sent; reading the body is the error. Without a row there is a status."""
    await page.goto(at(site))
    ends = await page.evaluate(
        """async (kind) => {
            const answer = await fetch(`/broken.${kind}`);
            const end = await answer.text().then(() => "whole", (error) => error.name);
            return [answer.status, end, (await fetch(`/broken.${kind}?rows=0`)).status];
        }""",
        kind,
    )
    assert ends == [200, "TypeError", 500]
