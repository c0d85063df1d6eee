"""Plain Quart, no adapter: the ways in which a response can end, for the tests of the clients themselves."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from quart import Quart, Response, request

from tests.servers.apps.watch import watched

app = Quart(__name__)
watch = watched(app)


@app.get("/body")
async def body() -> Response:
    """Chunks of `size` bytes; then an end, a failure, or neither."""
    key, ending = request.args["key"], request.args.get("ending", "clean")
    count, size = int(request.args.get("count", "3")), int(request.args.get("size", "4"))

    async def chunks() -> AsyncIterator[bytes]:
        try:
            for _ in range(count):
                watch.count(key, "pulled")
                yield b"x" * size
                await asyncio.sleep(0)
            if ending == "fails":
                raise RuntimeError("amid the body")
            if ending == "waits":
                await asyncio.Event().wait()
        finally:
            watch.count(key, "cleaned")

    response = Response(chunks(), content_type="application/octet-stream")
    response.timeout = None
    if "length" in request.args:
        response.headers["Content-Length"] = request.args["length"]
    return response


@app.get("/leak")
async def leak() -> str:
    """Leaves an error that nobody handles."""

    async def failing() -> None:
        raise RuntimeError("nobody looks")

    task = asyncio.create_task(failing())
    await asyncio.wait([task])
    return "leaked"
