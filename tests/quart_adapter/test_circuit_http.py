"""Circuits over HTTP: refused before the first byte is a 503 that says when to come back; opened later is a failure."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pybreaker
import pytest
from quart import Quart
from werkzeug.exceptions import ServiceUnavailable

from quart_adapter import RxStream
from quart_adapter.testing import EventParser
from rxstream import from_async_iterable
from rxstream.operators import with_circuit
from tests.quart_adapter.routes import ALL, live, make, served
from tests.rxstream.support import Source
from tests.servers import H1Client, H2Client, Reset, Server, Truncated
from tests.servers.redis import RedisServer

APP = "tests.servers.apps.circuits:app"


def behind(breaker: pybreaker.CircuitBreaker, source: Any, **options: Any) -> Any:
    """A source behind a breaker."""
    return from_async_iterable(source).pipe(with_circuit(breaker, **options))


@pytest.mark.parametrize("builder", ALL)
@pytest.mark.parametrize("seconds", [17.2, 0.01])
async def test_an_open_circuit_is_a_503_with_retry_after(builder: str, seconds: float) -> None:
    """The source is not touched, and the client is told the seconds, rounded up; never none at all."""
    breaker = pybreaker.CircuitBreaker(reset_timeout=3600)
    breaker.open()
    await asyncio.sleep(0)
    source = Source(b"1")
    client = served(make(builder, behind(breaker, source)))
    breaker.reset_timeout = seconds + 30
    response = await client.get("/")
    assert response.status_code == 503
    assert int(response.headers["Retry-After"]) in (math.ceil(seconds + 30), math.ceil(seconds + 30) - 1)
    assert source.started == 0 and live(client) == 0


@pytest.mark.parametrize("builder", ALL)
async def test_head_asks_nobody(builder: str) -> None:
    """The headers are all that is asked for: no subscription, and so no trial."""
    breaker = pybreaker.CircuitBreaker(reset_timeout=0)
    breaker.open()
    source = Source(b"1")
    client = served(make(builder, behind(breaker, source)))
    assert (await client.head("/")).status_code == 200
    assert breaker.current_state == "open" and source.started == 0


async def test_a_handler_for_503_sees_why() -> None:
    """It is werkzeug's exception, whose cause is the circuit's; without its own `retry_after` there is no header."""
    app = Quart(__name__)
    RxStream(app)
    seen: list[BaseException | None] = []

    async def fails() -> Any:
        raise pybreaker.CircuitBreakerError("a breaker of the app's own")
        yield

    @app.errorhandler(ServiceUnavailable)
    async def handle(error: ServiceUnavailable) -> tuple[str, int, dict[str, str]]:
        seen.append(error.__cause__)
        return "later", 503, dict(error.get_headers())

    @app.get("/")
    async def route() -> Any:
        return await make("export", fails)()

    response = await app.test_client().get("/")
    assert (response.status_code, await response.get_data()) == (503, b"later")
    assert "Retry-After" not in response.headers
    assert [str(error) for error in seen] == ["a breaker of the app's own"]


@pytest.mark.parametrize("builder", ["response", "export"])
async def test_a_source_that_is_too_late_is_a_status(builder: str) -> None:
    """`first_item_timeout` is up before the first byte: an error of the handler's, and not an empty 200."""
    breaker, source = pybreaker.CircuitBreaker(fail_max=1), Source(then="wait")
    client = served(make(builder, behind(breaker, source, first_item_timeout=0.05)))
    assert (await client.get("/")).status_code == 500
    assert (await client.get("/")).status_code == 503
    assert source.started == source.cleaned == 1


# -- on real sockets


@pytest.fixture
def fresh(start_server: Callable[..., Server], server: Server) -> Server:
    """Both servers, with an app that has a circuit for each test."""
    return start_server(server.kind, APP)


async def get(server: Server, path: str) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body."""
    async with await H1Client.connect(server.address) as client:
        await client.request(path)
        response = await client.response()
        return response.status, dict(response.headers), await client.body()


async def test_the_life_of_a_circuit(fresh: Server, key: str) -> None:
    """Failures, refusals with all builders, then a trial that closes it."""
    for _ in range(2):
        assert (await get(fresh, f"/bytes?key={key}&count=0&then=fail"))[0] == 500
    for path in ("/bytes", "/export", "/sse"):
        status, headers, body = await get(fresh, f"{path}?key={key}")
        assert status == 503 and 55 <= int(headers["retry-after"]) <= 60
        assert b"secret" not in body
    assert (await fresh.state(key))["started"] == 2
    await fresh.admin("circuit", key=key, set="half_open")
    assert (await get(fresh, f"/bytes?key={key}"))[2] == b"item\n"
    assert (await fresh.admin("circuit", key=key))["state"] == "closed"
    assert fresh.troubles() == []


async def test_opened_later_an_event_stream_says_so(fresh: Server, key: str) -> None:
    """The events before it, an `error` event that tells nothing, and the end."""
    async with await H1Client.connect(fresh.address) as client:
        await client.request(f"/sse?key={key}&then=wait")
        assert (await client.response()).status == 200
        await fresh.until(key, sent=1)
        await fresh.admin("circuit", key=key, set="open")
        events = EventParser().feed(await client.body())
    assert [(event.event, event.data) for event in events] == [
        ("message", '{"item":1}'),
        ("error", "the stream failed"),
    ]
    await fresh.until(key, cleaned=1)


@pytest.mark.parametrize("path", ["/bytes", "/export"])
async def test_opened_later_anything_else_is_cut_off(fresh: Server, key: str, path: str) -> None:
    """The client's library reports it; an array has no closing bracket."""
    async with await H1Client.connect(fresh.address) as client:
        await client.request(f"{path}?key={key}&then=wait")
        assert (await client.response()).status == 200
        await fresh.until(key, sent=1)
        await fresh.admin("circuit", key=key, set="open")
        with pytest.raises(Truncated) as caught:
            await client.body()
    assert caught.value.received == (b"item\n" if path == "/bytes" else b'[{"item":1}')
    assert (await fresh.until(key, cleaned=1))["cleaned"] == 1


async def test_opened_later_on_http2(start_server: Callable[..., Server], key: str) -> None:
    """The stream is reset."""
    server = start_server("hypercorn", APP)
    async with await H2Client.connect(server.address) as client:
        stream = await client.request(f"/bytes?key={key}&then=wait")
        await server.until(key, sent=1)
        await server.admin("circuit", key=key, set="open")
        with pytest.raises(Reset):
            await client.body(stream)


async def test_two_workers_share_a_circuit(redis_server: RedisServer, key: str) -> None:
    """Processes on different servers, one Redis: one opens, the other refuses, and its running streams end."""
    workers = [Server(kind, APP, redis=redis_server.port) for kind in ("uvicorn", "hypercorn")]
    one, other = workers
    try:
        assert (await get(other, f"/bytes?key={key}"))[0] == 200
        async with await H1Client.connect(other.address) as client:
            await client.request(f"/bytes?key={key}&then=wait")
            assert (await client.response()).status == 200
            for _ in range(2):
                assert (await get(one, f"/bytes?key={key}&count=0&then=fail"))[0] == 500
            with pytest.raises(Truncated):  # within the interval at which a process looks into the storage
                await client.body()
        for worker in workers:
            for path in ("/bytes", "/export", "/sse"):
                status, headers, _ = await get(worker, f"{path}?key={key}")
                assert status == 503 and 1 <= int(headers["retry-after"]) <= 60
        assert (await other.state(key))["started"] == 2
        await one.admin("circuit", key=key, set="half_open")
        assert (await get(other, f"/bytes?key={key}"))[0] == 200
        async with asyncio.timeout(20):
            while (await one.admin("circuit", key=key))["state"] != "closed":  # noqa: ASYNC110 - another process tells Redis
                await asyncio.sleep(0.02)
        assert (await get(one, f"/bytes?key={key}"))[0] == 200
        assert [worker.troubles() for worker in workers] == [[], []]
    finally:
        for worker in workers:
            worker.stop()


async def test_a_silent_redis_stops_no_worker(redis_server: RedisServer, key: str) -> None:
    """While it does not answer, requests that need no circuit are answered at once, and the others after a second."""
    server = Server("uvicorn", APP, redis=redis_server.port)
    try:
        assert (await get(server, f"/bytes?key={key}"))[0] == 200
        redis_server.freeze()
        guarded = asyncio.create_task(get(server, f"/sse?key={key}"))
        for _ in range(20):
            await server.state(key)  # on the same loop
        assert not guarded.done() or (await guarded)[0] == 200
        assert (await guarded)[0] == 200
    finally:
        redis_server.thaw()
        server.stop()


def test_the_adapter_does_not_bring_pybreaker(tmp_path: Path) -> None:
    """Nor what pybreaker brings: it is imported with the first circuit."""
    import subprocess
    import sys

    code = "import sys, quart_adapter; print({'pybreaker', 'redis'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
