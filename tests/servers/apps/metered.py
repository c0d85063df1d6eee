"""Routes that are counted, and scraped under `/metrics`; several workers share what they count."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator

from quart import Quart, Response, request

from quart_adapter import RxStream, export, from_multipart, sse_tracked
from rxstream import StreamMetrics, circuits, from_async_iterable, to_async_iterable
from rxstream.operators import with_circuit

app = Quart(__name__)
RxStream(app, metrics=StreamMetrics(), patch_hypercorn=True)
circuits.get("inventory", fail_max=1, reset_timeout=600)


@app.get("/pid")
async def pid() -> dict[str, int]:
    """The process that answers."""
    return {"pid": os.getpid()}


@app.get("/rows")
async def rows() -> Response:
    """An export of `count` rows; `fail` fails behind them."""
    count, fail = int(request.args["count"]), "fail" in request.args

    async def source() -> AsyncIterator[dict[str, int]]:
        for number in range(count):
            yield {"number": number}
        if fail:
            raise ValueError("broken")

    return await export(source, filename="rows", format="ndjson")


@app.get("/feed")
async def feed() -> Response:
    """One event with the process that answers, and then nothing."""

    async def source() -> AsyncIterator[int]:
        yield os.getpid()
        await asyncio.Event().wait()

    return await sse_tracked(source, name="feed")


@app.get("/stock")
async def stock() -> Response:
    """A source that fails, in a circuit."""

    async def source() -> AsyncIterator[int]:
        raise ValueError("broken")
        yield 0

    return await export(from_async_iterable(source).pipe(with_circuit("inventory")), filename="stock")


@app.post("/form")
async def form() -> str:
    """Takes a form with files of at most 1,000 bytes."""
    async for part in to_async_iterable(from_multipart(request, max_size=1000), "import"):
        await part.read()
    return ""
