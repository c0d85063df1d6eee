"""What a route calls, in process: formats, refusals, the request's context."""

from __future__ import annotations

import asyncio
import csv
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import reactivex
from quart import Quart, current_app, request
from reactivex import operators as ops
from reactivex.subject import Subject

from quart_adapter import RxStream
from quart_adapter.testing import Event, stream
from rxstream import BufferConfig
from rxstream.errors import EncodeError
from rxstream.formats import ServerSentEvent
from tests.quart_adapter.routes import ALL, Row, make, served
from tests.rxstream.support import Source


async def test_events() -> None:
    """Text is data, other things are JSON, and a `ServerSentEvent` is itself."""
    source = Source("a\nb", {"n": 1}, ServerSentEvent("c", event="e", id="7"), Row(2))
    async with stream(served(make("sse", source, retry=1500)), "/") as s:
        data = '{"n":2,"text":"ä,b"}'
        assert await s.events() == [Event("a\nb"), Event('{"n":1}'), Event("c", "e", "7"), Event(data, id="7")]
        assert s.parser.retry == 1500


@pytest.mark.parametrize("format", ["json", "ndjson", "csv"])
async def test_export(format: str) -> None:
    """Each format is what its name says, under its type and a name to save it by."""
    source = reactivex.range(300).pipe(ops.map(Row))
    async with stream(served(make("export", source, format=format, filename="r")), "/") as s:
        text = (await s.body()).decode()
        assert s.headers["Content-Disposition"] == 'attachment; filename="r"'
        assert s.headers["X-Content-Type-Options"] == "nosniff"
    if format == "csv":
        assert s.headers["Content-Type"] == "text/csv; charset=utf-8"
        rows: list[Any] = list(csv.DictReader(text.splitlines()))
    elif format == "json":
        assert s.headers["Content-Type"] == "application/json"
        rows = json.loads(text)
    else:
        assert s.headers["Content-Type"] == "application/x-ndjson"
        rows = [json.loads(line) for line in text.splitlines()]
    assert [int(row["n"]) for row in rows] == list(range(300))
    assert {row["text"] for row in rows} == {"ä,b"}


@pytest.mark.parametrize(("format", "empty"), [("json", b"[]"), ("ndjson", b""), ("csv", b"")])
async def test_an_empty_export(format: str, empty: bytes) -> None:
    """No rows are a document as well."""
    async with stream(served(make("export", reactivex.empty(), format=format)), "/") as s:
        assert (s.status, await s.body()) == (200, empty)


async def test_columns_of_an_empty_csv() -> None:
    """Columns that are given are a header without rows."""
    async with stream(served(make("export", reactivex.empty(), format="csv", columns=["a", "b"])), "/") as s:
        assert await s.body() == b"a,b\r\n"


async def test_bytes_likes() -> None:
    """`response` takes every kind of bytes as it is, with any status and header."""
    source = Source(b"a", bytearray(b"b"), memoryview(b"c"))
    async with stream(served(make("response", source, status=203, headers={"X-A": "1"})), "/") as s:
        assert (s.status, s.headers["X-A"], await s.body()) == (203, "1", b"abc")


async def test_sliding_leaves_json_whole() -> None:
    """What is dropped are items, so the document that comes out is one: dropping happens in front of the framing."""
    subject: Subject[int] = Subject()
    async with stream(served(make("sse", subject, buffer=BufferConfig(2, "sliding"))), "/", stalled=True) as s:
        await asyncio.sleep(0)
        for number in range(100):
            subject.on_next(number)
        subject.on_completed()
        s.resume()
        assert await s.events() == [Event("98"), Event("99")]


REFUSED: list[tuple[str, Any, dict[str, Any], type[Exception], str]] = [
    ("sse", reactivex.never(), {"retry": -1}, ValueError, "retry"),
    ("sse", reactivex.never(), {"heartbeat": 0}, ValueError, "heartbeat must be a positive number of seconds or None"),
    ("sse", reactivex.never(), {"heartbeat": "1"}, TypeError, "heartbeat must be a number of seconds or None"),
    ("sse", reactivex.never(), {"on_error": 1}, TypeError, "on_error must be callable"),
    ("sse", reactivex.never(), {"buffer": "huge"}, ValueError, "no buffer preset 'huge'"),
    ("sse", reactivex.never(), {"buffer": {"capacity": 0}}, ValueError, "capacity must be from 1"),
    ("sse", reactivex.never(), {"headers": {"Connection": "close"}}, ValueError, "belongs to the server"),
    ("sse", [1, 2], {}, TypeError, "reactivex.from_iterable makes an Observable of an iterable"),
    ("response", reactivex.never(), {"content_type": "text/csv\n"}, ValueError, "content_type must look like"),
    ("response", reactivex.never(), {"headers": {"X": "a\nb"}}, ValueError, "may not hold"),
    ("response", reactivex.never(), {"headers": {"Content-Length": 3}}, ValueError, r"download\(size=\.\.\.\)"),
    ("download", reactivex.never(), {"size": -1}, ValueError, "size must not be negative, not -1"),
    ("download", reactivex.never(), {"size": True}, TypeError, "size must be an int, not True"),
    ("download", reactivex.never(), {"filename": b"x"}, TypeError, "filename must be a str"),
    ("export", reactivex.never(), {"format": "xml"}, ValueError, "format must be one of json, csv, ndjson, not 'xml'"),
    ("export", reactivex.never(), {"columns": ["a"]}, ValueError, "columns belong to CSV"),
]


@pytest.mark.parametrize(("builder", "source", "options", "kind", "message"), REFUSED)
async def test_wrong_arguments_are_refused(
    builder: str, source: Any, options: dict[str, Any], kind: type[Exception], message: str
) -> None:
    """In the handler, with a message that tells the way out; nothing was subscribed to."""
    app = Quart(__name__)
    streams = RxStream(app)
    async with app.test_request_context("/"):
        with pytest.raises(kind, match=message):
            await make(builder, source, **options)()
    assert streams.live == 0


@pytest.mark.parametrize(
    ("item", "message"),
    [
        ("text", "text has no bytes of its own; encode it"),
        (1, r"bytes was expected, not of int; .*export\(\)"),
    ],
)
async def test_items_that_are_no_bytes(item: Any, message: str) -> None:
    """Text and other things are an error that says what would do."""
    app = Quart(__name__)
    async with app.test_request_context("/"):
        with pytest.raises(EncodeError, match=message):
            await make("response", Source(item))()


@pytest.mark.parametrize("builder", ALL)
async def test_the_request_inside_the_source(builder: str) -> None:
    """`request` and `current_app` are usable in the source, at its start and after the headers."""
    seen = []

    async def source() -> AsyncIterator[bytes]:
        for _ in range(3):
            seen.append((request.path, current_app.name))
            await asyncio.sleep(0)
            yield b"1"

    client = served(make(builder, source))
    async with stream(client, "/") as s:
        await s.body()
    assert seen == [("/", client.app.name)] * 3


async def test_the_request_inside_a_worker_thread() -> None:
    """A stock source runs on its own thread, under the same context."""
    source = reactivex.range(3).pipe(ops.map(lambda n: request.path.encode()))
    async with stream(served(make("response", source)), "/") as s:
        assert await s.body() == b"///"


@pytest.mark.parametrize("builder", ALL)
async def test_head_subscribes_to_nothing(builder: str) -> None:
    """The headers are those of GET."""
    source = Source(b"1")
    client = served(make(builder, source))
    async with stream(client, "/", method="HEAD") as head, stream(client, "/") as get:
        assert await head.body() == b""
        assert sorted(head.headers) == sorted(get.headers) or "Content-Length" in head.headers
    assert source.started == 1


def test_an_app_is_set_up_once() -> None:
    """A second `RxStream` would chain signals twice."""
    app = Quart(__name__)
    RxStream(app)
    with pytest.raises(RuntimeError, match="has an RxStream already"):
        RxStream(app)


@pytest.mark.parametrize("name", ["heartbeat", "send_timeout", "shutdown_grace"])
@pytest.mark.parametrize("value", [0, -1, float("nan"), "1", True])
def test_settings_are_checked(name: str, value: Any) -> None:
    """Seconds are positive numbers."""
    with pytest.raises((TypeError, ValueError), match=name):
        RxStream(**{name: value})
