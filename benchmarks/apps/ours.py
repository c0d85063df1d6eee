"""Our contender: Quart with rxstream, as the README shows it."""

from __future__ import annotations

from typing import Any

from quart import Quart, Response, request
from reactivex.subject import Subject

from benchmarks.apps import common
from quart_adapter import RxStream, export, sse
from rxstream import StreamMetrics, from_async_iterable


def make_app(metrics: StreamMetrics | None = None) -> Quart:
    """Make the app; with metrics where they are what is measured."""
    app = Quart(__name__)
    RxStream(app, metrics=metrics)
    events: Subject[str] = Subject()

    @app.get("/ndjson")
    async def ndjson() -> Response:
        """Stream the rows as NDJSON."""
        limit = request.args.get("limit")
        return await export(from_async_iterable(lambda: common.rows(limit)), filename="rows.ndjson", format="ndjson")

    @app.get("/csv")
    async def csv() -> Response:
        """Stream the rows as CSV."""
        limit = request.args.get("limit")
        return await export(from_async_iterable(lambda: common.rows(limit)), filename="rows.csv", format="csv")

    @app.get("/volume")
    async def volume() -> Response:
        """Stream any number of rows that are made on the way."""
        count = int(request.args["rows"])
        return await export(
            from_async_iterable(lambda: common.fresh_rows(count)), filename="rows.ndjson", format="ndjson"
        )

    @app.get("/events")
    async def stream() -> Response:
        """Stream the events to one client."""
        return await sse(events)

    @app.post("/publish")
    async def publish() -> dict[str, Any]:
        """Publish events to all clients and end their streams."""
        result = await common.publish(events.on_next, int(request.args["events"]))
        events.on_completed()
        return result

    @app.get("/admin")
    async def admin() -> dict[str, int]:
        """Show the figures of this process."""
        return common.admin(len(events.observers))

    return app


app = make_app()
