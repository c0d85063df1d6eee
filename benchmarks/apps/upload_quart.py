"""A peer: Quart's own `await request.files` and `await request.form`, with its limits raised to let the forms in."""

from __future__ import annotations

import os
from typing import Any

from quart import Quart, request

from benchmarks.apps import common
from benchmarks.apps.tally import Tally

app = Quart(__name__)
app.config.update(MAX_CONTENT_LENGTH=None, MAX_FORM_PARTS=20_000, MAX_FORM_MEMORY_SIZE=None)


@app.post("/file")
async def file() -> dict[str, Any]:
    """Take files as Quart stores them."""
    tally = Tally(request.args.get("check"))
    for stored in (await request.files).values():
        size = stored.stream.seek(0, os.SEEK_END)
        stored.stream.seek(0)
        tally.file(stored.stream, size)
    return tally.result()


@app.post("/fields")
async def fields() -> dict[str, Any]:
    """Take fields as text."""
    tally = Tally(request.args.get("check"))
    for value in (await request.form).values():
        tally.field(value)
    return tally.result()


@app.get("/admin")
async def admin() -> dict[str, int]:
    """Show the figures of this process."""
    return common.admin(0)
