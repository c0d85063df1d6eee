"""Operators amid a pipe that are consumers themselves: a boundary of their own, and a source that pulls from it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any, TypeVar

from reactivex import Observable, abc
from reactivex.disposable import CompositeDisposable, Disposable

from rxstream.async_boundary import AsyncBoundary
from rxstream.boundary import Source
from rxstream.buffer_config import BufferConfig
from rxstream.demand import DemandScheduler
from rxstream.loops import SourceTask
from rxstream.sinks import AsyncStream
from rxstream.sources import from_async_iterable

__all__ = ["beginning", "pulled", "through_buffer"]

T = TypeVar("T")
R = TypeVar("R")


def through_buffer(
    source: Observable[T],
    config: BufferConfig,
    on_dropped: Callable[[T], object] | None = None,
    iterate: Callable[[AsyncStream[T]], AsyncIterator[Any]] = aiter,
) -> Source[Any]:
    """What an async iterator makes of a stream, as a source: for operators that are consumers amid a pipe.

    Like any operator they subscribe to `source` within `subscribe`, so that what a hot one sends next is not missed.
    """

    def subscribe(observer: abc.ObserverBase[Any], scheduler: abc.SchedulerBase | None = None) -> abc.DisposableBase:
        return beginning(
            AsyncBoundary(source, config, on_dropped),
            lambda boundary: from_async_iterable(lambda: iterate(pulled(boundary))),
            observer,
            scheduler,
        )

    return Source(subscribe)


def beginning(
    boundary: AsyncBoundary[T],
    pulling: Callable[[AsyncBoundary[T]], Observable[R]],
    observer: abc.ObserverBase[R],
    scheduler: abc.SchedulerBase | None,
) -> abc.DisposableBase:
    """Subscribes an observer to what is pulled from a boundary, and the boundary to its source."""
    demand = scheduler if isinstance(scheduler, DemandScheduler) else None
    loop = demand.loop if demand is not None else asyncio._get_running_loop()
    if loop is not None:
        boundary.claim(loop)
    opened = Disposable(None if demand is None else demand.defer())
    boundary.when_open = opened.dispose
    # First, since the source may make this thread wait until something is pulled.
    upper = pulling(boundary).subscribe(observer, scheduler=scheduler)
    if loop is not None:
        boundary.begin(demand)
    return CompositeDisposable(upper, opened, Disposable(boundary.disconnect))


def pulled(boundary: AsyncBoundary[T]) -> AsyncStream[T]:
    """The stream of a boundary, for a source that is its other side; on that source's task."""
    if isinstance(task := asyncio.current_task(), SourceTask):
        task.pulls_from = boundary.buffer
    return AsyncStream(boundary)
