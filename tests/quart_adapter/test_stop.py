"""A server that stops with streams open: each of them ends, its source is cleaned up, and the process goes."""

from __future__ import annotations

import asyncio
import re
import resource
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import psutil  # type: ignore[import-untyped, unused-ignore]
import pytest

from quart_adapter.testing import EventParser
from tests.servers import H1Client, H2Client, Reset, Server, Truncated
from tests.servers.process import DEADLINE

APP = "tests.servers.apps.streams:app"
CLIENTS = 100
THOUSAND = 1000


@pytest.fixture(params=["hypercorn", "uvicorn", "granian", "hypercorn-worker"])
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    """A server for one test, since it is stopped; Hypercorn's worker processes need the opt-in."""
    kind: Any = request.param
    own = Server(kind, APP, patch_hypercorn=kind == "hypercorn-worker", shutdown_grace=0.5)
    yield own
    own.stop()


@asynccontextmanager
async def clients(server: Server, count: int) -> AsyncIterator[list[H1Client]]:
    """Connections."""
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(await H1Client.connect(server.address)) for _ in range(count)]


def cleaned_up(server: Server) -> tuple[int, int, int]:
    """What the app told at its very end: sources started and cleaned up, streams live."""
    told = re.findall(r"started (\d+) cleaned (\d+) live (\d+)", server.output())
    assert told, server.output()
    started, cleaned, live = map(int, told[-1])
    return started, cleaned, live


class Reader:
    """Counts the events of a client: what its source was asked for may still be on its way."""

    def __init__(self, client: H1Client) -> None:
        self._chunks = client.chunks()
        self._parser = EventParser()
        self._count = 0

    async def events(self, count: int | None = None) -> int:
        """The events up to now, once there are so many; or at the clean end."""
        while self._count != count and (chunk := await anext(self._chunks, None)) is not None:
            self._count += len(self._parser.feed(chunk))
        return self._count


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_event_streams_end_well(server: Server, key: str, number: signal.Signals) -> None:
    """Every client reads its stream to a clean end, and the process is gone."""
    async with clients(server, CLIENTS) as many:
        for client in many:
            await client.request(f"/sse?key={key}&then=wait")
        for client in many:
            await client.response()
        readers = [Reader(client) for client in many]
        await asyncio.gather(*(reader.events(3) for reader in readers))
        server.signal(number)
        assert await asyncio.gather(*(reader.events() for reader in readers)) == [3] * CLIENTS
    await server.ended()
    assert cleaned_up(server) == (CLIENTS, CLIENTS, 0)
    assert server.troubles() == []


@pytest.fixture
def many_files() -> Iterator[None]:
    """As many open files as a thousand connections need, here and in the servers that are started."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = 2 * THOUSAND
    if soft != resource.RLIM_INFINITY and soft < needed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed if hard == resource.RLIM_INFINITY else hard, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize("kind", ["hypercorn", "uvicorn"])
async def test_a_thousand_streams_end_well(many_files: None, key: str, kind: Any) -> None:
    """With a thousand streams open every client reads its stream to a clean end, and the process is gone."""
    server = Server(kind, APP)
    try:
        async with clients(server, THOUSAND) as many:
            for client in many:
                await client.request(f"/sse?key={key}&count=1&then=wait")
            await server.until(key, pulled=THOUSAND)
            for client in many:
                await client.response()
            readers = [Reader(client) for client in many]
            await asyncio.gather(*(reader.events(1) for reader in readers))
            server.signal(signal.SIGTERM)
            assert await asyncio.gather(*(reader.events() for reader in readers)) == [1] * THOUSAND
            await server.ended()
        assert cleaned_up(server) == (THOUSAND, THOUSAND, 0)
        assert server.troubles() == []
    finally:
        server.stop()


async def test_streams_without_an_end_are_cut_off(server: Server, key: str) -> None:
    """A download that does not end within the grace is cut off, and its client sees that."""
    async with clients(server, 3) as (waiting, busy, threaded):
        await waiting.request(f"/bytes?key={key}&then=wait")
        await busy.request(f"/bytes?key={key}&count=0&pause=0.01")
        await threaded.request(f"/thread?key={key}-3&size=50")
        for client in (waiting, busy, threaded):
            await client.response()
        await server.until(key, pulled=6)
        server.signal(signal.SIGTERM)
        for client in (waiting, busy, threaded):
            with pytest.raises(Truncated):
                await client.body()
    await server.ended()
    assert cleaned_up(server)[2] == 0
    assert server.troubles() == []


async def test_a_download_in_time_is_whole(server: Server, key: str) -> None:
    """The grace is there to finish what is nearly done."""
    async with clients(server, 1) as (client,):
        await client.request(f"/bytes?key={key}&pause=0.05")
        await client.response()
        server.signal(signal.SIGTERM)
        assert await client.body() == b"000011112222"
    await server.ended()


async def test_a_handler_that_waits_for_its_first_item(server: Server, key: str) -> None:
    """No response has begun: the client gets a status, and the process goes."""
    async with clients(server, 1) as (client,):
        await client.request(f"/late?key={key}")
        await server.until(key, started=1)
        server.signal(signal.SIGTERM)
        status = (await client.response()).status
        assert status == 503 if server.kind != "granian" else status >= 500  # granian may be faster with its own
    await server.ended()
    assert cleaned_up(server) == (1, 1, 0)


# Not granian, which makes its own sockets: their buffers are so large that its client does not stall.
@pytest.mark.parametrize("server", ["hypercorn", "uvicorn", "hypercorn-worker"], indirect=True)
async def test_a_client_that_stalls_does_not_hold_the_server(server: Server, key: str) -> None:
    """A client that reads nothing cannot keep the process alive beyond the server's own limits."""
    async with await H1Client.connect(server.address, receive_buffer=4096) as client:
        await client.request(f"/bytes?key={key}&count=0&size=65536")
        await server.settled(key)
        server.signal(signal.SIGTERM)
        await client.rest_of_connection()
    await server.ended()
    assert cleaned_up(server) == (1, 1, 0)


async def test_http2_streams_end(key: str) -> None:
    """HTTP/2: event streams end well, and a download is reset."""
    server = Server("hypercorn", APP, patch_hypercorn=True, shutdown_grace=0.5)
    try:
        async with await H2Client.connect(server.address) as client:
            events = await client.request(f"/sse?key={key}&then=wait")
            endless = await client.request(f"/bytes?key={key}-2&then=wait")
            await server.until(key, pulled=3)
            await server.until(f"{key}-2", pulled=3)
            server.signal(signal.SIGTERM)
            assert len(EventParser().feed(await client.body(events))) == 3
            with pytest.raises(Reset):
                await client.body(endless)
        await server.ended()
        assert cleaned_up(server) == (2, 2, 0)
    finally:
        server.stop()


async def test_a_worker_that_is_terminated_ends_its_streams(key: str) -> None:
    """Hypercorn's parent does that to the others once one worker has stopped."""
    server = Server("hypercorn-worker", APP, patch_hypercorn=True, shutdown_grace=0.5)
    try:
        async with clients(server, 1) as (client,):
            await client.request(f"/sse?key={key}&then=wait")
            await client.response()
            await server.until(key, pulled=3)
            children = psutil.Process(server.process.pid).children()
            (worker,) = [child for child in children if "spawn_main" in " ".join(child.cmdline())]
            worker.terminate()
            assert len(EventParser().feed(await client.body())) == 3
            await asyncio.to_thread(worker.wait, DEADLINE)
        assert cleaned_up(server) == (1, 1, 0)
    finally:
        server.stop()


@pytest.mark.parametrize("kind", ["hypercorn", "uvicorn"])
async def test_an_app_inside_another(kind: Any, key: str) -> None:
    """Started and shut down by the outer app, it ends its streams as it does alone."""
    outer = Server(kind, "tests.servers.apps.mounted:app")
    try:
        async with clients(outer, 3) as many:
            for client in many:
                await client.request(f"/sse?key={key}&then=wait")
                await client.response()
            await outer.until(key, pulled=9)
            outer.signal(signal.SIGTERM)
            bodies = await asyncio.gather(*(client.body() for client in many))
            assert all(len(EventParser().feed(body)) == 3 for body in bodies)
        await outer.ended()
        assert cleaned_up(outer) == (3, 3, 0)
    finally:
        outer.stop()
