"""Mistakes that a type checker must find: one on each marked line, with the code that the mark names. Never run."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping

import reactivex
from quart import Response, request

from quart_adapter import (
    BodyLimits,
    MultipartLimits,
    Part,
    RxStream,
    download,
    export,
    from_multipart,
    sse,
    sse_tracked,
)
from rxstream import BufferConfig, EncodeError, ServerSentEvent, StreamMetrics, from_file, operators, to_async_iterable
from rxstream.metrics import Metric


async def rows() -> AsyncIterator[dict[str, int]]:
    yield {"n": 1}


async def awaitless(number: int) -> int:
    return number


class Gauges:
    def set(self, metric: Metric, value: float, labels: Mapping[str, str]) -> None: ...


numbers = reactivex.range(3)

BufferConfig(8, "endless")  # finds: arg-type
BufferConfig("8", "sliding")  # finds: arg-type
BufferConfig(8, "sliding").capacity = 9  # finds: misc
EncodeError("cannot be encoded")  # finds: call-arg
ServerSentEvent("text", id=7)  # finds: arg-type
ServerSentEvent("text", "message")  # finds: call-arg
from_file("data.bin", chunk_size="64k")  # finds: arg-type
to_async_iterable([1, 2, 3])  # finds: arg-type
operators.with_buffer(capacity=3, strategy="drop")  # finds: arg-type
operators.map_async(awaitless, 4)  # finds: call-arg
RxStream("app")  # finds: arg-type
RxStream(body=256)  # finds: arg-type
RxStream(metrics="prometheus")  # finds: arg-type
StreamMetrics(backend=Gauges())  # finds: arg-type
operators.with_metrics(7)  # finds: arg-type
operators.with_circuit(7)  # finds: arg-type
operators.with_circuit("prices", on_open="stop")  # finds: arg-type
operators.with_progress("prices", on_progress=7)  # finds: arg-type
operators.with_progress("prices", 100)  # finds: call-arg, misc
BodyLimits(buffer="64k")  # finds: arg-type
MultipartLimits().parts = 7  # finds: misc


async def tracked() -> Response:
    return await sse_tracked(numbers, name="numbers", heartbeat="often")  # finds: arg-type


async def unknown() -> Response:
    return await sse_tracked(numbers, name="numbers", filename="x")  # finds: call-arg


async def feed() -> Response:
    return sse(numbers)  # finds: return-value


async def table() -> Response:
    return await export(rows(), filename="rows.xml", format="xml")  # finds: arg-type


async def unnamed() -> Response:
    return await download(from_file("data.bin"))  # finds: call-arg


async def parts() -> None:
    from_multipart(request, 1024)  # finds: call-arg
    from_multipart(request, limits=7)  # finds: arg-type


async def content(part: Part) -> str:
    return await part.read()  # finds: return-value


async def items() -> list[str]:
    return [item async for item in to_async_iterable(numbers)]  # finds: misc
