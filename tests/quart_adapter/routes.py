"""Routes over the adapter and the sources behind them, for the tests in process."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
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
