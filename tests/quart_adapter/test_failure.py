"""Failing streams, on real sockets: before the first byte a status, after it a body that the client sees cut off."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from quart_adapter.testing import Event, EventParser
from tests.servers import H1Client, H2Client, Reset, Server, Truncated

FAILURES = ["fail", "timeout", "cancel", "oserror"]


@pytest.fixture
def patched(start_server: Callable[..., Server]) -> Server:
    """Hypercorn with the opt-in that mends its HTTP/2."""
    return start_server("hypercorn", patch_hypercorn=True)


@pytest.mark.parametrize("path", ["/bytes?", "/export?format=json&", "/export?format=csv&", "/download?announced=9&"])
@pytest.mark.parametrize("then", FAILURES)
async def test_before_the_first_byte_it_is_a_status(server: Server, key: str, path: str, then: str) -> None:
    """A source that fails at once is a 500 without details, not a truncated 200."""
    status, body = await server.get(f"{path}key={key}&count=0x&then={then}".replace("0x", "-1"))
    assert status == 500
    assert b"secret" not in body
    assert (await server.until(key, cleaned=1))["cleaned"] == 1
    assert (await server.admin("live"))["live"] == 0


async def test_an_event_stream_that_fails_at_once_is_a_status(server: Server, key: str) -> None:
    """An event stream does not wait for its first event, but for a failure that is there already."""
    assert (await server.get("/sse", key=key, count=-1, then="fail"))[0] == 500


@pytest.mark.parametrize("then", FAILURES)
async def test_after_the_first_byte_the_client_sees_it(server: Server, key: str, then: str) -> None:
    """HTTP/1.1: the chunked body has no end, whatever kind of exception it was; what came before is whole."""
    async with await H1Client.connect(server.address) as client:
        await client.request(f"/bytes?key={key}&then={then}")
        assert (await client.response()).status == 200
        with pytest.raises(Truncated) as caught:
            await client.body()
    assert caught.value.received == b"000011112222"
    assert (await server.until(key, cleaned=1))["cleaned"] == 1
    assert (await server.admin("live"))["live"] == 0


@pytest.mark.parametrize("then", FAILURES)
async def test_after_the_first_byte_http2_resets(patched: Server, key: str, then: str) -> None:
    """HTTP/2 with the opt-in: the stream is reset, and its siblings live."""
    async with await H2Client.connect(patched.address) as client:
        sibling = await client.request(f"/bytes?key={key}-2&count=5&pause=0.2")
        stream = await client.request(f"/bytes?key={key}&then={then}")
        with pytest.raises(Reset, match="INTERNAL_ERROR") as caught:
            await client.body(stream)
        assert b"000011112222".startswith(caught.value.received)
        assert await client.body(sibling) == b"00001111222233334444"
    await patched.until(key, cleaned=1)


@pytest.mark.parametrize(
    ("format", "whole"), [("json", b'[{"n":0,"pad":""},{"n":1,"pad":""}'), ("ndjson", b'{"n":1,"pad":""}\n')]
)
async def test_an_item_that_cannot_be_encoded(server: Server, key: str, format: str, whole: bytes) -> None:
    """The items before it are whole, no half item and no closing bracket goes out, and the log names its index."""
    async with await H1Client.connect(server.address) as client:
        await client.request(f"/export?key={key}&format={format}&count=5&bad=2")
        await client.response()
        with pytest.raises(Truncated) as caught:
            await client.body()
    assert caught.value.received.endswith(whole)
    await server.until(key, cleaned=1)
    assert "item 2: " in server.output()


async def test_a_first_item_that_cannot_be_encoded_is_a_status(server: Server, key: str) -> None:
    """The first item is encoded before the response begins."""
    assert (await server.get("/export", key=key, bad=0))[0] == 500


async def test_an_event_stream_ends_with_an_error_event(server: Server, key: str) -> None:
    """The events before it are whole; the last one says that something failed, and nothing of what it was."""
    _, body = await server.get("/sse", key=key, then="fail")
    *events, last = EventParser().feed(body)
    assert [json.loads(event.data)["n"] for event in events] == [0, 1, 2]
    assert last == Event("the stream failed", "error")
    assert b"secret" not in body


async def test_an_event_stream_ends_with_the_users_event(server: Server, key: str) -> None:
    """`on_error` makes the last event; the response then ends well."""
    _, body = await server.get("/sse", key=key, then="fail", on_error="come back later")
    assert EventParser().feed(body)[-1] == Event("come back later", "sorry")


async def test_a_failed_event_stream_ends_well_on_http2(patched: Server, key: str) -> None:
    """HTTP/2: an error event is an end of its own kind, not a reset."""
    async with await H2Client.connect(patched.address) as client:
        stream = await client.request(f"/sse?key={key}&then=fail")
        assert EventParser().feed(await client.body(stream))[-1].event == "error"


@pytest.mark.parametrize("announced", [13, 11, 8, 1, 1_000_000])
async def test_a_length_that_is_wrong_is_seen(server: Server, key: str, announced: int) -> None:
    """A stream of 12 bytes announced as more or fewer: no client takes it for whole."""
    async with await H1Client.connect(server.address) as client:
        await client.request(f"/download?key={key}&announced={announced}")
        with pytest.raises(Truncated) as caught:
            if (await client.response()).status == 500:
                raise Truncated("the first item was too long already")
            await client.body()
    assert len(caught.value.received) < announced
    await server.until(key, cleaned=1)


@pytest.mark.parametrize("announced", [13, 11])
async def test_a_length_that_is_wrong_is_seen_on_http2(patched: Server, key: str, announced: int) -> None:
    """HTTP/2: the stream is reset."""
    async with await H2Client.connect(patched.address) as client:
        stream = await client.request(f"/download?key={key}&announced={announced}")
        with pytest.raises(Reset):
            await client.body(stream)


async def test_a_length_that_is_right(server: Server, key: str) -> None:
    """The length is announced, and the body is as long."""
    async with await H1Client.connect(server.address) as client:
        await client.request(f"/download?key={key}&announced=12")
        assert (await client.response()).headers["content-length"] == "12"
        assert await client.body() == b"000011112222"


@pytest.mark.parametrize("path", ["/bytes?", "/sse?", "/export?", "/download?announced=12&", "/thread?"])
@pytest.mark.parametrize("method", ["HEAD", "OPTIONS"])
async def test_head_starts_nothing(server: Server, key: str, path: str, method: str) -> None:
    """HEAD gets the headers of GET and no source is started; the connection then serves the next request."""
    async with await H1Client.connect(server.address) as client:
        await client.request(f"{path}key={key}", method=method)
        response = await client.response()
        await client.body()
        assert response.status == 200
        if method == "HEAD" and "announced" in path:
            assert response.headers["content-length"] == "12"
        await client.request(f"/bytes?key={key}-2")
        await client.response()
        assert await client.body() == b"000011112222"
    assert "started" not in await server.state(key)
    assert (await server.admin("live"))["live"] == 0


async def test_head_on_http2(start_server: Callable[..., Server], key: str) -> None:
    """HTTP/2: the stream of a HEAD ends with its headers."""
    server = start_server("hypercorn")
    async with await H2Client.connect(server.address) as client:
        stream = await client.request(f"/bytes?key={key}", method="HEAD")
        assert (await client.response(stream))[":status"] == "200"
        assert await client.body(stream) == b""
    assert "started" not in await server.state(key)


async def test_the_response_timeout_of_the_app_does_not_end_a_stream(server: Server, key: str) -> None:
    """A stream may take longer than `RESPONSE_TIMEOUT`: half a second here, after which a plain body is ended."""
    assert await server.get("/bytes", key=key, pause=0.5) == (200, b"000011112222")
    async with await H1Client.connect(server.address) as client:
        await client.request(f"/plain-body?key={key}-2")
        await client.response()
        await server.until(f"{key}-2", cleaned=1)


async def test_no_error_was_left_to_nobody(server: Server, patched: Server) -> None:
    """After all of these failures no task and no generator has complained."""
    for one in (server, patched):
        await one.state("-")  # collects garbage
        assert one.troubles() == []
