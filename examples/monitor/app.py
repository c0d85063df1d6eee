"""The routes: the page, the live feed, the exports and the copy of the database."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path
from typing import Any, BinaryIO, Literal
from urllib.parse import urlsplit

import msgspec
from quart import Quart, Response, abort, request
from reactivex import Subject

from quart_adapter import RxStream, download, export, last_event_id, sse
from rxstream import ServerSentEvent, to_async_iterable

from .archive import Archive, History
from .imports import Imports
from .sampler import Probe
from .store import COLUMNS, JSON_COLUMNS, Row, Store

# What a new page is given to draw before the first live sample.
REPLAY = 300
# What is drawn of an imported history, however long it is.
DRAWN = 600
CHUNK = 65536
GIB = 1 << 30
Kind = Literal["csv", "json", "ndjson"]
log = logging.getLogger(__name__)


def create_app(*, database: str | Path, interval: float = 1.0, keep: int = 21_600, max_import: int = 8 * GIB) -> Quart:
    """Makes the app. It samples while it is served.

    Args:
        database: The SQLite file; it is made when it is not there, and its history goes on when it is. Imported
            histories are in a folder beside it.
        interval: Seconds from one sample to the next.
        keep: How many samples are kept; six hours of seconds by default.
        max_import: Bytes of a file that is imported.
    """
    app = Quart(__name__)
    RxStream(app)
    feed: Subject[Row] = Subject()
    store: Store
    archive: Archive
    imports: Imports

    @app.while_serving
    async def sampling() -> AsyncGenerator[None, None]:
        nonlocal store, archive, imports
        store = await Store.open(database, keep=keep)
        archive = await Archive.open(Path(f"{database}.imports"))
        imports = Imports(archive, max_size=max_import, report=lambda job: None)
        probe = await asyncio.to_thread(Probe)
        task = asyncio.create_task(sample(probe, store, feed, interval=interval))
        yield
        task.cancel()
        await asyncio.wait([task])
        await store.close()

    @app.before_request
    async def only_from_this_page() -> None:
        # A page from elsewhere can send a form to any address, and its browser says from where.
        origin = request.headers.get("Origin")
        if request.method not in ("GET", "HEAD", "OPTIONS") and origin is not None:
            if urlsplit(origin).netloc != request.host:
                abort(403, "a page from elsewhere may not change anything here")

    @app.after_request
    async def nothing_from_elsewhere(response: Response) -> Response:
        response.headers["Content-Security-Policy"] = "default-src 'self'"
        response.headers["X-Content-Type-Options"] = "nosniff"
        return response

    @app.get("/")
    async def index() -> Response:
        return await app.send_static_file("index.html")

    @app.get("/events")
    async def events() -> Response:
        # Two buffers, for two needs: the history waits for the client; the live samples, behind it in `follow`,
        # do not wait: a slow client loses the oldest ones, and delays neither the sampler nor other clients.
        buffer = {"capacity": 16, "strategy": "suspend"}
        return await sse(follow(store, feed, after=_resume_at()), serialize=as_event, buffer=buffer, retry=2000)

    @app.get("/history.<any(csv, json, ndjson):kind>")
    async def history(kind: Kind) -> Response:
        return await exported(store.rows(), "history", kind)

    @app.get("/database")
    async def copy_of_the_database() -> Response:
        copy = await store.copy()
        size = os.fstat(copy.fileno()).st_size
        return await download(read(copy), filename="history.sqlite3", content_type="application/vnd.sqlite3", size=size)

    @app.get("/imports")
    async def imported() -> Response:
        return as_json(await archive.all())

    @app.post("/imports")
    async def take_in() -> Response:
        return as_json(await imports.take(request), 201)

    async def find(id: str) -> History:
        return await archive.find(id) or abort(404)

    @app.delete("/imports/<id>")
    async def remove(id: str) -> tuple[str, int]:
        await archive.remove(await find(id))
        return "", 204

    @app.get("/imports/<id>/history.<any(csv, json, ndjson):kind>")
    async def imported_history(id: str, kind: Kind) -> Response:
        history = await find(id)
        return await exported(archive.rows(history), Path(history.name).stem, kind)

    @app.get("/imports/<id>/samples")
    async def some_samples(id: str) -> Response:
        rows = archive.rows(await find(id), at_most=DRAWN)
        return await export(rows, filename="samples.json", serialize=with_lists)

    return app


def as_json(content: Any, status: int = 200) -> Response:
    return Response(msgspec.json.encode(content), status, content_type="application/json")


async def exported(rows: AsyncGenerator[Row, None], name: str, kind: Kind) -> Response:
    """A history as a file to keep: one that can be imported again, too."""
    if kind == "csv":
        return await export(rows, filename=f"{name}.csv", format=kind, columns=COLUMNS)
    return await export(rows, filename=f"{name}.{kind}", format=kind, serialize=with_lists)


async def sample(probe: Probe, store: Store, feed: Subject[Row], *, interval: float) -> None:
    """Samples for ever; one sampler serves every client. A reading that fails is a gap, and is logged."""
    clock = asyncio.get_running_loop().time
    due = clock()
    while True:
        due = max(due + interval, clock())
        await asyncio.sleep(due - clock())
        try:
            row = await store.append(await asyncio.to_thread(probe.read))
        except Exception:
            log.exception("a sample could not be taken or kept")
        else:
            feed.on_next(row)


async def follow(store: Store, feed: Subject[Row], *, after: int) -> AsyncGenerator[Row, None]:
    """The history after that id, at most REPLAY samples, then what comes: nothing twice, no gap between the two."""
    if after > await store.last_id():
        after = 0  # the client knows a database that is no more
    async with to_async_iterable(feed, "sse") as live:  # listens before it reads: what comes meanwhile is kept
        async with aclosing(store.rows(after=after, last=REPLAY)) as rows:
            async for row in rows:
                after = row["id"]
                yield row
        async for row in live:
            if row["id"] > after:
                yield row


async def read(file: BinaryIO) -> AsyncGenerator[bytes, None]:
    """The file's content; the file is closed at the end, however it comes."""
    with file:
        while chunk := await asyncio.to_thread(file.read, CHUNK):
            yield chunk


def as_event(row: Row) -> ServerSentEvent:
    """The id is what a browser sends back when it reconnects."""
    return ServerSentEvent(with_lists(row), event="sample", id=str(row["id"]))


def with_lists(row: Row) -> Row:
    """The row with its JSON columns as JSON: they are encoded already."""
    return row | {name: msgspec.Raw(row[name].encode()) for name in JSON_COLUMNS}


def _resume_at() -> int:
    """Where the client left off: its browser says so when it reconnects, the page says so when it has to start anew."""
    text = last_event_id(request) or request.args.get("after", "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else 0
