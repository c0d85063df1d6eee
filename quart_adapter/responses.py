"""What a route calls: an Observable, or an async iterable, as a streamed response."""

from __future__ import annotations

from collections.abc import AsyncIterable, Callable, Sequence
from typing import Any, Final, Literal, TypeAlias, TypedDict, Unpack

from quart import Response, current_app, has_request_context, request
from reactivex import Observable
from werkzeug.datastructures import Headers

from quart_adapter.body import StreamBody, logger
from quart_adapter.bytes_encoder import BytesEncoder
from quart_adapter.extension import RxStream, seconds
from quart_adapter.headers import (
    HeadersLike,
    check_content_type,
    content_disposition,
    event_stream_headers,
    merge_headers,
)
from quart_adapter.info import stream_name
from quart_adapter.measure import MetricsLike, response_probe
from rxstream.async_boundary import AsyncBoundary
from rxstream.buffer_config import BufferLike, resolve_buffer
from rxstream.formats import CSVEncoder, Encoder, JSONArrayEncoder, NDJSONEncoder, ServerSentEvent, SSEEncoder
from rxstream.sources import from_async_iterable

__all__ = ["Source", "download", "export", "response", "sse", "sse_tracked"]

Source: TypeAlias = Observable[Any] | AsyncIterable[Any] | Callable[[], AsyncIterable[Any]]
"""An Observable, an async iterable, or a callable that makes one."""

Format: TypeAlias = Literal["json", "csv", "ndjson"]

_SUFFIXES: Final = {"json": JSONArrayEncoder, "csv": CSVEncoder, "ndjson": NDJSONEncoder}


async def sse(
    events: Source,
    *,
    serialize: Callable[[Any], Any] | None = None,
    buffer: BufferLike | None = "sse",
    on_error: Callable[[Exception], Any] | None = None,
    heartbeat: float | Literal["default"] | None = "default",
    retry: int | None = None,
    headers: HeadersLike | None = None,
    name: str | None = None,
    metrics: MetricsLike = "default",
) -> Response:
    """Streams items as server-sent events.

    Args:
        events: `ServerSentEvent`s; text is data, anything else JSON data.
        serialize: Called with each item that is sent, gives what is sent in its place.
        buffer: A preset's name, a `BufferConfig`, or a mapping that overrides parts of the `sse` preset (64, sliding:
            a client that is too slow loses the oldest events, and holds nobody up). With `{"max_age": 5}` it loses
            those as well that have waited there for more than 5 seconds.
        on_error: Called with the stream's failure, gives the last event; text or other data becomes one of type
            `error`, None sends nothing. Default: `event: error` with the data `the stream failed`, and a log entry.
        heartbeat: Seconds of silence after which a comment keeps proxies from hanging up, and by which the kernel
            finds clients that have vanished; None for none. Default: that of `RxStream`, 15.
        retry: Milliseconds that the client waits before it reconnects.
        headers: More headers; they win over the defaults.
        name: What the stream is called in `RxStream.streams()` and in metrics: a constant of your code. Default: the
            route's endpoint.
        metrics: Where it is counted; None: nowhere. Default: where `RxStream(app, metrics=...)` says.

    Returns:
        A response that has subscribed already. When the client goes, the server stops or the stream ends, the
        subscription is disposed, and what is in the buffer discarded.

    Raises:
        TypeError, ValueError: An argument is wrong.
        Exception: The stream failed at once, before its first event: so the client gets a status, not a stream.

    The first bytes are a comment, so that the headers go out before the first event. At the end of the stream the
    response ends, and browsers reconnect: answer 204 to stop them. Framing follows the WHATWG HTML standard.

    Example:
        >>> @app.get("/prices")
        ... async def prices():
        ...     return await sse(ticks.pipe(operators.map(lambda t: {"price": t.price})), retry=2000)
    """
    encoder = SSEEncoder(serialize)
    if on_error is not None and not callable(on_error):
        raise TypeError(f"on_error must be callable, not {on_error!r}")
    head = b": ok\n\n"
    if retry is not None:
        head += _retry(retry)
    streams = RxStream.of(current_app)
    return await _stream(
        events,
        encoder,
        merge_headers(event_stream_headers(), headers),
        buffer,
        "sse",
        name=name,
        metrics=metrics,
        wait=False,
        head=head,
        heartbeat=streams.heartbeat if heartbeat == "default" else seconds("heartbeat", heartbeat),
        on_error=_DEFAULT_LAST if on_error is None else _last_event(on_error),
    )


class SSEOptions(TypedDict, total=False):
    """The options of `sse`, but for the name."""

    serialize: Callable[[Any], Any] | None
    buffer: BufferLike | None
    on_error: Callable[[Exception], Any] | None
    heartbeat: float | Literal["default"] | None
    retry: int | None
    headers: HeadersLike | None
    metrics: MetricsLike


async def sse_tracked(events: Source, *, name: str, **options: Unpack[SSEOptions]) -> Response:
    """Streams items as server-sent events, counted under a name: `sse` for a route that must be watched.

    Args:
        events: As for `sse`.
        name: The label `stream` of its metrics: a constant of your code.
        options: As for `sse`, such as `serialize` and `buffer`. `metrics` takes the place of those of
            `RxStream(app, metrics=...)`; without either nothing is counted, and the stream is the same.

    Raises:
        TypeError, ValueError, Exception: As `sse` does.

    What is dropped, and what happens when the client goes, is as with `sse`; metrics change nothing about a stream.

    Example:
        >>> @app.get("/prices")
        ... async def prices():
        ...     return await sse_tracked(ticks, name="prices", buffer={"capacity": 8})
    """
    return await sse(events, name=name, **options)


async def response(
    stream: Source,
    *,
    content_type: str,
    headers: HeadersLike | None = None,
    buffer: BufferLike | None = "download",
    status: int = 200,
    name: str | None = None,
    metrics: MetricsLike = "default",
) -> Response:
    """Streams bytes as they are.

    Args:
        stream: Bytes-likes. Text is refused: it has no bytes of its own. They are kept until they are sent: do not
            reuse a bytearray or a memoryview's buffer (`readinto`), yield `bytes` of it.
        content_type: The `Content-Type` header.
        headers: More headers.
        buffer: A preset's name, a `BufferConfig`, or a mapping that overrides parts of the `download` preset
            (256 items, suspend: the source waits for the client).
        status: The status code.
        name: What the stream is called in `RxStream.streams()` and in metrics: a constant of your code. Default: the
            route's endpoint.
        metrics: Where it is counted; None: nowhere. Default: where `RxStream(app, metrics=...)` says.

    Returns:
        A response whose first item is there already. What is ready goes out as one chunk of up to about 64 KiB.

    Raises:
        TypeError, ValueError: An argument is wrong.
        Exception: The stream failed before its first item; the client gets a 500, or the status of an HTTP exception.

    A failure after the first item cuts the response off, so that the client's library reports it: on HTTP/1.1 the
    last chunk is missing, on HTTP/2 the stream is reset. What a dropping or sliding buffer drops are whole items of
    `stream`, and so holes in the bytes: frame behind the buffer, as `export` and `sse` do. When the client goes, the
    subscription is disposed.

    Example:
        >>> @app.get("/log")
        ... async def log():
        ...     return await response(from_file("app.log"), content_type="text/plain; charset=utf-8")
    """
    own = Headers()
    own["Content-Type"] = check_content_type(content_type)
    return await _stream(
        stream,
        BytesEncoder(),
        merge_headers(own, headers),
        buffer,
        "download",
        status=status,
        name=name,
        metrics=metrics,
    )


async def download(
    stream: Source,
    *,
    filename: str,
    content_type: str = "application/octet-stream",
    size: int | None = None,
    name: str | None = None,
    metrics: MetricsLike = "default",
) -> Response:
    """Streams bytes as a file that the browser saves.

    Args:
        stream: Bytes-likes, each kept until it is sent.
        filename: The name to save under; made safe, and sent as RFC 6266 says, non-ASCII included.
        content_type: The `Content-Type` header.
        size: The number of bytes, if it is known: the `Content-Length`, from which clients draw their progress.
        name: What the stream is called in `RxStream.streams()` and in metrics: a constant of your code. Default: the
            route's endpoint.
        metrics: Where it is counted; None: nowhere. Default: where `RxStream(app, metrics=...)` says.

    Raises:
        TypeError, ValueError: An argument is wrong.
        Exception: As with `response`.

    A stream that turns out shorter or longer than `size` is a failure that the client sees: the last chunk is kept
    back until the end is known. For the rest see `response`.

    Example:
        >>> @app.get("/backup")
        ... async def backup():
        ...     return await download(from_file(path), filename="backup.db", size=path.stat().st_size)
    """
    if size is not None and (not isinstance(size, int) or isinstance(size, bool)):
        raise TypeError(f"size must be an int, not {size!r}")
    if size is not None and size < 0:
        raise ValueError(f"size must not be negative, not {size}")
    headers = _file_headers(filename, content_type)
    if size is not None:
        headers["Content-Length"] = str(size)
    return await _stream(stream, BytesEncoder(size), headers, "download", "download", name=name, metrics=metrics)


async def export(
    items: Source,
    *,
    filename: str,
    format: Format = "json",
    serialize: Callable[[Any], Any] | None = None,
    columns: Sequence[str] | None = None,
    name: str | None = None,
    metrics: MetricsLike = "default",
) -> Response:
    """Streams items as a file of JSON, NDJSON or CSV; a slow client suspends the source.

    Args:
        items: Mappings, dataclasses, Structs and the like.
        filename: The name to save under.
        format: `"json"` is one array, `"ndjson"` a line for each item, `"csv"` a header and a row for each item.
        serialize: Called with each item, gives what is encoded in its place.
        columns: The columns of the CSV, in order; default: those of the first item.
        name: What the stream is called in `RxStream.streams()` and in metrics: a constant of your code. Default: the
            route's endpoint.
        metrics: Where it is counted; None: nowhere. Default: where `RxStream(app, metrics=...)` says.

    Raises:
        TypeError, ValueError: An argument is wrong, such as `columns` with another format than CSV.
        EncodeError: The first item cannot be encoded.
        Exception: As with `response`.

    Items are encoded a batch at a time, behind the buffer (128 items). An item that cannot be encoded cuts the
    response off behind the item before it, and the closing `]` is never sent. For the rest see `response`.

    Example:
        >>> @app.get("/orders.csv")
        ... async def orders():
        ...     return await export(rows(), filename="orders.csv", format="csv")
    """
    if format not in _SUFFIXES:
        raise ValueError(f"format must be one of {', '.join(_SUFFIXES)}, not {format!r}")
    if columns is not None and format != "csv":
        raise ValueError(f"columns belong to CSV; {format} has none: choose the fields with serialize")
    encoder: Encoder[Any] = (
        CSVEncoder(columns, serialize=serialize) if format == "csv" else _SUFFIXES[format](serialize)
    )
    headers = _file_headers(filename, encoder.content_type)
    return await _stream(items, encoder, headers, "export", "export", name=name, metrics=metrics)


async def _stream(
    source: Source,
    encoder: Encoder[Any],
    headers: Headers,
    buffer: BufferLike | None,
    preset: str,
    *,
    name: str | None,
    metrics: MetricsLike,
    wait: bool = True,
    status: int = 200,
    **options: Any,
) -> Response:
    observable = _observable(source)
    config = resolve_buffer(buffer, preset)
    name = stream_name(name, request.endpoint if has_request_context() else None)
    if has_request_context() and request.method == "HEAD":
        return _respond(b"", status, headers)  # the headers are all that is asked for: nothing is subscribed to
    probe = response_probe(metrics, name, encoder.format)
    body = StreamBody(
        AsyncBoundary(observable, config), encoder, RxStream.of(current_app), name=name, probe=probe, **options
    )
    try:
        await body.prepare(wait=wait)
    except BaseException:
        await body.aclose()
        raise
    return _respond(body, status, headers)


def _respond(body: StreamBody | bytes, status: int, headers: Headers) -> Response:
    result = current_app.response_class(None, status, content_type=headers["Content-Type"])
    if isinstance(body, StreamBody):
        result.response = body
        result.timeout = None  # or the app's RESPONSE_TIMEOUT would end it, in silence, amid the stream
    for name in dict.fromkeys(headers.keys()):
        result.headers.setlist(name, headers.getlist(name))
    return result


def _observable(source: Source) -> Observable[Any]:
    if isinstance(source, Observable):
        return source
    if isinstance(source, AsyncIterable) or callable(source):
        return from_async_iterable(source)
    raise TypeError(
        f"an Observable or an async iterable is needed, not {type(source).__name__}; "
        "reactivex.from_iterable makes an Observable of an iterable"
    )


def _file_headers(filename: str, content_type: str) -> Headers:
    headers = Headers()
    headers["Content-Type"] = check_content_type(content_type)
    headers["Content-Disposition"] = content_disposition(filename)
    headers["X-Content-Type-Options"] = "nosniff"  # the browser is to save it, not to guess what it could run it as
    return headers


def _retry(milliseconds: int) -> bytes:
    ServerSentEvent("", retry=milliseconds)  # checks it
    return b"retry: %d\n\n" % milliseconds


def _last_event(on_error: Callable[[Exception], Any] | None) -> Callable[[Exception], bytes]:
    """The bytes of a failed event stream's last event."""

    def last(error: Exception) -> bytes:
        try:
            event = "the stream failed" if on_error is None else on_error(error)
            if event is None:
                return b""
            if not isinstance(event, ServerSentEvent):
                event = ServerSentEvent(event, event="error")
            encoder = SSEEncoder[Any]()
            encoded = encoder.encode([event])
            if encoder.failure is not None:
                raise encoder.failure
            return encoded
        except Exception as failure:  # the user's hook: the client still gets to know
            logger.error("on_error failed", exc_info=failure)
            return b"event: error\ndata: the stream failed\n\n"

    return last


_DEFAULT_LAST = _last_event(None)
