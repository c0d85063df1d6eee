"""`RxStream.streams()`: what an app can tell of the streams that are open."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from quart import Quart, Response

from quart_adapter import RxStream, StreamInfo, export, sse
from quart_adapter.testing import stream
from tests.quart_adapter.routes import ALL, make, served
from tests.rxstream.support import Source, until


def only(client: Any) -> StreamInfo:
    """What the app tells of its one stream."""
    streams: RxStream = client.app.extensions["rxstream"]
    (info,) = streams.streams()
    return info


async def test_a_live_stream_is_shown_with_its_counts() -> None:
    """Name, format, items, bytes and buffer, while it is open; gone afterwards."""
    client = served(lambda: sse(Source("a", "b", then="wait"), name="letters", buffer={"capacity": 7}))
    async with stream(client, "/") as reader:
        await reader.events(2)
        info = only(client)
        assert (info.name, info.format, info.items) == ("letters", "sse", 2)
        assert info.bytes >= len(b": ok\n\n")
        assert (info.statistics.capacity, info.statistics.delivered, info.statistics.strategy) == (7, 2, "sliding")
        assert info.seconds >= 0
    assert client.app.extensions["rxstream"].streams() == []


async def test_bytes_are_those_that_went_out() -> None:
    """The sum of the chunks of an export, once the last but one has been asked for."""
    client = served(lambda: export(Source(1, 2, 3, then="wait"), filename="x", format="ndjson"))
    async with stream(client, "/") as reader:
        await reader.rows(3)
        await until(lambda: only(client).bytes == len(b"1\n2\n3\n"))
        assert (only(client).items, only(client).format) == (3, "ndjson")


@pytest.mark.parametrize("builder", ALL)
async def test_the_name_defaults_to_the_endpoint(builder: str) -> None:
    """Each builder takes the route's name where it is given none."""
    client = served(make(builder, Source(b"x", then="wait")))
    async with stream(client, "/"):
        assert only(client).name == "route"


@pytest.mark.parametrize("builder", ALL)
async def test_each_builder_takes_a_name(builder: str) -> None:
    """And shows it."""
    client = served(make(builder, Source(b"x", then="wait"), name="mine"))
    async with stream(client, "/"):
        assert only(client).name == "mine"


@pytest.mark.parametrize("name", ["", "7up", "a b", "é", "user@example.org", "x" * 81, "a\n", "<b>"])
@pytest.mark.parametrize("builder", ALL)
async def test_a_name_that_is_no_constant_is_refused(builder: str, name: str) -> None:
    """Before anything is subscribed to; the message says what a name is."""
    source = Source(b"x")
    app = Quart(__name__)
    async with app.test_request_context("/"):
        with pytest.raises(ValueError, match="constant of your code"):
            await make(builder, source, name=name)()
    assert source.started == 0


async def test_a_name_must_be_text() -> None:
    """A number is a mistake."""
    app = Quart(__name__)
    async with app.test_request_context("/"):
        with pytest.raises(TypeError, match="must be a str"):
            await make("sse", Source(), name=7)()


async def test_an_odd_endpoint_is_no_name() -> None:
    """What Quart lets pass as an endpoint, and is no name here, is left out and not refused."""
    app = Quart(__name__)
    streams = RxStream(app)

    async def route() -> Response:
        return await sse(Source(then="wait"))

    app.add_url_rule("/", "an odd one", route)
    async with stream(app.test_client(), "/"):
        assert [info.name for info in streams.streams()] == [None]


async def test_the_oldest_comes_first() -> None:
    """So that a page that shows them does not jump."""
    app = Quart(__name__)
    streams = RxStream(app)

    @app.get("/<name>")
    async def route(name: str) -> Response:
        return await sse(Source(then="wait"), name="first" if name == "first" else "second")

    async with stream(app.test_client(), "/first"), stream(app.test_client(), "/second"):
        assert [info.name for info in streams.streams()] == ["first", "second"]


def test_the_fields_are_the_documented_ones() -> None:
    """In the documented order, and nobody can change them."""
    assert [field.name for field in dataclasses.fields(StreamInfo)] == [
        "name",
        "format",
        "seconds",
        "items",
        "bytes",
        "statistics",
    ]
    assert StreamInfo.__dataclass_params__.frozen  # type: ignore[attr-defined]
