"""Who owns a stream between its opening and its response."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from traceback import format_exception
from typing import Any

import pytest
from quart import Quart, Response

from quart_adapter import RxStream, export, sse
from rxstream.errors import RxStreamError


async def rows() -> AsyncIterator[dict[str, int]]:
    """More than one batch."""
    for number in range(1000):
        yield {"n": number}


def with_setup(app: Quart) -> None:
    """As the docs say."""
    RxStream(app)


def without_setup(app: Quart) -> None:
    """Streams have their defaults."""


@pytest.mark.parametrize("set_up", [with_setup, without_setup])
async def test_a_response_that_a_child_task_opened_is_whole(set_up: Any) -> None:
    """The end of a task within the handler is not the end of the request."""
    app = Quart(__name__)
    set_up(app)

    @app.get("/")
    async def route() -> Response:
        response, _ = await asyncio.gather(export(rows(), filename="rows.json"), asyncio.sleep(0))
        return response

    answer = await app.test_client().get("/")
    assert json.loads(await answer.get_data()) == [{"n": number} for number in range(1000)]


async def test_a_stream_that_was_closed_never_looks_whole() -> None:
    """A response that was let go of before it was sent is cut off, and has no end of its own."""
    app = Quart(__name__)
    streams = RxStream(app)

    @app.get("/")
    async def route() -> Response:
        response = await export(rows(), filename="rows.json")
        for body in list(streams._live):
            body.abandon()
        return response

    with pytest.raises((RxStreamError, ExceptionGroup)) as caught:  # Quart 0.23 groups it
        await app.test_client().get("/")
    assert "the stream was closed before it was sent" in "".join(format_exception(caught.value))


@pytest.mark.parametrize("build", [lambda: export(rows(), filename="rows.json"), lambda: sse(rows())])
async def test_a_stop_leaves_the_handlers_own_code_alone(build: Any) -> None:
    """A handler that has opened a stream and does something else is not cancelled when the server stops."""
    app = Quart(__name__)
    streams = RxStream(app, shutdown_grace=0.001)

    @app.get("/")
    async def route() -> str:
        response = await build()
        streams.stop()
        await asyncio.sleep(0.01)  # the grace is over
        assert response.status_code == 200
        return "plain"

    answer = await app.test_client().get("/")
    assert await answer.get_data(as_text=True) == "plain"


def test_one_setup_serves_one_app() -> None:
    """Its signal handlers and streams are those of one app."""
    streams = RxStream(Quart("first"))
    with pytest.raises(RuntimeError, match="serves the app 'first'"):
        streams.init_app(Quart("second"))
