"""A peer: Starlette's `StreamingResponse` over a generator, one `json.dumps` a chunk, as its documentation has it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.routing import Route

from benchmarks.apps import common


async def ndjson(request: Request) -> StreamingResponse:
    """Stream the rows as NDJSON."""
    limit = request.query_params.get("limit")

    async def generate() -> AsyncIterator[str]:
        async for row in common.rows(limit):
            yield json.dumps(row) + "\n"

    return StreamingResponse(generate(), media_type="application/x-ndjson")


app = Starlette(routes=[Route("/ndjson", ndjson)])
