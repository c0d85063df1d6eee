"""Routes of the adapter, each over a source that counts what is pulled from it and how often it is cleaned up."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Iterator
from typing import Any

import reactivex
from quart import Quart, Response, current_app, request

from quart_adapter import RxStream, download, export, last_event_id, response, sse
from rxstream.formats import ServerSentEvent
from tests.servers.apps.watch import watched

settings: dict[str, Any] = json.loads(os.environ.get("TEST_APP", "{}"))
app = Quart(__name__)
app.config["RESPONSE_TIMEOUT"] = 0.5  # seconds; no stream may end because of it
streams = RxStream(app, **settings)
watch = watched(app)


async def source(*, waits_first: bool = False) -> AsyncIterator[int]:
    """Numbers, as the query says: `count` of them (0: for ever), then `then`: end, fail, wait."""
    key, count, then = request.args["key"], int(request.args.get("count", "3")), request.args.get("then", "end")
    turns, pause = "never" not in request.args, float(request.args.get("pause", "0"))
    watch.count(key, "started")
    try:
        if waits_first:
            await asyncio.Event().wait()
        number = 0
        while not count or number < count:
            watch.count(key, "pulled")
            yield number
            number += 1
            if turns:
                await asyncio.sleep(pause)
        if then == "wait":
            await asyncio.Event().wait()
        if then != "end":
            raise failure(then)
    finally:
        watch.count(key, "cleaned")


def failure(name: str) -> BaseException:
    """The failures that servers and Quart treat each in their own way."""
    kinds: dict[str, type[BaseException]] = {
        "fail": RuntimeError,
        "timeout": TimeoutError,
        "cancel": asyncio.CancelledError,
        "oserror": ConnectionResetError,
    }
    return kinds[name]("a secret of the app")


async def blocks() -> AsyncIterator[bytes]:
    """Items of `size` bytes."""
    size = int(request.args.get("size", "4"))
    async for number in source():
        yield b"%d" % (number % 10) * size


def threaded(key: str, size: int) -> Iterator[bytes]:
    """An endless plain iterator: it runs on a thread of its own, and never suspends."""
    watch.count(key, "started")
    block = b"x" * size
    try:
        while True:
            watch.count(key, "pulled")
            yield block
    finally:
        watch.count(key, "cleaned")


@app.get("/bytes")
async def as_bytes() -> Response:
    """`response` over the source."""
    return await response(blocks, content_type="application/octet-stream")


@app.get("/thread")
async def on_a_thread() -> Response:
    """`response` over a source that needs a worker thread."""
    items = threaded(request.args["key"], int(request.args.get("size", "4")))
    return await response(reactivex.from_iterable(items), content_type="application/octet-stream")


@app.get("/late")
async def late() -> Response:
    """`response` over a source whose first item never comes."""

    async def never() -> AsyncIterator[bytes]:
        async for _ in source(waits_first=True):
            yield b""

    return await response(never, content_type="application/octet-stream")


@app.get("/sse")
async def events() -> Response:
    """`sse` over the source; `heartbeat`, `on_error`, `pad` and the buffer as the query says."""
    pad = "x" * int(request.args.get("pad", "0"))
    options: dict[str, Any] = {}
    if "heartbeat" in request.args:
        options["heartbeat"] = float(request.args["heartbeat"])
    if (sorry := request.args.get("on_error")) is not None:
        options["on_error"] = lambda error: ServerSentEvent(sorry, event="sorry")
    if "capacity" in request.args:
        options["buffer"] = {"capacity": int(request.args["capacity"]), "strategy": request.args["strategy"]}
    if "max_age" in request.args:
        options["buffer"] = {"max_age": float(request.args["max_age"])}
        options["name"] = f"aged_{request.args['key']}"
    return await sse(source, serialize=lambda n: {"n": n, "pad": pad}, **options)


@app.get("/export")
async def as_file() -> Response:
    """`export` over the source; row `bad` cannot be encoded."""
    bad, pad = int(request.args.get("bad", "-1")), "x" * int(request.args.get("pad", "0"))
    kind: Any = request.args.get("format", "json")
    name = request.args.get("name", "rows")
    return await export(
        source, filename=name, format=kind, serialize=lambda n: {"n": object() if n == bad else n, "pad": pad}
    )


@app.get("/download")
async def as_download() -> Response:
    """`download` over the source, announced as `announced` bytes."""
    return await download(blocks, filename="blocks.bin", size=int(request.args["announced"]))


@app.get("/context")
async def context() -> Response:
    """The source looks at the request while it runs."""

    async def inside() -> AsyncIterator[ServerSentEvent]:
        for _ in range(3):
            await asyncio.sleep(0)
            yield ServerSentEvent(f"{request.args['key']} {current_app.name}")

    return await sse(inside)


@app.get("/last-id")
async def last_id() -> Response:
    """The id that the client has seen last."""
    seen = last_event_id(request)

    async def one() -> AsyncIterator[ServerSentEvent]:
        yield ServerSentEvent(ascii(seen))

    return await sse(one)


@app.get("/handler-waits")
async def handler_waits() -> Response:
    """A response is built, and the handler never returns it."""
    built = await response(blocks, content_type="application/octet-stream")
    watch.count(request.args["key"], "built")
    await asyncio.Event().wait()
    return built


@app.get("/other-response")
async def other_response() -> str:
    """A response is built, and another one returned."""
    await response(blocks, content_type="application/octet-stream")
    return "another"


@app.after_request
async def after(result: Response) -> Response:
    """Fails where the query asks for it: Quart then drops the response that the handler built."""
    if "after_request_fails" in request.args:
        raise RuntimeError("after_request failed")
    return result


@app.get("/plain-body")
async def plain_body() -> Response:
    """No adapter: what `RESPONSE_TIMEOUT` does to a body that takes longer."""

    async def slow() -> AsyncIterator[bytes]:
        try:
            yield b"first"
            await asyncio.Event().wait()
        finally:
            watch.count(request_key, "cleaned")

    request_key = request.args["key"]
    return Response(slow())


@app.get("/admin/live")
async def live() -> dict[str, int]:
    """Waits a while for the time when no stream is live, and says how many there are then."""
    for _ in range(500):
        if not streams.live:
            break
        await asyncio.sleep(0.01)
    return {"live": streams.live}


@app.get("/admin/counted")
async def counted() -> dict[str, int]:
    """What became of the events of a stream with an age."""
    (found,) = [stream.statistics for stream in streams.streams() if stream.name == f"aged_{request.args['key']}"]
    return {"pushed": found.pushed, "delivered": found.delivered, "dropped": found.dropped}


@app.after_serving
async def report() -> None:
    """Tells, when all is over, what was cleaned up."""
    print(f"started {watch.total('started')} cleaned {watch.total('cleaned')} live {streams.live}", file=sys.stderr)
