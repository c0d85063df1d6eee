"""The app of `streams` inside one that is not Quart's, which starts and shuts it down as docs/serving.md says."""

from __future__ import annotations

from typing import Any

from tests.servers.apps.streams import app as inner


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Passes requests on, and keeps the lifespan to itself, as mounting does."""
    if scope["type"] != "lifespan":
        await inner(scope, receive, send)
        return
    await receive()
    await inner.startup()
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await inner.shutdown()
    await send({"type": "lifespan.shutdown.complete"})
