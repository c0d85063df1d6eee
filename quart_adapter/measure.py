"""Which metrics a stream of the adapter is counted by, and under which name."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Final, Literal, TypeAlias, TypeVar

from quart import Request, current_app, has_app_context
from reactivex import Observable, abc

from quart_adapter.errors import UploadAborted, UploadError
from quart_adapter.extension import RxStream
from quart_adapter.info import stream_name
from rxstream.boundary import Source
from rxstream.demand import DemandScheduler
from rxstream.metrics import StreamMetrics, StreamProbe
from rxstream.metrics.labels import check_name
from rxstream.sources import from_async_iterable

__all__ = ["MetricsLike", "counted", "note_failure", "response_probe", "upload_probe"]

T = TypeVar("T")

MetricsLike: TypeAlias = StreamMetrics | Literal["default"] | None
"""A `StreamMetrics`, None for no metrics, or `"default"` for those of the app's `RxStream`."""

UNNAMED: Final = "unnamed"


def response_probe(metrics: MetricsLike, name: str | None, format: str) -> StreamProbe | None:
    """The probe of a response that is about to be made; None where nobody counts."""
    counted_by = _resolve(metrics)
    if counted_by is None:
        return None
    return counted_by.probe(name or UNNAMED, format, "out", asyncio.get_running_loop().time)


def upload_probe(metrics: MetricsLike, name: str | None, format: str, request: Request) -> StreamProbe | None:
    """The probe of an upload that is about to be read; None where nobody counts."""
    if name is not None:
        check_name(name)
    counted_by = _resolve(metrics)
    if counted_by is None:
        return None
    return counted_by.probe(stream_name(name, request.endpoint) or UNNAMED, format, "in")


def _resolve(metrics: MetricsLike) -> StreamMetrics | None:
    if metrics == "default":
        extension = current_app.extensions.get("rxstream") if has_app_context() else None
        metrics = extension.metrics if isinstance(extension, RxStream) else None
    if not isinstance(metrics, StreamMetrics | None):
        raise TypeError(f"metrics must be a StreamMetrics, None or 'default', not {metrics!r}")
    return metrics


def counted(items: AsyncGenerator[T, None], probe: StreamProbe) -> Observable[T]:
    """The items of an upload as `from_async_iterable` gives them, counted as they are taken."""
    source = from_async_iterable(_counted(items, probe))

    def subscribe(observer: abc.ObserverBase[T], scheduler: abc.SchedulerBase | None = None) -> abc.DisposableBase:
        if isinstance(scheduler, DemandScheduler):
            probe.watch(scheduler.buffer)
        return source.subscribe(observer, scheduler=scheduler)

    return Source(subscribe)


async def _counted(items: AsyncGenerator[T, None], probe: StreamProbe) -> AsyncIterator[T]:
    probe.open()
    try:
        async with aclosing(items):
            async for item in items:
                probe.count(item)
                yield item
        probe.completed()
    except BaseException as error:
        note_failure(probe, error)
        raise
    finally:
        probe.close()


def note_failure(probe: StreamProbe, error: BaseException) -> None:
    """An upload failed: it was refused, or its client has gone, which is nobody's failure."""
    if isinstance(error, UploadAborted):
        return
    probe.failed(error)
    if isinstance(error, UploadError):
        probe.refused = error.code
