"""A peer: the best loop that we can write by hand for NDJSON, without Rx, on Quart.

The same encoder as ours, one call for each batch, and batches that follow the size of the rows to make chunks of
64 KiB. It gives other requests no turn, and has no deadline and no care for failures.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Final

import msgspec
from quart import Quart, Response, request

from benchmarks.apps import common
from benchmarks.data import Row

_CHUNK: Final = 64 * 1024

app = Quart(__name__)


@app.get("/ndjson")
async def ndjson() -> Response:
    """Stream the rows as NDJSON in chunks of 64 KiB."""
    limit = request.args.get("limit")

    async def generate() -> AsyncIterator[bytes]:
        encode_lines = msgspec.json.Encoder().encode_lines
        batch: list[Row] = []
        size = 256
        async for row in common.rows(limit):
            batch.append(row)
            if len(batch) >= size:
                chunk = encode_lines(batch)
                size = max(1, size * _CHUNK // len(chunk))
                batch.clear()
                yield chunk
        if batch:
            yield encode_lines(batch)

    return Response(generate(), mimetype="application/x-ndjson")
