"""Peers: the best loop that we can write by hand for NDJSON, without Rx, on Quart.

One call of the encoder for each batch, and batches that follow the size of the rows to make chunks of 64 KiB. It gives
other requests no turn, and has no deadline and no care for failures. Once with the encoder that our exports use, which
refuses what JSON cannot say, and once with msgspec alone, which writes NaN as null and rounds UTC offsets.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any, Final

import msgspec
from quart import Quart, Response, request

from benchmarks.apps import common
from benchmarks.data import Row
from rxstream.formats import NDJSONEncoder

_CHUNK: Final = 64 * 1024

app = Quart(__name__)


@app.get("/ndjson")
async def ndjson() -> Response:
    """Stream the rows as NDJSON in chunks of 64 KiB, with the same encoder as ours."""
    return _stream(NDJSONEncoder[Row]().encode)


@app.get("/ndjson-bare")
async def ndjson_bare() -> Response:
    """The same with msgspec alone."""
    return _stream(msgspec.json.Encoder().encode_lines)


def _stream(encode: Callable[[Any], bytes]) -> Response:
    limit = request.args.get("limit")

    async def generate() -> AsyncIterator[bytes]:
        batch: list[Row] = []
        size = 256
        async for row in common.rows(limit):
            batch.append(row)
            if len(batch) >= size:
                chunk = encode(batch)
                size = max(1, size * _CHUNK // len(chunk))
                batch.clear()
                yield chunk
        if batch:
            yield encode(batch)

    return Response(generate(), mimetype="application/x-ndjson")
