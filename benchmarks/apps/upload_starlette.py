"""A peer: Starlette's `request.form()`, with its limits raised to let the forms in."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.datastructures import UploadFile
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from benchmarks.apps import common
from benchmarks.apps.tally import Tally


async def file(request: Request) -> JSONResponse:
    """Take files as Starlette stores them."""
    tally = Tally(request.query_params.get("check"))
    async with request.form() as form:
        for stored in form.values():
            assert isinstance(stored, UploadFile)
            assert stored.size is not None
            tally.file(stored.file, stored.size)
    return JSONResponse(tally.result())


async def fields(request: Request) -> JSONResponse:
    """Take fields as text."""
    tally = Tally(request.query_params.get("check"))
    async with request.form(max_fields=20_000) as form:
        for value in form.values():
            assert isinstance(value, str)
            tally.field(value)
    return JSONResponse(tally.result())


async def admin(request: Request) -> JSONResponse:
    """Show the figures of this process."""
    return JSONResponse(common.admin(0))


app = Starlette(
    routes=[
        Route("/file", file, methods=["POST"]),
        Route("/fields", fields, methods=["POST"]),
        Route("/admin", admin),
    ]
)
