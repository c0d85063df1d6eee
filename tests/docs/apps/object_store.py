"""Plays an object store as S3 speaks: objects are put whole, with their length, or in parts. All in memory."""

from __future__ import annotations

import hashlib
from itertools import count
from typing import Any
from xml.etree import ElementTree

from quart import Quart, Response, abort, request

app = Quart(__name__)
app.config["MAX_CONTENT_LENGTH"] = 1 << 30
objects: dict[str, bytes] = {}
uploads: dict[str, dict[int, bytes]] = {}
names = count(1)


@app.put("/bucket/<key>")
async def put(key: str) -> tuple[str, int, dict[str, str]]:
    """An object, or a part of one."""
    if request.content_length is None:
        abort(411)
    content = await _content()
    if (upload := request.args.get("uploadId")) is None:
        objects[key] = content
    else:
        uploads[upload][int(request.args["partNumber"])] = content
    return "", 200, {"ETag": _tag(content)}


@app.post("/bucket/<key>")
async def post(key: str) -> Response:
    """Opens an upload in parts, or completes it."""
    if "uploads" in request.args:
        name = f"upload-{next(names)}"
        uploads[name] = {}
        return Response(f'<Result xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><UploadId>{name}</UploadId></Result>')
    parts = uploads.pop(request.args["uploadId"])
    asked = ElementTree.fromstring(await _content())
    chosen = [(int(part.findtext("PartNumber", "")), part.findtext("ETag")) for part in asked]
    assert chosen == [(number, _tag(content)) for number, content in sorted(parts.items())]
    assert all(len(content) >= 5 << 20 for _, content in sorted(parts.items())[:-1]), "a part is too small"
    objects[key] = b"".join(content for _, content in sorted(parts.items()))
    return Response("<CompleteMultipartUploadResult/>")


@app.delete("/bucket/<key>")
async def delete(key: str) -> tuple[str, int]:
    """Abandons an upload in parts."""
    del uploads[request.args["uploadId"]]
    return "", 204


@app.get("/bucket/<key>")
async def get(key: str) -> Any:
    """An object."""
    return Response(objects[key]) if key in objects else ("", 404)


@app.get("/open")
async def still_open() -> list[str]:
    """The uploads in parts that are neither complete nor abandoned."""
    return list(uploads)


async def _content() -> bytes:
    content = await request.get_data()
    assert isinstance(content, bytes)
    return content


def _tag(content: bytes) -> str:
    return f'"{hashlib.md5(content, usedforsecurity=False).hexdigest()}"'
