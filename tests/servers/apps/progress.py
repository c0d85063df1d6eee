"""An import in one request, and its progress in another."""

from __future__ import annotations

import msgspec
from quart import Quart, Response, request

from quart_adapter import RxStream, from_request, sse
from rxstream import ProgressEvents, for_each, progress_events
from rxstream.operators import decode_ndjson, with_progress
from tests.servers.apps.watch import watched

app = Quart(__name__)
streams = RxStream(app)
watch = watched(app)
feeds: dict[str, ProgressEvents] = {}


class Row(msgspec.Struct):
    """A row of the import."""

    n: int


def feed() -> ProgressEvents:
    """That of this import, for whoever comes first."""
    return feeds.setdefault(request.args["key"], progress_events())


@app.post("/import")
async def take() -> dict[str, int]:
    """Stores rows, and counts them on their way."""
    key, stored = request.args["key"], 0

    async def store(row: Row) -> None:
        nonlocal stored
        stored += 1
        watch.count(key, "stored")

    counted = with_progress("import", total=int(request.args["total"]), log_interval=100, on_progress=feed())
    await for_each(from_request(request).pipe(decode_ndjson(Row), counted), store, buffer="import")
    return {"stored": stored}


@app.get("/progress")
async def progress() -> Response:
    """How far it is."""
    watch.count(request.args["key"], "watched")
    return await sse(feed())


@app.get("/admin/live")
async def live() -> dict[str, int]:
    """Streams that are open."""
    return {"live": streams.live}
