"""Formats as operators: `Observable[bytes]` to `Observable[T]`, however the bytes are cut into chunks.

One chunk may hold thousands of items. Where a consumer below can make its source wait, an operator here waits with the
items of a chunk as any source does, and the source of the bytes waits with it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from functools import partial
from typing import Any, Final, TypeGuard, TypeVar, overload

from reactivex import Observable, abc
from reactivex.disposable import CompositeDisposable, Disposable

from rxstream.amid import beginning, pulled
from rxstream.async_boundary import AsyncBoundary
from rxstream.boundary import Boundary, Direct
from rxstream.buffer_config import BufferConfig
from rxstream.demand import DemandScheduler
from rxstream.formats.csv_decoder import CSVDecoder
from rxstream.formats.csv_records import Dialect
from rxstream.formats.csv_rows import Extra, Missing
from rxstream.formats.decoder import Decoder
from rxstream.formats.json_array_decoder import JSONArrayDecoder
from rxstream.formats.ndjson_decoder import NDJSONDecoder
from rxstream.formats.sse_decoder import ReceivedEvent, SSEDecoder
from rxstream.sinks import AsyncStream
from rxstream.sources import from_async_iterable

__all__ = ["decode_csv", "decode_json_array", "decode_ndjson", "decode_sse"]

T = TypeVar("T")
ItemsOperator = Callable[[Observable[bytes]], Observable[T]]

AHEAD: Final = BufferConfig(8, "suspend")
"""Chunks that may wait in front of a decoder."""

SLICE: Final = 65536
"""Bytes that are decoded in one go: a larger chunk becomes items piece by piece, not all at once."""


@overload
def decode_ndjson(type: None = None, *, max_line: int = ..., max_depth: int = ...) -> ItemsOperator[Any]: ...
@overload
def decode_ndjson(type: type[T], *, max_line: int = ..., max_depth: int = ...) -> ItemsOperator[T]: ...
def decode_ndjson(type: Any = None, *, max_line: int = 1 << 20, max_depth: int = 64) -> ItemsOperator[Any]:
    r"""Decodes lines of JSON into items.

        source           --{"n": 1}\n{"n"-----: 2}------|
        decode_ndjson()  --{"n": 1}---------------------{"n": 2}|

    Args:
        type: What lines are decoded into, and validated against: a dataclass, a Struct, a TypedDict, ...
        max_line: Bytes in a line.
        max_depth: How deep arrays and objects may be nested.

    Raises:
        TypeError, ValueError: An argument is wrong.
        DecodeError: Through `on_error`, once, after the items before it: a line is no JSON, does not fit the type, or
            is over a limit; its text names the line. Upstream is disposed.

    Nothing is dropped. Demand-aware: under a consumer that suspends its sources, items wait for room, and up to 8
    chunks of bytes are ahead of them; these are discarded on dispose. Follows ndjson.org.

    Example:
        >>> import reactivex
        >>> _ = reactivex.of(b'{"n": 1}\n{"n"', b": 2}").pipe(decode_ndjson()).subscribe(print)
        {'n': 1}
        {'n': 2}
    """
    return _operator(partial(NDJSONDecoder[Any], type, max_line=max_line, max_depth=max_depth))


@overload
def decode_json_array(type: None = None, *, max_item: int = ..., max_depth: int = ...) -> ItemsOperator[Any]: ...
@overload
def decode_json_array(type: type[T], *, max_item: int = ..., max_depth: int = ...) -> ItemsOperator[T]: ...
def decode_json_array(type: Any = None, *, max_item: int = 1 << 24, max_depth: int = 64) -> ItemsOperator[Any]:
    """Decodes the items of one JSON array as they come.

        source               --[1, 2-----0, 3-----]|
        decode_json_array()  --1---------20-------3|

    Args:
        type: What items are decoded into, and validated against: a dataclass, a Struct, a TypedDict, ...
        max_item: Bytes from one comma to the next.
        max_depth: How deep arrays and objects may be nested in an item.

    Raises:
        TypeError, ValueError: An argument is wrong.
        DecodeError: Through `on_error`, once, after the items before it: an item is no JSON, does not fit the type, or
            is over a limit; there is no array, or it has no end. Its text names the item. Upstream is disposed.

    Nothing is dropped. Demand-aware: under a consumer that suspends its sources, items wait for room, and up to 8
    chunks of bytes are ahead of them; these are discarded on dispose. Follows RFC 8259.

    Example:
        >>> import reactivex
        >>> _ = reactivex.of(b"[1, 2", b"0, 3]").pipe(decode_json_array(int)).subscribe(print)
        1
        20
        3
    """
    return _operator(partial(JSONArrayDecoder[Any], type, max_item=max_item, max_depth=max_depth))


@overload
def decode_csv(
    type: None = None,
    *,
    columns: Sequence[str] | None = ...,
    header: bool = ...,
    dialect: Dialect = ...,
    extra: Extra = ...,
    missing: Missing = ...,
    max_field: int = ...,
    max_record: int = ...,
) -> ItemsOperator[Any]: ...
@overload
def decode_csv(
    type: type[T],
    *,
    columns: Sequence[str] | None = ...,
    header: bool = ...,
    dialect: Dialect = ...,
    extra: Extra = ...,
    missing: Missing = ...,
    max_field: int = ...,
    max_record: int = ...,
) -> ItemsOperator[T]: ...
def decode_csv(
    type: Any = None,
    *,
    columns: Sequence[str] | None = None,
    header: bool = True,
    dialect: Dialect = "excel",
    extra: Extra = "error",
    missing: Missing = "error",
    max_field: int = 1 << 20,
    max_record: int = 1 << 24,
) -> ItemsOperator[Any]:
    r"""Decodes records of CSV into dicts, or into `type`.

        source        --n\r\n1\r\n2-----\r\n--------|
        decode_csv()  --{"n": "1"}-----{"n": "2"}---|

    Args:
        type: What rows are decoded into, and validated against: a dataclass, a Struct, a TypedDict, ...; text becomes
            numbers, booleans and times as it says, and an empty cell None where the type has a None.
        columns: The columns, in order; default: those of the header. With neither, rows are lists.
        header, dialect, extra, missing, max_field, max_record: As `rxstream.formats.CSVDecoder` says.

    Raises:
        TypeError, ValueError: An argument is wrong.
        DecodeError: Through `on_error`, once, after the items before it: a record does not fit the columns or the type,
            is over a limit, or has a quote that is never closed; its text names the line. Upstream is disposed.

    Nothing is dropped. Demand-aware: under a consumer that suspends its sources, items wait for room, and up to 8
    chunks of bytes are ahead of them; these are discarded on dispose. Follows RFC 4180, and Python's strict `csv`.

    Example:
        >>> import reactivex
        >>> _ = reactivex.of(b"n\r\n1\r\n2", b"\r\n").pipe(decode_csv()).subscribe(print)
        {'n': '1'}
        {'n': '2'}
    """
    if columns is not None and not isinstance(columns, str):
        columns = tuple(columns)  # what the caller does to its list later is not ours
    return _operator(
        partial(
            CSVDecoder[Any],
            type,
            columns=columns,
            header=header,
            dialect=dialect,
            extra=extra,
            missing=missing,
            max_field=max_field,
            max_record=max_record,
        )
    )


def decode_sse(
    *,
    on_comment: Callable[[str], object] | None = None,
    max_line: int = 1 << 20,
    max_data: int = 1 << 24,
) -> ItemsOperator[ReceivedEvent]:
    r"""Decodes server-sent events, as a browser does.

        source        --data: a\n-----\ndata: b-----|        (b has no closing empty line: it is no event)
        decode_sse()  ----------------a-------------|

    Args:
        on_comment: Is called with the text of each comment line; what it raises is the stream's failure.
        max_line: Bytes in a line.
        max_data: Bytes in the data of an event.

    Raises:
        TypeError, ValueError: An argument is wrong.
        DecodeError: Through `on_error`, once, after the events before it: a line or an event is over a limit; its text
            names the line. Upstream is disposed.

    Nothing is dropped but what the standard drops. Demand-aware: under a consumer that suspends its sources, events
    wait for room, and up to 8 chunks of bytes are ahead of them; these are discarded on dispose. Follows the WHATWG
    HTML standard.

    Example:
        >>> import reactivex
        >>> _ = reactivex.of(b"data: a\n", b"\ndata: b").pipe(decode_sse()).subscribe(print)
        ReceivedEvent(data='a', event='message', id='', retry=None)
    """
    return _operator(partial(SSEDecoder, on_comment=on_comment, max_line=max_line, max_data=max_data))


def _operator(make: Callable[[], Decoder[T]]) -> ItemsOperator[T]:
    """The operator of a format: a fresh decoder for each subscription."""
    make()  # refuses wrong arguments here and not in a subscription

    def operator(source: Observable[bytes]) -> Observable[T]:
        def subscribe(observer: abc.ObserverBase[T], scheduler: abc.SchedulerBase | None = None) -> abc.DisposableBase:
            if _waits(scheduler):
                # The source may push on the event loop, where the items of a chunk cannot wait inside of `on_next`.
                items = partial(_items, make(), observer, scheduler)
                return beginning(AsyncBoundary(source, AHEAD), items, observer, scheduler)
            return _Pushing(observer, make()).subscribe(source, scheduler)

        return _Decoded(subscribe)

    return operator


def _waits(scheduler: abc.SchedulerBase | None) -> TypeGuard[DemandScheduler]:
    return isinstance(scheduler, DemandScheduler) and scheduler.loop is not None and scheduler.blocks


class _Decoded(Direct[T]):
    """What a decoder gives: where it waits for room, straight into the boundary."""

    def _is_direct(self, scheduler: abc.SchedulerBase | None) -> bool:
        return _waits(scheduler)


def _items(
    decoder: Decoder[T], observer: abc.ObserverBase[T], scheduler: DemandScheduler, boundary: AsyncBoundary[bytes]
) -> Observable[T]:
    """The source of a decoder's items."""
    return from_async_iterable(lambda: _moving(pulled(boundary), decoder, observer, scheduler))


async def _moving(
    chunks: AsyncStream[bytes], decoder: Decoder[T], observer: abc.ObserverBase[T], scheduler: DemandScheduler
) -> AsyncGenerator[T, None]:
    """Pulls chunks, each when the items of the one before it are through, and pushes items where there is room.

    Yields nothing: to hand each item to somebody else who pushes it would cost as much again.
    """
    on_next = observer.on_next
    push = partial(_fill, observer) if isinstance(observer, Boundary) else partial(_push, observer)
    async with chunks:
        async for chunk in chunks:
            for piece in _pieces(chunk):
                await push(scheduler, decoder.decode(piece))
                if decoder.failure is not None:
                    raise decoder.failure
                await asyncio.sleep(0)  # chunks that are there already would keep the loop to themselves
    for item in decoder.flush():
        await scheduler.push(on_next, item)
    return
    yield


async def _push(observer: abc.ObserverBase[T], scheduler: DemandScheduler, items: list[T]) -> None:
    room, on_next = scheduler.buffer.room, observer.on_next
    for item in items:
        if room and not scheduler.off_loop:
            on_next(item)
        else:
            await scheduler.push(on_next, item)


async def _fill(boundary: Boundary[T], scheduler: DemandScheduler, items: list[T]) -> None:
    """`_push` where no operator stands between: as many at once as there is room for."""
    done = 0
    while done < len(items):
        if not scheduler.off_loop:
            done = boundary.take_in(items, done)
        if done < len(items):
            await scheduler.push(boundary.on_next, items[done])
            done += 1


def _pieces(chunk: bytes) -> Iterator[bytes]:
    """A chunk in parts that are decoded one after the other."""
    if not isinstance(chunk, bytes) or len(chunk) <= SLICE:
        yield chunk
    else:
        for start in range(0, len(chunk), SLICE):
            yield chunk[start : start + SLICE]


class _Pushing:
    """Pushes the items of a chunk as it comes: for an observer that takes what it gets, or makes a thread wait."""

    def __init__(self, observer: abc.ObserverBase[Any], decoder: Decoder[Any]) -> None:
        self._observer = observer
        self._decoder = decoder
        self._over = False

    def subscribe(self, source: Observable[bytes], scheduler: abc.SchedulerBase | None) -> abc.DisposableBase:
        return CompositeDisposable(
            Disposable(self._end),
            source.subscribe(self._on_next, self._observer.on_error, self._on_completed, scheduler=scheduler),
        )

    def _end(self) -> None:
        self._over = True

    def _on_next(self, chunk: bytes) -> None:
        # A synchronous source goes on until its subscribe call returns, whatever comes of it.
        for piece in _pieces(chunk):
            if self._over:
                return
            try:
                items = self._decoder.decode(piece)
            except Exception as error:  # no bytes, or a hook of the user's
                self._fail(error)
                return
            self._push(items)
            if self._decoder.failure is not None:
                self._fail(self._decoder.failure)

    def _push(self, items: list[Any]) -> None:
        for item in items:
            if self._over:
                return
            self._observer.on_next(item)

    def _fail(self, error: Exception) -> None:
        if not self._over:
            self._over = True
            self._observer.on_error(error)

    def _on_completed(self) -> None:
        if self._over:
            return
        try:
            items = self._decoder.flush()
        except Exception as error:
            self._fail(error)
            return
        self._push(items)
        if not self._over:
            self._observer.on_completed()
