"""A peer: Quart alone, its streams as Quart's documentation writes them (a generator that yields each row or event)."""

from __future__ import annotations

import asyncio
import csv as csv_module
import io
import json
from collections.abc import AsyncIterator
from typing import Any

from quart import Quart, Response, request

from benchmarks.apps import common
from benchmarks.data import COLUMNS

app = Quart(__name__)
queues: set[asyncio.Queue[str | None]] = set()


@app.get("/ndjson")
async def ndjson() -> Response:
    """Stream the rows as NDJSON, one `json.dumps` a chunk."""
    limit = request.args.get("limit")

    async def generate() -> AsyncIterator[bytes]:
        async for row in common.rows(limit):
            yield (json.dumps(row) + "\n").encode()

    return Response(generate(), mimetype="application/x-ndjson")


@app.get("/csv")
async def csv() -> Response:
    """Stream the rows as CSV, one row a chunk."""
    limit = request.args.get("limit")

    async def generate() -> AsyncIterator[bytes]:
        line = io.StringIO()
        writer = csv_module.writer(line)
        writer.writerow(COLUMNS)
        async for row in common.rows(limit):
            writer.writerow(row.values())
            yield line.getvalue().encode()
            line.seek(0)
            line.truncate()

    return Response(generate(), mimetype="text/csv")


@app.get("/events")
async def stream() -> Response:
    """Stream the events to one client, from a queue of its own."""

    async def generate() -> AsyncIterator[bytes]:
        queue: asyncio.Queue[str | None] = asyncio.Queue()
        queues.add(queue)
        try:
            while (data := await queue.get()) is not None:
                yield f"data: {data}\n\n".encode()
        finally:
            queues.discard(queue)

    headers = {"Content-Type": "text/event-stream", "Cache-Control": "no-cache"}
    response = Response(generate(), headers=headers)
    response.timeout = None
    return response


@app.post("/publish")
async def publish() -> dict[str, Any]:
    """Publish events to all clients and end their streams."""

    def push(event: str | None) -> None:
        for queue in queues:
            queue.put_nowait(event)

    result = await common.publish(push, int(request.args["events"]))
    push(None)
    return result


@app.get("/admin")
async def admin() -> dict[str, int]:
    """Show the figures of this process."""
    return common.admin(len(queues))
