"""`max_age` over HTTP: a client that stalled is not sent what is too old by the time at which it reads on."""

from __future__ import annotations

import asyncio

import pytest
from quart import Quart, Response
from reactivex import Subject

from quart_adapter import RxStream, sse
from quart_adapter.testing import Event, stream
from rxstream import virtual
from tests.servers import H1Client, Server

BLOCK = 65536
BEAT = b":\n\n\r\n"
MAX_AGE = 1.0
"""Seconds; what is taken out of a buffer at once is younger, also on a machine that is busy."""


@pytest.mark.parametrize("size", [BLOCK, 500])
async def test_a_stalled_client_is_not_sent_what_is_too_old(server: Server, key: str, size: int) -> None:
    """All of the buffer is dropped; the client gets what was on its way, and one without an age the rest too."""
    query = f"count=10000&pad={size}&then=wait"
    async with (
        await H1Client.connect(server.address, receive_buffer=4096) as client,
        await H1Client.connect(server.address, receive_buffer=4096) as control,
    ):
        await client.request(f"/sse?key={key}&{query}&max_age={MAX_AGE}&heartbeat=0.1")
        await control.request(f"/sse?key={key}-2&{query}")
        for name in (key, f"{key}-2"):
            await server.until(name, pulled=10000)
        await asyncio.sleep(2 * MAX_AGE)
        await control.response()
        await control._until(b'"n":9999,')
        await client.response()
        await client._until(BEAT)  # the first comment
        assert b'"n":9999,' not in await client._until(BEAT)  # there is nothing more
        counted = await server.admin("counted", key=key)
        assert counted["pushed"] == 10000 == counted["delivered"] + counted["dropped"]


def test_a_burst_of_large_events_ages_as_well() -> None:
    """What is more than a chunk stays in the buffer, where it can still be dropped, and is no batch of bytes."""

    async def main() -> list[str]:
        app = Quart(__name__)
        streams = RxStream(app, send_timeout=None)
        news: Subject[str] = Subject()

        @app.get("/news")
        async def events() -> Response:
            return await sse(news, buffer={"max_age": 10}, heartbeat=None)

        async with stream(app.test_client(), "/news", window=1) as client:
            client.stall()
            for number in range(20):
                news.on_next(f"{number} {'x' * BLOCK}")
            await asyncio.sleep(60)
            (live,) = streams.streams()
            assert live.statistics.dropped == 0  # nobody came for them
            client.resume()
            news.on_next("fresh")
            got: list[Event] = []
            while not got or got[-1].data != "fresh":
                got += await client.events(1)
            return [event.data[:5] for event in got]

    seen = virtual.run(main)
    assert seen[-1] == "fresh"
    assert len(seen) <= 3
