"""The yardstick of an idle SSE client: the barest Quart generator that waits, with no queue and no data."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from quart import Quart, Response

from benchmarks.apps import common

app = Quart(__name__)
never = asyncio.Event()
clients = 0


@app.get("/events")
async def stream() -> Response:
    """Send one comment and wait for ever."""

    async def generate() -> AsyncIterator[bytes]:
        global clients
        clients += 1
        yield b": ok\n\n"
        await never.wait()

    response = Response(generate(), headers={"Content-Type": "text/event-stream"})
    response.timeout = None
    return response


@app.get("/admin")
async def admin() -> dict[str, int]:
    """Show the figures of this process."""
    return common.admin(clients)
