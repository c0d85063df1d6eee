"""Routes behind circuits, over a source that can be made to fail: one for each test, or one in Redis for all."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator
from typing import Any

import redis
from pybreaker import CircuitBreaker, CircuitRedisStorage
from quart import Quart, Response, request

from quart_adapter import RxStream, export, response, sse
from rxstream import circuits, from_async_iterable
from rxstream.operators import with_circuit
from tests.servers.apps.watch import watched

settings: dict[str, Any] = json.loads(os.environ.get("TEST_APP", "{}"))
app = Quart(__name__)
RxStream(app, patch_hypercorn=True)
watch = watched(app)
shared: CircuitBreaker | None = None
if "redis" in settings:
    client = redis.Redis(port=settings["redis"], socket_timeout=2)
    shared = circuits.get("shared", fail_max=2, state_storage=CircuitRedisStorage("closed", client, "tests"))


def circuit() -> CircuitBreaker:
    """The circuit of this request."""
    return shared or circuits.get(request.args["key"], fail_max=2, reset_timeout=60)


async def source() -> AsyncIterator[Any]:
    """`count` items, then as the query says: end, fail, wait."""
    key, then = request.args["key"], request.args.get("then", "end")
    watch.count(key, "started")
    try:
        for _ in range(int(request.args.get("count", "1"))):
            yield b"item\n" if request.path == "/bytes" else {"item": 1}
        watch.count(key, "sent")
        if then == "wait":
            await asyncio.Event().wait()
        if then == "fail":
            raise RuntimeError("a secret of the app")
    finally:
        watch.count(key, "cleaned")


def guarded() -> Any:
    """The source behind the circuit."""
    return from_async_iterable(source).pipe(with_circuit(circuit()))


@app.get("/bytes")
async def as_bytes() -> Response:
    """Bytes."""
    return await response(guarded(), content_type="text/plain")


@app.get("/export")
async def as_json() -> Response:
    """A JSON array."""
    return await export(guarded(), filename="items.json")


@app.get("/sse")
async def as_events() -> Response:
    """Events."""
    return await sse(guarded())


@app.get("/admin/circuit")
async def the_circuit() -> dict[str, str]:
    """The circuit's state, and a way to set it."""
    breaker, word = circuit(), request.args.get("set")
    if word is not None:
        await asyncio.to_thread(getattr(breaker, word))
    return {"state": await asyncio.to_thread(lambda: breaker.current_state)}
