"""Forms as bytes, and what becomes of them: for tests that need no app."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from types import SimpleNamespace
from typing import Any

from werkzeug.datastructures import Headers
from werkzeug.exceptions import ClientDisconnected

from quart_adapter import Part, UploadError, from_multipart
from quart_adapter.bounded_body import BoundedBody
from rxstream import to_async_iterable

BOUNDARY = "----WebKitFormBoundaryabc123"
FIELD = 'Content-Disposition: form-data; name="text"'
FILE = 'Content-Disposition: form-data; name="file"; filename="a.bin"\r\nContent-Type: application/octet-stream'


def form(*parts: tuple[str | bytes, bytes], boundary: str = BOUNDARY) -> bytes:
    """A form of (header lines, content)."""
    out = b""
    for head, content in parts:
        lines = head.encode() if isinstance(head, str) else head
        out += b"--" + boundary.encode() + b"\r\n" + lines + b"\r\n\r\n" + content + b"\r\n"
    return out + b"--" + boundary.encode() + b"--\r\n"


def fake_request(
    content_type: str | Sequence[str] | None = None, length: int | None = None, limit: int | None = None
) -> Any:
    """As much of a request as uploads need; its body is fed by hand."""
    types = [f"multipart/form-data; boundary={BOUNDARY}"] if content_type is None else content_type
    headers = Headers([("Content-Type", one) for one in ([types] if isinstance(types, str) else types)])
    return SimpleNamespace(body=BoundedBody(length, limit), content_length=length, headers=headers)


async def feed(request: Any, chunks: Iterable[bytes], end: str = "complete") -> None:
    """Sends a body as a server does; `end` is "complete", "disconnect" or "none"."""
    for chunk in chunks:
        await request.body.put(chunk)
        await asyncio.sleep(0)
    if end == "complete":
        request.body.set_complete()
    elif end == "disconnect":
        request.body.disconnect()


class Chunks:
    """A body in just these chunks: one of ours would join small ones."""

    def __init__(self, chunks: Iterable[bytes], end: str) -> None:
        self._chunks = iter(chunks)
        self._end = end

    async def __anext__(self) -> bytes:
        for chunk in self._chunks:
            return chunk
        raise ClientDisconnected if self._end == "disconnect" else StopAsyncIteration


async def received(
    chunks: Iterable[bytes],
    *,
    end: str = "complete",
    content_type: str | Sequence[str] | None = None,
    length: int | None = None,
    **options: Any,
) -> list[tuple[str, str | None, str | None, bytes]]:
    """Name, raw file name, type and content of each part."""
    request = fake_request(content_type, length)
    request.body = Chunks(chunks, end)
    parts = []
    async for part in to_async_iterable(from_multipart(request, **options), "import"):
        parts.append((part.name, part.raw_filename, part.content_type, await part.read(2**40)))
    return parts


async def outcome(chunks: Iterable[bytes], **options: Any) -> Any:
    """The parts, or the status and the code of the refusal."""
    try:
        return await received(chunks, **options)
    except UploadError as error:
        return error.status, error.code


async def one_part(content: bytes = b"content", head: str = FILE) -> tuple[Part, Any]:
    """A part that is there to be read, and the request that it came with."""
    request = fake_request()
    await feed(request, [form((head, content))])
    stream = to_async_iterable(from_multipart(request), "import")
    part = await anext(stream)
    request.stream = stream  # keeps the form open
    return part, request
