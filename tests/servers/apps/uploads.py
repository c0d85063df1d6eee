"""Routes that take uploads, fast and slowly, and tell what came."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import os
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from quart import Quart, request

from quart_adapter import BodyLimits, RxStream, UploadError, from_multipart, from_request
from rxstream import to_async_iterable
from tests.servers.apps.watch import watched

settings: dict[str, Any] = json.loads(os.environ.get("TEST_APP", "{}"))
app = Quart(__name__)
app.config["MAX_CONTENT_LENGTH"] = settings.get("limit")
app.config["RESPONSE_TIMEOUT"] = None
RxStream(app, body=BodyLimits(**settings.get("body", {})))
watch = watched(app)
gates: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)  # one for each test
bodies: dict[str, Any] = {}
GIB = 1024**3


@app.before_serving
async def one_thread() -> None:
    """So that what is asked of it last is done last."""
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(1))


@app.get("/admin/written")
async def written() -> dict[str, Any]:
    """Waits until the thread that writes files is done with what it was at."""
    await asyncio.to_thread(lambda: None)
    return {}


@app.get("/admin/failed")
async def failed() -> dict[str, Any]:
    """Waits until the body with this key has failed, whether anybody reads it or not."""
    while bodies[request.args["key"]]._must_raise is None:  # noqa: ASYNC110
        await asyncio.sleep(0.02)
    return {}


@app.get("/admin/go")
async def go() -> dict[str, Any]:
    """Lets the upload with this key go on."""
    gates[request.args["key"]].set()
    return {}


@app.post("/form")
async def form() -> Any:
    """Name, file name, size and SHA-256 of each part."""
    parts = []
    limits: Any = {"allowed_types": request.args.getlist("type") or None, "sniff": "sniff" in request.args}
    async for part in to_async_iterable(from_multipart(request, max_size=2 * GIB, **limits), "import"):
        digest, size = hashlib.sha256(), 0
        async for chunk in to_async_iterable(part.stream, "import"):
            digest.update(chunk)
            size += len(chunk)
        parts.append([part.name, part.filename, size, digest.hexdigest()])
    return parts


@app.get("/page")
async def page() -> str:
    """A page with a form, as a browser submits it."""
    return (
        '<!doctype html><meta charset="utf-8"><form action="/parts" method="post" enctype="multipart/form-data">'
        '<input name="te&quot;xt" id="text"><textarea name="lines" id="lines"></textarea>'
        '<input type="file" name="files" id="files" multiple><input type="file" name="left empty"><button>Send</button>'
    )


@app.post("/parts")
async def parts() -> Any:
    """All that there is to know of each part, its content in base64."""
    return [
        {
            "name": part.name,
            "raw_filename": part.raw_filename,
            "filename": part.filename,
            "type": part.content_type,
            "is_file": part.is_file,
            "content": base64.b64encode(await part.read(GIB)).decode(),
        }
        async for part in to_async_iterable(from_multipart(request, max_size=GIB), "import")
    ]


@app.post("/raw")
async def raw() -> Any:
    """The size of the body. Takes one chunk, then waits to be let go (`hold`); `pause` seconds after each chunk."""
    key, size = request.args["key"], 0
    pause = float(request.args.get("pause", "0"))
    bodies[key] = request.body
    watch.count(key, "started")
    try:
        async for chunk in to_async_iterable(from_request(request), {"capacity": 4}):
            size += len(chunk)
            watch.count(key, "chunks")
            if "hold" in request.args:
                await gates[key].wait()
            if pause:
                await asyncio.sleep(pause)
        watch.count(key, "completed")
    finally:
        watch.count(key, "cleaned")
    return {"size": size}


@app.post("/save")
async def save() -> Any:
    """Saves each file into a folder."""
    key, folder = request.args["key"], Path(request.args["folder"])
    watch.count(key, "started")
    try:
        async for part in to_async_iterable(from_multipart(request, max_size=GIB), "import"):
            if part.is_file:
                await part.save(folder / str(part.filename))
        watch.count(key, "completed")
    finally:
        watch.count(key, "cleaned")
    return {}


@app.post("/files")
async def files() -> Any:
    """Quart's own way, which takes the whole form first."""
    return {name: len(file.read()) for name, file in (await request.files).items()}


@app.post("/refuse")
async def refuse() -> Any:
    """Answers without reading."""
    raise UploadError(413, "file_too_large", "not today")
