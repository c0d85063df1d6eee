"""A peer: sse-starlette's `EventSourceResponse` over a generator with a queue for each client, with its defaults."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from sse_starlette import EventSourceResponse
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from benchmarks.apps import common

queues: set[asyncio.Queue[str | None]] = set()


async def stream(request: Request) -> EventSourceResponse:
    """Stream the events to one client."""

    async def generate() -> AsyncIterator[dict[str, str]]:
        queue: asyncio.Queue[str | None] = asyncio.Queue()
        queues.add(queue)
        try:
            while (data := await queue.get()) is not None:
                yield {"data": data}
        finally:
            queues.discard(queue)

    return EventSourceResponse(generate())


async def publish(request: Request) -> JSONResponse:
    """Publish events to all clients and end their streams."""

    def push(event: str | None) -> None:
        for queue in queues:
            queue.put_nowait(event)

    result = await common.publish(push, int(request.query_params["events"]))
    push(None)
    return JSONResponse(result)


async def admin(request: Request) -> JSONResponse:
    """Show the figures of this process."""
    return JSONResponse(common.admin(len(queues)))


app = Starlette(routes=[Route("/events", stream), Route("/publish", publish, methods=["POST"]), Route("/admin", admin)])
