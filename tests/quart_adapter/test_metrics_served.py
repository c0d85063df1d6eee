"""`/metrics` of real servers, read by the library's own parser; with two workers they show one set of figures."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import httpx
import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from tests.quart_adapter.forms import BOUNDARY, FILE, form
from tests.servers import Server
from tests.servers.h1 import Client as H1Client
from tests.servers.process import DEADLINE

APP = "tests.servers.apps.metered:app"


class Scraped:
    """What one scrape gave."""

    def __init__(self, text: str) -> None:
        self.samples = [sample for family in parse_text(text) for sample in family.samples]

    def __call__(self, name: str, **labels: str) -> float:
        """The one sample with these labels; 0 where there is none yet."""
        found = [s.value for s in self.samples if s.name == name and labels.items() <= s.labels.items()]
        assert len(found) <= 1, found
        return float(found[0]) if found else 0.0


class Site:
    """A server and a client for it, each of whose requests has a connection of its own: any worker may take it."""

    def __init__(self, server: Server) -> None:
        self.server = server
        host, port = server.address
        limits = httpx.Limits(max_keepalive_connections=0)
        self.client = httpx.AsyncClient(base_url=f"http://{host}:{port}", limits=limits, timeout=DEADLINE)

    async def scrape(self, accept: str = "") -> Scraped:
        """What `/metrics` gives now."""
        answer = await self.client.get("/metrics", headers={"Accept": accept} if accept else None)
        assert answer.status_code == 200
        return Scraped(answer.text)

    async def until(self, condition: Callable[[Scraped], object]) -> Scraped:
        """Scrapes until something holds."""
        async with asyncio.timeout(DEADLINE):
            while not condition(scraped := await self.scrape()):  # noqa: ASYNC110 - another process knows
                await asyncio.sleep(0.05)
        return scraped

    async def feed(self, stack: AsyncExitStack) -> tuple[H1Client, int]:
        """An event stream that stays open, and the process that serves it."""
        client = await stack.enter_async_context(await H1Client.connect(self.server.address))
        await client.request("/feed")
        await client.response()
        body = b""
        async for chunk in client.chunks():
            body += chunk
            if b"data: " in body and body.endswith(b"\n\n"):
                break
        return client, int(body.rpartition(b"data: ")[2])

    async def pids(self, count: int) -> set[int]:
        """The processes that answer, once there are so many."""
        seen: set[int] = set()
        async with asyncio.timeout(DEADLINE):
            while len(seen) < count:
                answers = await asyncio.gather(*(self.client.get("/pid") for _ in range(8)))
                seen |= {answer.json()["pid"] for answer in answers}
        return seen


@pytest.fixture
async def site(server: Server, start_server: Callable[..., Server]) -> AsyncIterator[Site]:
    """A server of each kind, with one process."""
    site = Site(start_server(server.kind, APP))
    async with site.client:
        yield site


@pytest.fixture(params=["uvicorn-2", "hypercorn-2"])
async def workers(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Site]:
    """A server with two workers, which share their metrics in a folder that is empty when they start."""
    server = Server(request.param, APP, environment={"PROMETHEUS_MULTIPROC_DIR": str(tmp_path)})
    try:
        site = Site(server)
        async with site.client:
            await site.pids(2)
            yield site
    finally:
        server.stop()


async def test_a_scrape_of_a_real_server(site: Site) -> None:
    """Exports, failures, an upload that is refused, a circuit; every figure is exact at the next scrape."""
    before = await site.scrape()
    for _ in range(3):
        assert (await site.client.get("/rows?count=1000")).status_code == 200
    with pytest.raises(httpx.RemoteProtocolError):
        await site.client.get("/rows?count=10&fail=1")
    body = form((FILE, b"x" * 5000))
    headers = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
    assert (await site.client.post("/form", content=body, headers=headers)).status_code == 413
    for status in (500, 503, 503):
        assert (await site.client.get("/stock")).status_code == status

    def over(now: Scraped) -> bool:
        return now("stream_duration_seconds_count", stream="rows", outcome="completed") == 3

    after = await site.until(over)
    assert before("stream_elements_total", stream="rows") == 0
    assert after("stream_elements_total", stream="rows") == 3010
    assert after("stream_errors_total", stream="rows") == 1
    assert after("stream_active", stream="rows") == 0
    assert after("stream_upload_rejections_total", stream="form", code="file_too_large") == 1
    assert after("stream_circuit_state", circuit="inventory") == 2
    assert after("stream_circuit_rejections_total", circuit="inventory") == 2
    assert after("stream_circuit_transitions_total", circuit="inventory", to="open") == 1


async def test_openmetrics_of_a_real_server(site: Site) -> None:
    """As Prometheus itself asks for it."""
    accept = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
    answer = await site.client.get("/metrics", headers={"Accept": accept})
    assert answer.headers["Content-Type"].startswith("application/openmetrics-text; version=1.0.0")
    assert "stream_active" in {family.name for family in parse_openmetrics(answer.text)}


async def test_clients_come_and_go(site: Site) -> None:
    """The gauge follows."""
    async with AsyncExitStack() as stack:
        for count in range(1, 4):
            await site.feed(stack)
            assert (await site.scrape())("stream_active", stream="feed") == count
    await site.until(lambda now: now("stream_active", stream="feed") == 0)


async def test_two_workers_count_together(workers: Site) -> None:
    """200 rows in 20 exports, from both: any of them tells all."""
    pids: set[int] = set()

    async def export() -> None:
        answer = await workers.client.get("/rows?count=10")
        assert answer.text.count("\n") == 10

    await asyncio.gather(*(export() for _ in range(20)))
    await workers.until(lambda now: now("stream_elements_total", stream="rows") == 200)
    for _ in range(6):
        scraped = await workers.scrape()
        assert scraped("stream_elements_total", stream="rows") == 200
        assert scraped("stream_duration_seconds_count", stream="rows", outcome="completed") == 20
        assert scraped("stream_active", stream="rows") == 0
    async with AsyncExitStack() as stack:
        open_streams = 0
        while len(pids) < 2 or open_streams < 6:
            pids.add((await workers.feed(stack))[1])
            open_streams += 1
        await workers.until(lambda now: now("stream_active", stream="feed") == open_streams)
    await workers.until(lambda now: now("stream_active", stream="feed") == 0)
    scraped = await workers.scrape()
    assert scraped("stream_elements_total", stream="feed") == open_streams
    assert scraped("stream_duration_seconds_count", stream="feed", outcome="cancelled") == open_streams


@pytest.mark.parametrize("workers", ["uvicorn-2"], indirect=True)
async def test_the_streams_of_a_worker_that_is_killed_are_not_active_any_more(workers: Site) -> None:
    """It could not say so itself; what it had counted stays."""
    async with AsyncExitStack() as stack:
        by_pid: dict[int, int] = {}
        while len(by_pid) < 2:
            _, pid = await workers.feed(stack)
            by_pid[pid] = by_pid.get(pid, 0) + 1
        count = sum(by_pid.values())
        await workers.until(lambda now: now("stream_active", stream="feed") == count)
        await workers.until(lambda now: now("stream_elements_total", stream="feed") == count)
        victim, lost = min(by_pid.items(), key=lambda entry: entry[1])
        os.kill(victim, signal.SIGKILL)
        await workers.until(lambda now: now("stream_active", stream="feed") == count - lost)
        assert (await workers.scrape())("stream_elements_total", stream="feed") == count
    await workers.until(lambda now: now("stream_active", stream="feed") == 0)


async def test_workers_that_stop_leave_all_that_they_counted(workers: Site, tmp_path: Path) -> None:
    """The last report comes with the end of the server, and not up to a second before."""
    await asyncio.gather(*(workers.client.get("/rows?count=10") for _ in range(20)))
    workers.server.signal(signal.SIGTERM)
    await workers.server.ended()
    registry = CollectorRegistry()
    MultiProcessCollector(registry, path=str(tmp_path))  # type: ignore[no-untyped-call]
    labels = {"stream": "rows", "format": "ndjson", "direction": "out"}
    assert registry.get_sample_value("stream_elements_total", labels) == 200
    assert registry.get_sample_value("stream_duration_seconds_count", {**labels, "outcome": "completed"}) == 20


@pytest.mark.parametrize("workers", ["uvicorn-2"], indirect=True)
async def test_the_worst_state_of_a_circuit_shows(workers: Site) -> None:
    """Each worker has a circuit of its own; one that is open is not hidden by the other."""
    opened = 0
    while opened < 2:
        opened += (await workers.client.get("/stock")).status_code == 500
        if opened == 1:
            await workers.until(lambda now: now("stream_circuit_state", circuit="inventory") == 2)

    def both(now: Scraped) -> bool:
        return now("stream_circuit_transitions_total", circuit="inventory", to="open") == 2

    assert (await workers.until(both))("stream_circuit_state", circuit="inventory") == 2
