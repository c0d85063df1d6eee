"""Clients that stall, on real sockets: they suspend the source, cost bounded memory, and are cut off in time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from tests.servers import H1Client, H2Client, Reset, Server, Truncated

BLOCK = 65536
# What may lie between a suspended source and a client that reads nothing, with the small buffers of these tests:
# the download buffer, one item on its way, and what server and kernel hold (they were measured at under 3 MB).
AHEAD = 256 + 1 + 3_000_000 // BLOCK


@pytest.fixture(params=["hypercorn", "uvicorn"])
def impatient(request: pytest.FixtureRequest, start_server: Callable[..., Server]) -> Server:
    """A server whose app cuts clients off that take nothing for half a second."""
    return start_server(request.param, send_timeout=0.5)


@pytest.fixture
def patched(start_server: Callable[..., Server]) -> Server:
    """Hypercorn with the opt-in that mends its HTTP/2."""
    return start_server("hypercorn", send_timeout=0.5, patch_hypercorn=True)


@pytest.mark.parametrize("path", ["bytes", "thread"])
async def test_a_stall_suspends_the_source(server: Server, key: str, path: str) -> None:
    """The source is a bounded number of items ahead, and so is the memory; it goes on with its reader."""
    before = (await server.state(key))["peak_rss"]
    async with await H1Client.connect(server.address, receive_buffer=4096) as client:
        await client.request(f"/{path}?key={key}&count=0&size={BLOCK}")
        pulled = await server.settled(key)
        assert 256 <= pulled <= AHEAD
        assert (await server.state(key))["peak_rss"] - before < 2 * AHEAD * BLOCK
        await client.response()
        await client._exactly((AHEAD + 50) * BLOCK)
        await server.until(key, pulled=AHEAD + 50)


async def test_a_stalled_export_suspends_the_source(server: Server, key: str) -> None:
    """Rows wait in front of the encoder as bytes do."""
    async with await H1Client.connect(server.address, receive_buffer=4096) as client:
        await client.request(f"/export?key={key}&format=ndjson&count=0&pad={BLOCK}")
        assert 128 <= await server.settled(key) <= AHEAD


async def test_a_stalled_event_stream_does_not_hold_its_source_up(server: Server, key: str) -> None:
    """The sliding buffer lets the source go on; the client that comes back misses events, and what it gets is whole."""
    async with await H1Client.connect(server.address, receive_buffer=4096) as client:
        await client.request(f"/sse?key={key}&count=3000&pad=20000")
        await server.until(key, cleaned=1)
        await client.response()
        body = (await client.body()).decode()
    events = [block for block in body.split("\n\n") if block.startswith("data: ")]
    assert len(events) < 1500
    assert all(len(event) > 20000 for event in events)
    assert '"n":2999' in events[-1]


async def test_others_go_on_while_one_stalls(server: Server, key: str) -> None:
    """A stalled client delays its own stream only."""
    async with (
        await H1Client.connect(server.address, receive_buffer=4096) as stalled,
        await H1Client.connect(server.address) as reader,
    ):
        await stalled.request(f"/bytes?key={key}&count=0&size={BLOCK}")
        await server.settled(key)
        await reader.request(f"/bytes?key={key}-2&count=600&size={BLOCK}")
        await reader.response()
        assert len(await reader.body()) == 600 * BLOCK


@pytest.mark.parametrize("path", ["bytes", "thread", "sse"])
async def test_a_stall_is_cut_off(impatient: Server, key: str, path: str) -> None:
    """A reader that takes nothing for `send_timeout` is cut off, its source cleaned up, and it can tell."""
    before = await impatient.state(key)
    async with await H1Client.connect(impatient.address, receive_buffer=4096) as client:
        await client.request(f"/{path}?key={key}&count=0&size={BLOCK}&pad={BLOCK}")
        await impatient.until(key, started=1)
        assert (await impatient.admin("live"))["live"] == 0
        state = await impatient.until(key, cleaned=1)
        assert (state["started"], state["cleaned"], state["threads"]) == (1, 1, before["threads"])
        await client.response()
        with pytest.raises(Truncated):
            await client.body()


async def test_a_slow_reader_is_not_cut_off(impatient: Server, key: str) -> None:
    """A reader that takes a little within each `send_timeout` may take longer than it in all."""
    async with await H1Client.connect(impatient.address, receive_buffer=4096) as client:
        await client.request(f"/bytes?key={key}&count=400&size={BLOCK}")
        await client.response()
        received = 0
        async for chunk in client.chunks():
            received += len(chunk)
            if received < 80 * BLOCK:  # about two seconds, in which one that stalls would be cut off four times
                await asyncio.sleep(0.025 * len(chunk) / BLOCK)
        assert received == 400 * BLOCK


async def test_a_source_that_says_nothing_is_not_a_stall(impatient: Server, key: str) -> None:
    """`send_timeout` is about the client: a source may think for longer."""
    status, body = await impatient.get("/bytes", key=key, count=3, pause=1.0)
    assert (status, body) == (200, b"000011112222")


async def test_a_closed_window_suspends_the_source(patched: Server, key: str) -> None:
    """HTTP/2: the source waits for the window, and goes on as it opens."""
    server = patched
    async with await H2Client.connect(server.address, window=0) as client:
        stream = await client.request(f"/bytes?key={key}&count=0&size={BLOCK}")
        await client.response(stream)
        assert await server.settled(key) <= AHEAD
        assert (await server.admin("live"))["live"] == 0  # cut off
        with pytest.raises(Reset):
            await client.body(stream)
        await server.until(key, cleaned=1)


async def test_a_window_that_opens_again(start_server: Callable[..., Server], key: str) -> None:
    """HTTP/2: what was held back comes whole."""
    server = start_server("hypercorn", patch_hypercorn=True)
    async with await H2Client.connect(server.address, window=0) as client:
        stream = await client.request(f"/bytes?key={key}&count={AHEAD + 100}&size={BLOCK}")
        await client.response(stream)
        assert 256 <= await server.settled(key) <= AHEAD
        await client.grant(stream, 1_000_000)
        assert len(await client.body(stream)) == (AHEAD + 100) * BLOCK
