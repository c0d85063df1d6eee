"""Our contender for uploads: Quart with rxstream, as docs/uploads.md shows it."""

from __future__ import annotations

from typing import Any

from quart import Quart, request

from benchmarks.apps import common
from benchmarks.apps.tally import Tally
from benchmarks.uploads import MIB
from quart_adapter import MultipartLimits, RxStream, from_multipart
from rxstream import to_async_iterable

app = Quart(__name__)
app.config["MAX_CONTENT_LENGTH"] = None
RxStream(app)


@app.post("/file")
async def file() -> dict[str, Any]:
    """Take files as streams, and keep nothing."""
    tally = Tally(request.args.get("check"))
    async for part in to_async_iterable(from_multipart(request, max_size=2**20 * MIB), "import"):
        async for chunk in to_async_iterable(part.stream, "import"):
            tally.chunk(chunk)
    return tally.result()


@app.post("/fields")
async def fields() -> dict[str, Any]:
    """Take fields as text."""
    tally = Tally(request.args.get("check"))
    limits = MultipartLimits(parts=20_000)
    async for part in to_async_iterable(from_multipart(request, limits=limits), "import"):
        tally.field(await part.text())
    return tally.result()


@app.get("/admin")
async def admin() -> dict[str, int]:
    """Show the figures of this process."""
    return common.admin(0)
