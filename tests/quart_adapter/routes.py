"""Routes over the adapter and the sources behind them, for the tests in process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from quart import Quart, Response

from quart_adapter import RxStream, download, export, response, sse

Build = Callable[[], Awaitable[Response]]


def served(build: Build, **settings: Any) -> Any:
    """A test client of an app whose one route is this."""
    app = Quart(__name__)
    RxStream(app, **settings)

    @app.route("/")
    async def route() -> Response:
        return await build()

    return app.test_client()


def live(client: Any) -> int:
    """The streams of the app that are open."""
    streams: RxStream = client.app.extensions["rxstream"]
    return streams.live


class Source:
    """Items, and then an end, a failure or nothing; counts starts and cleanups."""

    def __init__(self, *items: Any, then: Exception | str = "end") -> None:
        self.items, self.then = items, then
        self.started = self.cleaned = 0
        self.begun = asyncio.Event()

    async def __call__(self) -> AsyncIterator[Any]:
        self.started += 1
        self.begun.set()
        try:
            for item in self.items:
                yield item
            if isinstance(self.then, Exception):
                raise self.then
            if self.then == "wait":
                await asyncio.Event().wait()
        finally:
            self.cleaned += 1


@dataclass
class Row:
    """A row of an export."""

    n: int
    text: str = "ä,b"


def make(builder: str, source: Any, **options: Any) -> Build:
    """One of the four, with the arguments it needs."""
    fixed: dict[str, Any] = {
        "sse": {},
        "response": {"content_type": "application/octet-stream"},
        "download": {"filename": "x"},
        "export": {"filename": "x"},
    }[builder]
    function: Any = {"sse": sse, "response": response, "download": download, "export": export}[builder]
    return lambda: function(source, **{**fixed, **options})


ALL = ["sse", "response", "download", "export"]
