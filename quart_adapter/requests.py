"""The raw body of a request as a stream, and its failures as upload errors."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Final

from quart import Request
from quart.wrappers import base
from quart.wrappers.request import Body
from reactivex import Observable
from werkzeug.exceptions import ClientDisconnected, RequestEntityTooLarge

from quart_adapter.bounded_body import CHUNK, BoundedBody
from quart_adapter.errors import UploadAborted, UploadError
from quart_adapter.measure import MetricsLike, counted, upload_probe
from rxstream.errors import RxStreamError
from rxstream.sources import from_async_iterable

__all__ = ["from_request", "next_chunk"]

# Quart's own body, which an app without an `RxStream` has, raises the second since 0.23.
_GONE: Final = (ClientDisconnected, getattr(base, "ClientDisconnectedError", ClientDisconnected))


def from_request(request: Request, *, name: str | None = None, metrics: MetricsLike = "default") -> Observable[bytes]:
    """The raw body of a request as chunks of bytes, each when there is room for it.

    Args:
        request: The request of the handler, from `quart.request` or an object of the class. Its app has an `RxStream`;
            without one the stream is the same, but Quart reads the body as fast as it comes, and keeps it.
        name: What the upload is called in metrics: a constant of your code. Default: the route's endpoint.
        metrics: Where it is counted; None: nowhere. Default: where `RxStream(app, metrics=...)` says.

    Returns:
        An Observable of chunks of at most 64 KiB, for one subscription. While it is suspended the server reads
        nothing, and the client waits.

    Fails with `UploadAborted` when the client goes, with an `UploadError` 413 `body_too_large` above
    `MAX_CONTENT_LENGTH` (`request.max_content_length` for one route), counted by what came, and 408 `upload_timeout`
    when the client sends too slowly, or the consumer takes nothing for too long.

    On dispose reading stops where it is; another `from_request` goes on there. Where all has been read, it
    fails with an `RxStreamError`. What nobody reads is dropped once the response is sent.

    Example:
        >>> @app.post("/upload")
        ... async def upload():
        ...     await for_each(from_request(request), store, buffer="import")
        ...     return "", 204
    """
    body = request.body
    probe = upload_probe(metrics, name, "bytes", request)

    async def chunks() -> AsyncGenerator[bytes, None]:
        nothing = True
        while chunk := await next_chunk(body):
            nothing = False
            for start in range(0, len(chunk), CHUNK):
                yield chunk[start : start + CHUNK] if len(chunk) > CHUNK else chunk
        if nothing and isinstance(body, BoundedBody) and body.received:
            raise RxStreamError("the body of a request can be read once: share its chunks, as with operators.share()")

    return from_async_iterable(chunks()) if probe is None else counted(chunks(), probe)


async def next_chunk(body: Body, size: int = CHUNK) -> bytes:
    """The next bytes of a body; none at its end. Its failures are upload errors. May be cancelled: nothing is lost.

    Args:
        body: The body. One of ours gives no more than `size` bytes, any other as many as came.
        size: Bytes.
    """
    try:
        if isinstance(body, BoundedBody):
            return await body.read(size)
        while not (chunk := await anext(body)):
            pass
    except StopAsyncIteration:
        return b""
    except RequestEntityTooLarge as error:
        raise UploadError(
            413, "body_too_large", "the body is larger than MAX_CONTENT_LENGTH, or the route's limit, allows"
        ) from error
    except _GONE as error:
        raise UploadAborted from error
    return chunk
