"""The route under which an app's metrics are scraped."""

from __future__ import annotations

import asyncio
from typing import Final

from quart import Response, request

from rxstream.metrics import StreamMetrics

__all__ = ["expose"]

DEADLINE: Final = 10.0
"""Seconds that a scrape may take: as long as Prometheus waits by default."""


async def expose(metrics: StreamMetrics) -> Response:
    """Answers a scrape, in the format that it asks for; `?name[]=...` asks for some of them. 503: not in time."""
    accept = ",".join(request.headers.getlist("Accept"))
    rendering = metrics.rendering(accept, request.args.getlist("name[]"))
    try:
        async with asyncio.timeout(DEADLINE):
            body, content_type = await asyncio.wrap_future(rendering)
    except (TimeoutError, RuntimeError) as error:  # the backend is stuck; its thread, and no other, waits for it
        return Response(f"the metrics cannot be had: {str(error) or 'no answer in time'}\n", 503, mimetype="text/plain")
    return Response(body, content_type=content_type)
