"""What a browser is shown in the tests: events that are awkward, streams that go on, end, fail, and can be saved."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from itertools import count

import reactivex
from quart import Quart, Response, request

from quart_adapter import RxStream, download, export, last_event_id, sse
from rxstream import ServerSentEvent
from tests.servers.apps.watch import watched

AWKWARD = [
    ServerSentEvent("plain", id="1"),
    ServerSentEvent(""),
    ServerSentEvent(" leading, trailing "),
    ServerSentEvent("two\nlines\n\nand an empty one"),
    ServerSentEvent("\n"),
    ServerSentEvent("ends with a line\n"),
    ServerSentEvent("data: not a field\nevent: nor this\n: nor a comment", id="with spaces, and: a colon"),
    ServerSentEvent("naïve ☃ 😀 \u2028 \u2029 \u0085 \ufeff \ufffd \x00 \t", id="ключ 😀"),
    ServerSentEvent("named", event="named"),
    ServerSentEvent("ein anderer", event="ähnlich 😀"),
    ServerSentEvent("the id was reset", id=""),
    ServerSentEvent({"n": 2**53 + 1, "text": "a\nb\r\n"}, id="json"),
    ServerSentEvent("x" * 300_000, comment="large"),
    ServerSentEvent("the end", event="end"),
]
BLOB = bytes(range(256)) * 20_000

app = Quart(__name__)
RxStream(app)
watch = watched(app)


@app.get("/")
async def page() -> str:
    return "<!doctype html><html lang=en><title>a page</title><body><a id=link>save</a></body></html>"


@app.get("/awkward")
async def awkward() -> Response:
    return await sse(reactivex.from_iterable(AWKWARD), buffer="download")


@app.get("/again")
async def again() -> Response:
    """One event with an id, or, to whoever comes back with one, what that was."""
    known = last_event_id(request)
    event = ServerSentEvent("go on", id=request.args["id"]) if known is None else ServerSentEvent(known, event="known")
    return await sse(reactivex.of(event), retry=10)


@app.get("/numbers")
async def numbers() -> Response:
    key = request.args["key"]

    async def source() -> AsyncIterator[int]:
        watch.count(key, "started")
        try:
            for number in count():
                yield number
                await asyncio.sleep(0.02)
        finally:
            watch.count(key, "cleaned")

    return await sse(source)


@app.get("/blob")
async def blob() -> Response:
    return await download(pieces(), filename="blöb.bin", size=len(BLOB) if "size" in request.args else None)


async def pieces() -> AsyncIterator[bytes]:
    for start in range(0, len(BLOB), 50_000):
        yield BLOB[start : start + 50_000]


@app.get("/broken.<any(csv, json, ndjson):kind>")
async def broken(kind: str) -> Response:
    """Fails behind some rows: all of what came is whole rows, and still it is no file."""

    async def rows() -> AsyncIterator[dict[str, int]]:
        for number in range(int(request.args.get("rows", "50000"))):
            yield {"number": number}
        raise RuntimeError("a secret of the app")

    return await export(rows(), filename=f"broken.{kind}", format=kind)  # type: ignore[arg-type]
