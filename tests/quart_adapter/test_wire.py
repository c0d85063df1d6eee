"""What goes over the wire, on real sockets: headers, heartbeats, chunks, names, ids."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest
from werkzeug.http import parse_options_header

from quart_adapter.testing import Event, EventParser
from tests.servers import H1Client, H2Client, Server


@pytest.fixture(params=["hypercorn", "uvicorn", "granian"])
def server(request: pytest.FixtureRequest, start_server: Callable[..., Server]) -> Server:
    """Every server."""
    return start_server(request.param)


async def test_headers_of_an_event_stream(server: Server, key: str) -> None:
    """They come at once, with the first comment, before any event; and none of them is Connection."""
    async with await H1Client.connect(server.address) as client:
        await client.request(f"/sse?key={key}&count=-1&then=wait")
        headers = (await client.response()).headers
        assert await anext(client.chunks()) == b": ok\n\n"
    assert headers["content-type"] == "text/event-stream"
    assert (headers["cache-control"], headers["x-accel-buffering"]) == ("no-cache", "no")
    assert "connection" not in headers


async def test_headers_on_http2(start_server: Callable[..., Server], key: str) -> None:
    """HTTP/2 forbids Connection and Transfer-Encoding."""
    async with await H2Client.connect(start_server("hypercorn").address) as client:
        stream = await client.request(f"/sse?key={key}")
        headers = await client.response(stream)
        assert (headers[":status"], headers["content-type"]) == ("200", "text/event-stream")
        assert not {"connection", "transfer-encoding", "content-length"} & set(headers)
        assert len(EventParser().feed(await client.body(stream))) == 3


async def test_heartbeats_come_while_idle(server: Server, key: str) -> None:
    """A stream with nothing to say sends comments, again and again."""
    parser = EventParser()
    async with await H1Client.connect(server.address) as client:
        await client.request(f"/sse?key={key}&then=wait&heartbeat=0.05")
        await client.response()
        events = []
        async for chunk in client.chunks():
            events += parser.feed(chunk)
            if len(parser.comments) >= 5:
                break
    assert [json.loads(event.data)["n"] for event in events] == [0, 1, 2]


async def test_no_heartbeats_while_busy(server: Server, key: str) -> None:
    """Events are signs of life enough."""
    _, body = await server.get("/sse", key=key, count=60, pause=0.01, heartbeat=5)
    parser = EventParser()
    assert len(parser.feed(body)) == 60
    assert parser.comments == ["ok"]


async def test_heartbeats_are_never_inside_an_event(server: Server, key: str) -> None:
    """With more heartbeats than events, and large events, each event is whole."""
    _, body = await server.get("/sse", key=key, count=20, pause=0.02, pad=200_000, heartbeat=0.005)
    parser = EventParser()
    assert [len(json.loads(event.data)["pad"]) for event in parser.feed(body)] == [200_000] * 20
    assert set(parser.comments) <= {"ok", ""}
    assert len(parser.comments) > 2


async def test_heartbeats_are_not_queued_up(server: Server, key: str) -> None:
    """A client that stalls finds its events later, and not the heartbeats of all that time in front of them."""
    async with await H1Client.connect(server.address, receive_buffer=4096) as client:
        await client.request(f"/sse?key={key}&count=200&pad=65536&pause=0.005&heartbeat=0.001")
        await server.until(key, cleaned=1)
        await server.settled(key)
        await client.response()
        parser = EventParser()
        events = parser.feed(await client.body())
    numbers = [json.loads(event.data)["n"] for event in events]
    assert numbers == sorted(set(numbers))
    assert numbers[-64:] == list(range(136, 200))  # what the buffer holds: no heartbeat has pushed any of it out
    assert len(parser.comments) < 300


async def test_the_request_inside_the_source(server: Server, key: str) -> None:
    """`request` and `current_app` are usable after the headers have gone out."""
    _, body = await server.get("/context", key=key)
    assert EventParser().feed(body) == [Event(f"{key} tests.servers.apps.streams")] * 3


@pytest.mark.parametrize("seen", ["7", "caf\u00e9 \u65e5\u672c", "a b"])
async def test_last_event_id(server: Server, seen: str) -> None:
    """The id that a browser sends as UTF-8 arrives as it was."""
    async with await H1Client.connect(server.address) as client:
        await client.request("/last-id", headers={"Last-Event-ID": seen})
        await client.response()
        assert EventParser().feed(await client.body()) == [Event(ascii(seen))]


async def test_last_event_id_on_http2(start_server: Callable[..., Server]) -> None:
    """HTTP/2 hands the same bytes on."""
    async with await H2Client.connect(start_server("hypercorn").address) as client:
        stream = await client.request("/last-id", headers={"last-event-id": "caf\u00e9"})
        assert EventParser().feed(await client.body(stream)) == [Event(ascii("caf\u00e9"))]


@pytest.mark.parametrize("name", ["Prüfung 1/2.csv", '../"x"\r\nSet-Cookie: a.csv', "日本.csv"])
async def test_names_of_files(server: Server, key: str, name: str) -> None:
    """Every server takes the header, whatever the name, and nothing of the name becomes another header."""
    async with await H1Client.connect(server.address) as client:
        await client.request(f"/export?key={key}&format=csv&name={quote(name)}")
        headers = (await client.response()).headers
        await client.body()
    kind, params = parse_options_header(headers["content-disposition"])
    assert kind == "attachment"
    assert not set(params["filename"]) & set('/\\"\r\n')
    assert params["filename"].endswith(".csv")
    assert "set-cookie" not in headers


@pytest.mark.parametrize("asked", ["bytes=-3", "bytes=0-1", "bytes=5-", "bytes=x"])
@pytest.mark.parametrize("path", ["/bytes?", "/download?announced=12&"])
async def test_ranges_are_not_served(server: Server, key: str, asked: str, path: str) -> None:
    """A stream has no ranges: it comes whole, and is not an error."""
    async with await H1Client.connect(server.address) as client:
        await client.request(f"{path}key={key}", headers={"Range": asked, "If-None-Match": "*"})
        assert (await client.response()).status == 200
        assert await client.body() == b"000011112222"


@pytest.mark.parametrize("format", ["json", "ndjson", "csv"])
async def test_rows_are_joined_into_chunks(server: Server, key: str, format: str) -> None:
    """Rows that are ready go out together, in chunks of many rows that are not much above 64 KiB; and all is there."""
    sizes, body = [], b""
    async with await H1Client.connect(server.address) as client:
        await client.request(f"/export?key={key}&format={format}&count=20000&never=1&pad=50")
        await client.response()
        async for chunk in client.chunks():
            sizes.append(len(chunk))
            body += chunk
    assert len(sizes) < 2000
    assert max(sizes) < 2 * 65536
    assert numbers(body.decode(), format) == list(range(20000))


def numbers(text: str, format: str) -> list[int]:
    """The rows, as the standard library reads them."""
    rows: list[dict[str, Any]]
    if format == "csv":
        rows = list(csv.DictReader(io.StringIO(text)))
    elif format == "json":
        rows = json.loads(text)
    else:
        rows = [json.loads(line) for line in text.splitlines()]
    return [int(row["n"]) for row in rows]


async def test_http_1_0(server: Server, key: str) -> None:
    """An old client gets the body as well, in whatever framing the server gives it."""
    async with await H1Client.connect(server.address) as client:
        await client.request(f"/bytes?key={key}", version="1.0")
        await client.response()
        assert await client.body() == b"000011112222"
