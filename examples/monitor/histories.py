"""Routes of what was: the exports, the copy of the database, and the imported histories."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator
from pathlib import PurePath
from typing import Any, BinaryIO, Literal

import msgspec
from quart import Blueprint, Response, abort, request

from quart_adapter import download, export

from .archive import History
from .live import with_lists
from .service import Service
from .store import COLUMNS, Row

# What is drawn of a history, however long it is.
DRAWN = 600
CHUNK = 65536
Kind = Literal["csv", "json", "ndjson"]


def histories(service: Service) -> Blueprint:
    routes = Blueprint("histories", __name__)

    @routes.get("/history.<any(csv, json, ndjson):kind>")
    async def history(kind: Kind) -> Response:
        return await exported(service.store.rows(), "history", kind)

    @routes.get("/samples")
    async def samples() -> Response:
        return await some(service.store.some_rows(DRAWN))

    @routes.get("/database")
    async def database() -> Response:
        copy = await service.store.copy()
        size = os.fstat(copy.fileno()).st_size
        return await download(read(copy), filename="history.sqlite3", content_type="application/vnd.sqlite3", size=size)

    @routes.get("/imports")
    async def imported() -> Response:
        return as_json(await service.archive.all())

    @routes.post("/imports")
    async def take_in() -> Response:
        return as_json(await service.imports.take(request), 201)

    async def find(id: str) -> History:
        return await service.archive.find(id) or abort(404)

    @routes.delete("/imports/<id>")
    async def remove(id: str) -> tuple[str, int]:
        await service.archive.remove(await find(id))
        service.changed()
        return "", 204

    @routes.get("/imports/<id>/history.<any(csv, json, ndjson):kind>")
    async def imported_history(id: str, kind: Kind) -> Response:
        history = await find(id)
        return await exported(service.archive.rows(history), PurePath(history.name).stem, kind)

    @routes.get("/imports/<id>/samples")
    async def some_samples(id: str) -> Response:
        return await some(service.archive.rows(await find(id), at_most=DRAWN))

    return routes


async def exported(rows: AsyncGenerator[Row, None], name: str, kind: Kind) -> Response:
    """A history as a file to keep, which can be imported again."""
    if kind == "csv":
        return await export(rows, filename=f"{name}.csv", format=kind, columns=COLUMNS)
    return await export(rows, filename=f"{name}.{kind}", format=kind, serialize=with_lists)


async def some(rows: AsyncGenerator[Row, None]) -> Response:
    """A few samples, to be drawn."""
    return await export(rows, filename="samples.json", serialize=with_lists)


async def read(file: BinaryIO) -> AsyncGenerator[bytes, None]:
    """The file's content; the file is closed at the end, however it comes."""
    with file:
        while chunk := await asyncio.to_thread(file.read, CHUNK):
            yield chunk


def as_json(content: Any, status: int = 200) -> Response:
    return Response(msgspec.json.encode(content), status, content_type="application/json")
