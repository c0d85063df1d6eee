"""The harness itself: each way in which a response can end or a client can go is told from the others."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.servers import H1Client, H2Client, Reset, Server, Truncated

APP = "tests.servers.apps.plain:app"


@pytest.fixture(params=["hypercorn", "hypercorn-worker", "uvicorn", "granian"])
def server(request: pytest.FixtureRequest, start_server: Callable[..., Server]) -> Server:
    """Every kind of server that can be started."""
    return start_server(request.param, APP)


@pytest.fixture
def hypercorn(start_server: Callable[..., Server]) -> Server:
    """The one that speaks HTTP/2 without TLS, and has no process beside it."""
    return start_server("hypercorn", APP)


async def test_a_clean_body(server: Server, key: str) -> None:
    """A chunked body that ends well is read to its end."""
    assert await server.get("/body", key=key) == (200, b"x" * 12)
    assert (await server.until(key, cleaned=1))["pulled"] == 3


async def test_a_connection_serves_two_requests(server: Server, key: str) -> None:
    """The end of a body is found without the end of the connection."""
    async with await H1Client.connect(server.address) as client:
        for _ in range(2):
            await client.request(f"/body?key={key}")
            assert (await client.response()).status == 200
            assert await client.body() == b"x" * 12


async def test_a_failure_is_a_truncated_body(server: Server, key: str) -> None:
    """A chunked body without its last chunk is seen as such, with the part that came."""
    async with await H1Client.connect(server.address) as client:
        await client.request(f"/body?key={key}&ending=fails")
        await client.response()
        with pytest.raises(Truncated) as caught:
            await client.body()
        assert caught.value.received == b"x" * 12


async def test_a_body_shorter_than_its_length(server: Server, key: str) -> None:
    """The missing bytes are noticed."""
    async with await H1Client.connect(server.address) as client:
        await client.request(f"/body?key={key}&length=99")
        with pytest.raises(Truncated):
            await client.response()
            await client.body()


async def hang_up(client: H1Client, how: str) -> None:
    """Ends a connection in one of three ways."""
    getattr(client, how)()


# Without granian's half-close: it goes on writing to a client that has closed its own direction only.
@pytest.mark.parametrize(
    ("server", "how"),
    [
        (kind, how)
        for kind in ("hypercorn", "hypercorn-worker", "uvicorn", "granian")
        for how in ("fin", "rst", "half_close")
        if (kind, how) != ("granian", "half_close")
    ],
    indirect=["server"],
)
async def test_hanging_up_reaches_the_app(server: Server, key: str, how: str) -> None:
    """FIN, RST and half-close end the app's body."""
    async with await H1Client.connect(server.address) as client:
        await client.request(f"/body?key={key}&ending=waits")
        await client.response()
        await server.until(key, pulled=3)
        await hang_up(client, how)
        await server.until(key, cleaned=1)


async def test_a_stall_is_felt(server: Server, key: str) -> None:
    """A client that reads nothing holds the body up, within what the kernel keeps; and gets the rest later."""
    async with await H1Client.connect(server.address, receive_buffer=4096) as client:
        await client.request(f"/body?key={key}&size=65536&count=400")
        assert await server.settled(key) < 400
        await client.response()
        assert len(await client.body()) == 65536 * 400


async def test_a_reset_stream(hypercorn: Server, key: str) -> None:
    """HTTP/2: a stream that the client gives up ends, its sibling does not."""
    async with await H2Client.connect(hypercorn.address) as client:
        one = await client.request(f"/body?key={key}&ending=waits")
        two = await client.request(f"/body?key={key}-2&count=2")
        assert (await client.response(one))[":status"] == "200"
        await client.reset(one)
        await hypercorn.until(key, cleaned=1)
        assert await client.body(two) == b"x" * 8


@pytest.mark.parametrize("how", ["fin", "rst"])
async def test_an_http2_connection_that_ends(hypercorn: Server, key: str, how: str) -> None:
    """HTTP/2: the end of the connection ends all its streams."""
    async with await H2Client.connect(hypercorn.address) as client:
        for suffix in ("a", "b"):
            await client.request(f"/body?key={key}{suffix}&ending=waits")
        await hypercorn.until(f"{key}b", pulled=3)
        getattr(client, how)()
        await hypercorn.until(f"{key}a", cleaned=1)
        await hypercorn.until(f"{key}b", cleaned=1)


async def test_goaway(hypercorn: Server, key: str) -> None:
    """HTTP/2: a client that says goodbye is gone."""
    async with await H2Client.connect(hypercorn.address) as client:
        await client.request(f"/body?key={key}&ending=waits")
        await hypercorn.until(key, pulled=3)
        await client.goaway()
        await hypercorn.until(key, cleaned=1)


async def test_a_window_of_nothing(hypercorn: Server, key: str) -> None:
    """HTTP/2: no byte comes before it is granted."""
    async with await H2Client.connect(hypercorn.address, window=0) as client:
        stream = await client.request(f"/body?key={key}")
        await client.response(stream)
        await hypercorn.until(key, pulled=3)
        assert not client._streams[stream].data
        await client.grant(stream, 100)
        assert await client.body(stream) == b"x" * 12


async def test_a_server_that_goes(start_server: Callable[..., Server], key: str) -> None:
    """HTTP/2: a connection that the server closes within a stream is no clean end."""
    server = Server("hypercorn", APP)
    try:
        async with await H2Client.connect(server.address) as client:
            stream = await client.request(f"/body?key={key}&ending=waits")
            await client.response(stream)
            server.process.kill()
            with pytest.raises(Reset):
                await client.body(stream)
    finally:
        server.stop()


async def test_errors_that_nobody_handled_are_found(hypercorn: Server) -> None:
    """A task that failed unseen is in the output."""
    own = Server("hypercorn", APP)
    try:
        assert not own.troubles()
        await own.get("/leak")
        await own.admin("state", key="-")  # collects garbage
        assert any("never retrieved" in line for line in own.troubles())
    finally:
        own.stop()


def test_an_app_that_does_not_start_is_shown() -> None:
    """The error of the server is in the error of the fixture."""
    with pytest.raises(RuntimeError, match="Could not import module"):
        Server("uvicorn", "tests.servers.apps.missing:app")


async def test_state_tells_of_the_process(server: Server, key: str) -> None:
    """Tasks, threads and memory are told with the counters."""
    state: dict[str, Any] = await server.state(key)
    assert min(state["tasks"], state["threads"], state["peak_rss"]) > 0
