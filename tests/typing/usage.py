"""The public API as a user writes it. A type checker must find nothing here; it is never run."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import assert_type

import reactivex
from prometheus_client import CollectorRegistry
from pybreaker import CircuitBreaker
from quart import Quart, Response, request
from reactivex import Observable
from reactivex import operators as rx

from quart_adapter import (
    BodyLimits,
    MultipartLimits,
    Part,
    RxStream,
    StreamInfo,
    UploadAborted,
    UploadError,
    download,
    export,
    from_multipart,
    from_request,
    response,
    sse,
    sse_tracked,
)
from rxstream import (
    BUFFER_PRESETS,
    BackpressureError,
    BufferConfig,
    BufferStatistics,
    DecodeError,
    EncodeError,
    Progress,
    RxStreamError,
    ServerSentEvent,
    StreamMetrics,
    circuits,
    for_each,
    from_async_iterable,
    from_file,
    operators,
    progress_events,
    to_async_iterable,
    virtual,
)
from rxstream.explore import Event, Trace, probe, record, simulate, watch


@dataclass
class Price:
    name: str
    cents: int


async def prices() -> AsyncIterator[Price]:
    yield Price("tea", 250)


def euros(price: Price) -> float:
    return price.cents / 100


def content_of(part: Part) -> Observable[bytes]:
    return part.stream


async def look_up(price: Price) -> str:
    return price.name


def draw(progress: Progress) -> None:
    assert_type(progress.percent, float | None)


async def in_a_notebook() -> None:
    source = from_async_iterable(prices)
    assert_type(source, Observable[Price])
    assert_type(source.pipe(operators.with_metrics("prices")), Observable[Price])

    feed = progress_events(event="status")
    counted = source.pipe(operators.with_progress("prices", total=9, every=0.5, on_progress=feed))
    assert_type(counted, Observable[Price])
    drawn = operators.with_progress("prices", unit="bytes", on_progress=draw, bar=True)
    assert_type(source.pipe(drawn), Observable[Price])
    assert_type(from_async_iterable(feed), Observable[ServerSentEvent])
    assert_type(feed.latest, Progress | None)

    breaker = circuits.get("prices", fail_max=3, reset_timeout=10, exclude=[KeyError, lambda error: error.args == ()])
    assert_type(breaker, CircuitBreaker)
    assert_type(source.pipe(operators.with_circuit(breaker, idle_timeout=5)), Observable[Price])
    guarded = operators.with_circuit("prices", on_open="continue", half_open_permits=2, healthy_after=30)
    assert_type(source.pipe(guarded), Observable[Price])
    assert_type([circuit.name for circuit in circuits], list[str | None])
    assert_type(from_async_iterable(prices()), Observable[Price])
    assert_type(from_file("prices.bin", chunk_size=4096), Observable[bytes])

    buffered = source.pipe(operators.with_buffer(capacity=3, strategy="sliding", max_age=2.5))
    assert_type(buffered, Observable[Price])
    named = source.pipe(operators.map_async(look_up, max_concurrent=4, ordered=False))
    assert_type(named, Observable[str])
    in_euros = buffered.pipe(rx.map(euros))
    assert_type(in_euros, Observable[float])

    async with to_async_iterable(in_euros, BufferConfig(8, "suspend"), on_dropped=print) as stream:
        async for amount in stream:
            assert_type(amount, float)
        statistics = stream.statistics()
    assert_type(statistics, BufferStatistics)
    assert_type(statistics.dropped, int)

    async for batch in to_async_iterable(in_euros, "sse").batches():
        assert_type(batch, list[float])
    await for_each(source, look_up, buffer={"capacity": 2}, max_concurrent=2)


async def seen(source: Observable[Price]) -> None:
    trace = Trace(max_events=100, label=str)
    probed = source.pipe(probe("prices"), rx.map(euros), trace.probe("euros"))
    assert_type(probed, Observable[float])
    assert_type(simulate(probed, consumer_delay=0.3, duration=60, buffer=BufferConfig(4, "sliding")), Trace)
    assert_type(simulate(lambda: source, consumer_delay=lambda price: price.cents / 100), Trace)
    assert_type(await record(probed, duration=1.0, trace=trace), Trace)
    assert_type(await watch(source, refresh=0.5, title="prices"), BufferStatistics)
    assert_type(trace.events, tuple[Event, ...])
    assert_type(trace.between(0.5, 1.0).svg(width=600), str)
    assert_type(virtual.run(lambda: record(source)), Trace)
    for event in trace:
        assert_type(event.item, str | None)


def as_bytes(source: Observable[Price]) -> list[Observable[bytes]]:
    return [
        source.pipe(operators.encode_ndjson()),
        source.pipe(operators.encode_json_array()),
        source.pipe(operators.encode_csv(["name", "cents"])),
        source.pipe(operators.encode_sse()),
    ]


def what_went_wrong(error: RxStreamError) -> int | None:
    match error:
        case EncodeError():
            return error.index
        case DecodeError():
            return error.position
        case BackpressureError():
            return BUFFER_PRESETS["sse"].capacity
    return None


def make_app() -> Quart:
    app = Quart(__name__)
    metrics = StreamMetrics(registry=CollectorRegistry(), namespace="shop")
    metrics.watch(circuits.get("inventory"))
    assert_type(metrics.render(names=["shop_stream_active"]), tuple[bytes, str])
    extension = RxStream(body=BodyLimits(buffer=65536, idle_timeout=None), metrics=metrics, metrics_path="/internal")
    extension.init_app(app)
    assert_type(extension.live, int)
    assert_type(extension.streams(), list[StreamInfo])

    @app.get("/feed")
    async def feed() -> Response:
        source = from_async_iterable(prices)
        return await sse(source, serialize=lambda price: ServerSentEvent(price.name, id=str(price.cents)), retry=1000)

    @app.get("/ticks")
    async def ticks() -> Response:
        return await sse(reactivex.interval(1.0), heartbeat=5.0, buffer="sse", name="ticks")

    @app.get("/tracked")
    async def tracked() -> Response:
        return await sse_tracked(prices(), name="prices", buffer={"capacity": 8}, metrics=metrics)

    @app.get("/prices.csv")
    async def as_csv() -> Response:
        return await export(prices(), filename="prices.csv", format="csv", columns=["name", "cents"], metrics=None)

    @app.get("/prices.bin")
    async def as_file() -> Response:
        return await download(from_file("prices.bin"), filename="prices.bin", size=1024)

    @app.get("/raw")
    async def raw() -> Response:
        return await response(from_file("prices.bin"), content_type="text/plain", status=200)

    @app.post("/raw")
    async def take() -> str:
        assert_type(from_request(request, name="raw", metrics=metrics), Observable[bytes])
        return str([len(chunk) async for chunk in to_async_iterable(from_request(request), "import")])

    @app.post("/photos")
    async def photos() -> list[str]:
        parts = from_multipart(request, max_size=1024, allowed_types=["image/*"], limits=MultipartLimits(parts=9))
        assert_type(parts, Observable[Part])
        assert_type(parts.pipe(rx.flat_map(content_of)), Observable[bytes])
        names: list[str] = []
        async for part in to_async_iterable(parts, "import"):
            assert_type(part.filename, str | None)
            assert_type(await part.text(), str)
            assert_type(await part.save(f"{part.name}.png"), int)
            names.append(part.name)
        return names

    @app.errorhandler(UploadError)
    async def refused(error: UploadError) -> tuple[str, int]:
        assert_type(error.code, str)
        return f"{error.code}: {error.message}", 400 if isinstance(error, UploadAborted) else error.status

    return app
