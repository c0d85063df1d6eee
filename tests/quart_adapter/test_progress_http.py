"""Progress over HTTP: an import in one request, and its progress in another, on real servers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable

import pytest

from quart_adapter.testing import EventParser
from tests.servers import H1Client, Server

APP = "tests.servers.apps.progress:app"


@pytest.fixture(params=["hypercorn", "uvicorn"])
def server(request: pytest.FixtureRequest, start_server: Callable[..., Server]) -> Server:
    """The servers that everything must hold on."""
    return start_server(request.param, APP)


async def post(client: H1Client, path: str, length: int, body: bytes) -> None:
    """Sends a request, and a part of its body."""
    await client.request(path, method="POST", headers={"Content-Length": str(length)})
    await send(client, body)


async def send(client: H1Client, data: bytes) -> None:
    """Sends more of it."""
    await asyncio.get_running_loop().sock_sendall(client._sock, data)


async def test_one_request_imports_and_others_watch(server: Server, key: str) -> None:
    """Readers that come before it, amid it and after it; all see how it ended, and their streams end."""

    async def watch() -> list[dict[str, object]]:
        status, body = await server.get("/progress", key=key)
        assert status == 200
        events = EventParser().feed(body)
        assert {event.event for event in events} == {"progress"}
        return [json.loads(event.data) for event in events]

    early = asyncio.create_task(watch())
    rows = b'{"n":1}\n' * 3000
    async with await H1Client.connect(server.address) as client:
        await post(client, f"/import?key={key}&total=3000", len(rows), rows[:16000])
        await server.until(key, stored=1000)
        amid = asyncio.create_task(watch())
        await server.until(key, watched=2)
        await send(client, rows[16000:])
        assert (await client.response()).status == 200
        assert json.loads(await client.body()) == {"stored": 3000}
    late = await watch()
    for reports in (await early, await amid, late):
        assert (reports[-1]["elements"], reports[-1]["percent"], reports[-1]["outcome"]) == (3000, 100.0, "completed")
        assert all(report["percent"] <= 100 for report in reports)  # type: ignore[operator]
    assert len(late) == 1 and late[0]["elements"] == 3000
    assert (await server.admin("live"))["live"] == 0
    assert server.troubles() == []


async def test_an_import_that_is_cut_off_is_seen_to_end(server: Server, key: str) -> None:
    """Its client hangs up in the middle: the last report says that it did not come to its end."""
    watching = asyncio.create_task(server.get("/progress", key=key))
    await server.until(key, watched=1)
    async with await H1Client.connect(server.address) as client:
        await post(client, f"/import?key={key}&total=10000", 80_000, b'{"n":1}\n' * 2000)
        await server.until(key, stored=2000)
        client.rst()
    _, body = await watching
    last = json.loads(EventParser().feed(body)[-1].data)
    assert last["done"] and last["outcome"] in ("error", "cancelled") and last["elements"] == 2000
