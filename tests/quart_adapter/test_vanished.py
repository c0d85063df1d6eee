"""Peers that vanish: no FIN and no RST tells of it, and nothing that is sent to them is answered."""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable
from typing import Final

import pytest

from tests.servers import H1Client, H2Client, Server

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="vanishing is done, and found, by Linux' kernel")

KEEP_ALIVE: Final = (
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 1),  # seconds
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 1),
)
UNANSWERED: Final = ((socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 1000),)  # milliseconds
LEFT_BY_HYPERCORN: Final = (
    r"Task exception was never retrieved\nfuture: .*_server_callback.*\n(?:.*\n)*?.*in wait_closed\n(?:.*\n)*?"
    r"TimeoutError: \[Errno 110\] .*\n"
)
"""With the asyncio of Python 3.11.2, where it closes a connection that the kernel has given up."""
BEAT: Final = 0.2
"""Seconds between heartbeats: each comes before a keep-alive would be sent."""


@pytest.fixture(params=["hypercorn", "uvicorn"])
def start(request: pytest.FixtureRequest, start_server: Callable[..., Server]) -> Callable[..., Server]:
    """Starts each server with options of its listening socket, and an app that cuts nobody off."""
    return lambda *options: start_server(request.param, options=options, heartbeat=BEAT, send_timeout=None)


async def assert_found(server: Server, key: str) -> None:
    """The source is cleaned up, once, and nobody left an error behind."""
    state = await server.until(key, cleaned=1)
    assert (state["started"], state["cleaned"]) == (1, 1)
    assert server.troubles(known=LEFT_BY_HYPERCORN) == []


async def vanish_when_idle(server: Server, key: str, path: str) -> H1Client:
    """A client that has read all that its stream has to say, and is gone."""
    client = await H1Client.connect(server.address)
    await client.request(f"/{path}?key={key}&then=wait")
    await client.response()
    await client._until({"bytes": b"2222", "sse": b'"n":2'}[path])
    await client._until(b"\r\n")  # to the end of the chunk
    client.vanish()
    return client


@pytest.mark.parametrize("path", ["bytes?", "thread?", "sse?pad=65536&", "export?pad=65536&format=ndjson&"])
@pytest.mark.parametrize("kind", ["hypercorn", "uvicorn"])
async def test_while_data_flows(start_server: Callable[..., Server], key: str, kind: str, path: str) -> None:
    """`send_timeout` finds it, whatever the socket's options: nothing is taken any more."""
    server = start_server(kind, send_timeout=0.5)
    async with await H1Client.connect(server.address) as client:
        await client.request(f"/{path}key={key}&count=0&size=65536")
        await client.response()
        await client._exactly(1_000_000)
        client.vanish()
        await assert_found(server, key)


async def test_an_idle_stream_that_sends_nothing(start: Callable[..., Server], key: str) -> None:
    """`SO_KEEPALIVE` finds it: the kernel asks, and is not answered."""
    server = start(*KEEP_ALIVE)
    async with await vanish_when_idle(server, key, "bytes"):
        await assert_found(server, key)


async def test_an_idle_stream_with_a_heartbeat(start: Callable[..., Server], key: str) -> None:
    """`TCP_USER_TIMEOUT` finds it: a heartbeat is not acknowledged. Keep-alive alone does not, since the kernel asks
    nothing while it has something to send."""
    both, one = start(*KEEP_ALIVE, *UNANSWERED), start(*KEEP_ALIVE)
    async with await vanish_when_idle(one, key, "sse"), await vanish_when_idle(both, key, "sse"):
        await assert_found(both, key)
        async with await vanish_when_idle(one, f"{key}-2", "bytes"):  # without a heartbeat, and later
            await assert_found(one, f"{key}-2")
        assert "cleaned" not in await one.state(key)


async def test_others_stay(start: Callable[..., Server], key: str) -> None:
    """Idle peers that are there answer the kernel."""
    server = start(*KEEP_ALIVE, *UNANSWERED)
    async with await H1Client.connect(server.address) as stays:
        await stays.request(f"/bytes?key={key}&then=wait")
        await stays.response()
        for number in range(2):  # one after the other: longer than the kernel's patience
            async with await vanish_when_idle(server, f"{key}-{number}", "bytes"):
                await assert_found(server, f"{key}-{number}")
        assert "cleaned" not in await server.state(key)


async def test_a_stalled_peer_is_cut_off_as_well(start: Callable[..., Server], key: str) -> None:
    """`TCP_USER_TIMEOUT` is a deadline for a peer whose kernel answers, and which takes nothing."""
    server = start(*KEEP_ALIVE, *UNANSWERED)
    async with await H1Client.connect(server.address, receive_buffer=4096) as client:
        await client.request(f"/bytes?key={key}&count=0&size=65536")
        await client.response()
        await assert_found(server, key)


async def test_all_streams_of_a_connection(start_server: Callable[..., Server], key: str) -> None:
    """HTTP/2: they end together."""
    server = start_server("hypercorn", options=(*KEEP_ALIVE, *UNANSWERED), heartbeat=BEAT, send_timeout=None)
    async with await H2Client.connect(server.address) as client:
        for path in ("late", "sse", "bytes"):
            await client.request(f"/{path}?key={key}{path}&then=wait")
            await server.until(f"{key}{path}", started=1)
        client.vanish()
        for path in ("late", "sse", "bytes"):
            await server.until(f"{key}{path}", cleaned=1)
        assert server.troubles(known=LEFT_BY_HYPERCORN) == []
