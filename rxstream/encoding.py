"""Formats as operators: `Observable[T]` to `Observable[bytes]`, for pipelines that do not end in a response.

One item gives one chunk. What frames it (a head, what stands between two items) is part of the chunk, so dropping
chunks breaks the document: put a buffer before the encoder, not behind it. Whoever can take whole batches, and wants
the speed of that, uses the encoders of `rxstream.formats`.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

from reactivex import Observable, abc

from rxstream.formats.base import Encoder, Serialize
from rxstream.formats.csv import CSVEncoder, LineEnd
from rxstream.formats.csv_rows import Extra, Missing
from rxstream.formats.json import NaN
from rxstream.formats.json_array import JSONArrayEncoder
from rxstream.formats.ndjson import NDJSONEncoder
from rxstream.formats.sse import SSEEncoder

__all__ = ["encode_csv", "encode_json_array", "encode_ndjson", "encode_sse"]

T = TypeVar("T")
BytesOperator = Callable[[Observable[T]], Observable[bytes]]


def encode_sse(serialize: Serialize[T] | None = None, *, nan: NaN = "refuse") -> BytesOperator[T]:
    r"""Encodes items as server-sent events, one chunk an event.

        source        --"a"------------{"n": 1}-----------|
        encode_sse()  --data: a\n\n----data: {"n":1}\n\n--|

    Args:
        serialize: Called with each item, gives a `ServerSentEvent`, text, or a value for JSON in its place.
        nan: "refuse" makes NaN and Infinity an error, "null" writes null for them.

    Raises:
        TypeError, ValueError: An argument is wrong.
        EncodeError: Through `on_error`, once: an item has no form as an event; upstream is disposed.

    Nothing is dropped; on dispose nothing is held. Follows the WHATWG HTML standard.

    Example:
        >>> import reactivex
        >>> _ = reactivex.of("a", "b").pipe(encode_sse()).subscribe(print)
        b'data: a\n\n'
        b'data: b\n\n'
    """
    return _operator(partial(SSEEncoder[T], serialize, nan=nan))


def encode_ndjson(serialize: Serialize[T] | None = None, *, nan: NaN = "refuse") -> BytesOperator[T]:
    r"""Encodes items as lines of JSON, one chunk a line.

        source           --{"n": 1}-----{"n": 2}-----|
        encode_ndjson()  --{"n":1}\n----{"n":2}\n----|

    Args:
        serialize: Called with each item, gives what is encoded in its place.
        nan: "refuse" makes NaN and Infinity an error, "null" writes null for them.

    Raises:
        TypeError, ValueError: An argument is wrong.
        EncodeError: Through `on_error`, once: an item has no JSON form; upstream is disposed.

    Nothing is dropped; on dispose nothing is held. Follows ndjson.org.

    Example:
        >>> import reactivex
        >>> _ = reactivex.of(1, [2]).pipe(encode_ndjson()).subscribe(print)
        b'1\n'
        b'[2]\n'
    """
    return _operator(partial(NDJSONEncoder[T], serialize, nan=nan))


def encode_json_array(serialize: Serialize[T] | None = None, *, nan: NaN = "refuse") -> BytesOperator[T]:
    """Encodes items as the elements of one JSON array; the closing bracket is a chunk of its own.

        source               --1-----2-----|
        encode_json_array()  --[1----,2----]|

    Args:
        serialize: Called with each item, gives what is encoded in its place.
        nan: "refuse" makes NaN and Infinity an error, "null" writes null for them.

    Raises:
        TypeError, ValueError: An argument is wrong.
        EncodeError: Through `on_error`, once: an item has no JSON form; upstream is disposed, the `]` is not sent.

    Nothing is dropped; on dispose nothing is held. Follows RFC 8259.

    Example:
        >>> import reactivex
        >>> _ = reactivex.of(1, 2).pipe(encode_json_array()).subscribe(print)
        b'[1'
        b',2'
        b']'
    """
    return _operator(partial(JSONArrayEncoder[T], serialize, nan=nan))


def encode_csv(
    columns: Sequence[str] | None = None,
    *,
    serialize: Serialize[T] | None = None,
    header: bool = True,
    dialect: str | csv.Dialect | type[csv.Dialect] = "excel",
    line_end: LineEnd = "\r\n",
    bom: bool = False,
    extra: Extra = "error",
    missing: Missing = "error",
    formula_guard: bool = True,
) -> BytesOperator[T]:
    r"""Encodes items as rows of CSV; the header is part of the first chunk.

        source        --{"n": 1}------{"n": 2}--|
        encode_csv()  --n\r\n1\r\n----2\r\n-----|

    Args:
        columns: The columns, in order; default: those of the first item.
        serialize: Called with each item, gives the row in its place.
        header, dialect, line_end, bom, extra, missing, formula_guard: As `rxstream.formats.CSVEncoder` says.

    Raises:
        TypeError, ValueError: An argument is wrong.
        EncodeError: Through `on_error`, once: an item is no row, or does not fit the columns; upstream is disposed.

    Nothing is dropped; on dispose nothing is held. Follows RFC 4180.

    Example:
        >>> import reactivex
        >>> _ = reactivex.of({"n": 1}, {"n": 2}).pipe(encode_csv()).subscribe(print)
        b'n\r\n1\r\n'
        b'2\r\n'
    """
    if columns is not None and not isinstance(columns, str):
        columns = tuple(columns)  # what the caller does to its list later is not ours
    return _operator(
        partial(
            CSVEncoder[T],
            columns,
            serialize=serialize,
            header=header,
            dialect=dialect,
            line_end=line_end,
            bom=bom,
            extra=extra,
            missing=missing,
            formula_guard=formula_guard,
        )
    )


def _operator(make: Callable[[], Encoder[T]]) -> BytesOperator[T]:
    """The operator of a format: a fresh encoder for each subscription."""
    make()  # refuses wrong arguments here and not in a subscription

    def operator(source: Observable[T]) -> Observable[bytes]:
        def subscribe(
            observer: abc.ObserverBase[bytes], scheduler: abc.SchedulerBase | None = None
        ) -> abc.DisposableBase:
            encoder = make()

            def on_next(item: T) -> None:
                if encoder.failure is not None:  # a synchronous source goes on until its subscribe call returns
                    return
                chunk = encoder.encode((item,))
                if encoder.failure is None:
                    observer.on_next(chunk)
                else:
                    observer.on_error(encoder.failure)

            def on_completed() -> None:
                if encoder.failure is not None:
                    return
                closing = encoder.finish()
                if closing:
                    observer.on_next(closing)
                observer.on_completed()

            return source.subscribe(on_next, observer.on_error, on_completed, scheduler=scheduler)

        return Observable(subscribe)

    return operator
