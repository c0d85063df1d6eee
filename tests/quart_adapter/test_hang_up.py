"""Clients that go, on real sockets: whatever the stream is doing, its source is cleaned up once and nothing is left."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from statistics import median
from typing import Any, Literal

import pytest

from tests.servers import H1Client, H2Client, Server

How = Literal["fin", "rst", "half_close"]


async def assert_over(server: Server, key: str) -> dict[str, Any]:
    """No stream is live; the source was started once, is cleaned up once, and pulls no more."""
    assert (await server.admin("live"))["live"] == 0
    await server.until(key, cleaned=1)
    pulled = await server.settled(key)
    state = await server.state(key)
    assert (state["started"], state["cleaned"], state.get("pulled", 0)) == (1, 1, pulled)
    return state


def go(client: Any, how: str) -> None:
    """Ends the connection."""
    getattr(client, how)()


@pytest.mark.parametrize("how", ["fin", "rst", "half_close"])
class TestHTTP1:
    """FIN, RST and half-close in each state of a stream."""

    async def test_before_the_headers(self, server: Server, key: str, how: How) -> None:
        """The handler still waits for the first item."""
        async with await H1Client.connect(server.address) as client:
            await client.request(f"/late?key={key}")
            await server.until(key, started=1)
            go(client, how)
            await assert_over(server, key)

    async def test_while_idle(self, server: Server, key: str, how: How) -> None:
        """The source has nothing to say."""
        async with await H1Client.connect(server.address) as client:
            await client.request(f"/bytes?key={key}&then=wait")
            await client.response()
            await server.until(key, pulled=3)
            go(client, how)
            await assert_over(server, key)

    async def test_an_idle_event_stream(self, server: Server, key: str, how: How) -> None:
        """Events came, and none comes any more."""
        async with await H1Client.connect(server.address) as client:
            await client.request(f"/sse?key={key}&then=wait")
            await client.response()
            await server.until(key, pulled=3)
            go(client, how)
            await assert_over(server, key)

    async def test_amid_an_event(self, server: Server, key: str, how: How) -> None:
        """The headers and a part of one large event were read."""
        async with await H1Client.connect(server.address) as client:
            await client.request(f"/sse?key={key}&pad=3000000&count=1&then=wait")
            await client.response()
            await client._exactly(10_000)
            go(client, how)
            if how == "half_close":  # the rest of the event is still written; a client of this kind reads it
                await client.rest_of_connection()
            await assert_over(server, key)

    async def test_with_the_buffer_full(self, server: Server, key: str, how: How) -> None:
        """The source is suspended, since nobody reads."""
        async with await H1Client.connect(server.address, receive_buffer=4096) as client:
            await client.request(f"/bytes?key={key}&count=0&size=65536")
            await client.response()
            await server.settled(key)
            go(client, how)
            if how == "half_close":
                await client.rest_of_connection()
            await assert_over(server, key)

    async def test_with_a_worker_thread(self, server: Server, key: str, how: How) -> None:
        """The source blocks a thread of its own, which ends with it."""
        threads = (await server.state(key))["threads"]
        async with await H1Client.connect(server.address, receive_buffer=4096) as client:
            await client.request(f"/thread?key={key}&size=65536")
            await client.response()
            await server.settled(key)
            go(client, how)
            if how == "half_close":
                await client.rest_of_connection()
            state = await assert_over(server, key)
            assert state["threads"] <= threads


STATES = {
    "before the headers": "/late?",
    "idle": "/bytes?then=wait&",
    "an idle event stream": "/sse?then=wait&",
    "amid an event": "/sse?pad=3000000&count=1&then=wait&",
    "with the buffer full": "/bytes?count=0&size=65536&",
    "with an event stream suspended": "/sse?count=0&pad=65536&capacity=2&strategy=suspend&",
    "amid an export": "/export?count=0&pad=65536&format=ndjson&",
}


@pytest.mark.parametrize("state", STATES)
class TestAtOnce:
    """No timer of ours runs here, neither heartbeat nor deadline: the hang-up itself is what ends the stream."""

    @pytest.fixture(params=["hypercorn", "uvicorn"])
    def server(self, request: pytest.FixtureRequest, start_server: Callable[..., Server]) -> Server:
        """Servers whose app waits for ever."""
        return start_server(request.param, heartbeat=None, send_timeout=None)

    @pytest.mark.parametrize("how", ["fin", "rst"])
    async def test_cleaned_up_within_a_hundred_milliseconds(
        self, server: Server, key: str, state: str, how: How
    ) -> None:
        """The cleanup has run 100 ms after the hang-up, beside the time that the server takes for any answer."""
        delays, answers = [], []
        names = [f"{key}{number}" for number in range(3)]
        async with AsyncExitStack() as stack:
            clients = {}
            for name in names:
                connecting = await H1Client.connect(server.address, receive_buffer=4096)
                clients[name] = await stack.enter_async_context(connecting)
                await clients[name].request(f"{STATES[state]}key={name}")
                await server.until(name, started=1)
            await asyncio.gather(*map(server.settled, names))
            for name, client in clients.items():
                answers.append(await timed(server.until(name, started=1)))
                go(client, how)
                delays.append(await timed(server.until(name, cleaned=1)))
        assert median(delays) < 0.1 + 10 * median(answers), (delays, answers)
        for name in names:
            counters = await server.state(name)
            assert (counters["started"], counters["cleaned"]) == (1, 1)


async def timed(what: Awaitable[Any]) -> float:
    """The seconds that something takes."""
    began = time.perf_counter()
    await what
    return time.perf_counter() - began


class TestHTTP2:
    """RST_STREAM, GOAWAY, FIN and RST on Hypercorn's HTTP/2."""

    @pytest.fixture
    def server(self, start_server: Callable[..., Server]) -> Server:
        """The one that speaks it without TLS."""
        return start_server("hypercorn")

    @pytest.mark.parametrize("path", ["/late?", "/sse?then=wait&", "/bytes?then=wait&", "/bytes?count=0&size=65536&"])
    async def test_a_stream_given_up(self, server: Server, key: str, path: str) -> None:
        """RST_STREAM ends that stream; its sibling goes on."""
        async with await H2Client.connect(server.address) as client:
            stream = await client.request(f"{path}key={key}")
            await server.until(key, started=1)
            await client.reset(stream)
            await assert_over(server, key)
            sibling = await client.request(f"/bytes?key={key}-2")
            assert await client.body(sibling) == b"000011112222"

    @pytest.mark.parametrize("how", ["fin", "rst", "goaway"])
    async def test_a_connection_given_up(self, server: Server, key: str, how: str) -> None:
        """The end of a connection ends all of its streams."""
        async with await H2Client.connect(server.address) as client:
            for path in ("late", "sse", "bytes"):
                await client.request(f"/{path}?key={key}{path}&then=wait")
                await server.until(f"{key}{path}", started=1)
            if how == "goaway":
                await client.goaway()
            else:
                go(client, how)
            for path in ("late", "sse", "bytes"):
                await assert_over(server, f"{key}{path}")


async def test_a_handler_that_is_cancelled(server: Server, key: str) -> None:
    """A response that was built and not yet returned is disposed with its handler."""
    async with await H1Client.connect(server.address) as client:
        await client.request(f"/handler-waits?key={key}&then=wait")
        await server.until(key, built=1)
        client.fin()
        await assert_over(server, key)


async def test_after_request_that_raises(server: Server, key: str) -> None:
    """Quart drops the response that the handler built; its source is cleaned up all the same."""
    status, _ = await server.get("/bytes", key=key, then="wait", after_request_fails=1)
    assert status == 500
    await assert_over(server, key)


async def test_a_response_that_is_never_sent(server: Server, key: str) -> None:
    """The handler changed its mind."""
    assert await server.get("/other-response", key=key, then="wait") == (200, b"another")
    await assert_over(server, key)


@pytest.mark.parametrize("path", ["/bytes?never=1&count=0&size=65536", "/thread?size=65536", "/thread?size=50"])
class TestNeverSuspending:
    """Sources that never suspend: the worst that can happen to an event loop."""

    async def test_others_are_answered(self, server: Server, key: str, path: str) -> None:
        """While a fast client reads such a body, the process serves others."""
        async with await H1Client.connect(server.address) as client:
            await client.request(f"{path}&key={key}")
            await client.response()

            async def read() -> None:
                async for _ in client.chunks():
                    pass

            reading = asyncio.create_task(read())
            for _ in range(5):
                assert (await server.state(key))["started"] == 1
            assert not reading.done()
            reading.cancel()
            await asyncio.wait([reading])

    async def test_the_process_survives_the_hang_up(self, server: Server, key: str, path: str) -> None:
        """The body ends with its client, and no memory is heaped up."""
        before = (await server.state(key))["peak_rss"]
        async with await H1Client.connect(server.address) as client:
            await client.request(f"{path}&key={key}")
            await client.response()
            await client._exactly(1_000_000)
            client.fin()
            state = await assert_over(server, key)
        assert state["peak_rss"] - before < 200e6


async def test_a_hundred_clients_that_come_and_go(server: Server, key: str) -> None:
    """Tasks and threads are back to where they were, and nobody left an error behind."""
    before = await server.state(key)

    async def visit(number: int) -> None:
        async with await H1Client.connect(server.address) as client:
            await client.request(f"/{('sse', 'bytes', 'thread', 'late')[number % 4]}?key={key}{number}&then=wait")
            await server.until(f"{key}{number}", started=1)
            go(client, ("fin", "rst", "half_close")[number % 3])
            if number % 3 == 2:
                await client.rest_of_connection()

    for batch in range(5):
        await asyncio.gather(*(visit(batch * 20 + number) for number in range(20)))
    assert (await server.admin("live"))["live"] == 0
    after = await server.state(key)
    for number in range(100):
        await server.until(f"{key}{number}", cleaned=1)
    assert after["tasks"] <= before["tasks"] + 2
    assert after["threads"] <= before["threads"]
    assert server.troubles() == []
