"""`with_metrics`: the operator that counts in the middle of a pipeline, where there is no response to do it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from reactivex import Observable, abc
from reactivex.disposable import CompositeDisposable, Disposable

from rxstream.boundary import like
from rxstream.demand import DemandScheduler
from rxstream.metrics.labels import check_name
from rxstream.metrics.stream_metrics import StreamMetrics

__all__ = ["with_metrics"]

T = TypeVar("T")


def with_metrics(name: str, metrics: StreamMetrics | None = None) -> Callable[[Observable[T]], Observable[T]]:
    """Counts what goes through here: items, bytes, how long it took, and how it ended.

        source        --1-2-3--|
        with_metrics  --1-2-3--|      elements 3, outcome "completed"

    Each subscription is one stream, with the labels `stream=name`, `format="items"`, `direction="internal"`. Where the
    pipeline ends in a boundary (`to_async_iterable`, a response), its buffer is looked at as well: how full it is,
    what it drops, how long it makes the source wait.

    Args:
        name: The label `stream`: a constant of your code.
        metrics: Where it is counted; default: that of `prometheus_client`'s global registry.

    Raises:
        TypeError, ValueError: `name` is no constant.
        RuntimeError: No `metrics`, and `prometheus_client` is not installed.

    Nothing is dropped, held or delayed, and what the backend of the metrics does is never felt here. On dispose the
    outcome is `"cancelled"`. Builders count by themselves, and at less cost: `sse(source, metrics=...)`.

    Example:
        >>> from prometheus_client import CollectorRegistry
        >>> registry = CollectorRegistry()
        >>> counted = reactivex.of(1, 2, 3).pipe(with_metrics("numbers", StreamMetrics(registry=registry)))
        >>> _ = counted.subscribe()
        >>> labels = {"stream": "numbers", "format": "items", "direction": "internal"}
        >>> registry.get_sample_value("stream_elements_total", labels)
        3.0
    """
    check_name(name)
    counted_by = StreamMetrics() if metrics is None else metrics

    def operator(source: Observable[T]) -> Observable[T]:
        def subscribe(observer: abc.ObserverBase[T], scheduler: abc.SchedulerBase | None = None) -> abc.DisposableBase:
            probe = counted_by.probe(name, "items", "internal").open()
            if isinstance(scheduler, DemandScheduler):
                probe.watch(scheduler.buffer)

            def on_next(item: T) -> None:
                probe.count(item)
                observer.on_next(item)

            def on_error(error: Exception) -> None:
                probe.failed(error)
                probe.close()
                observer.on_error(error)

            def on_completed() -> None:
                probe.completed()
                probe.close()
                observer.on_completed()

            try:
                subscription = source.subscribe(on_next, on_error, on_completed, scheduler=scheduler)
            except BaseException as error:  # whoever subscribes deals with it
                probe.failed(error)
                probe.close()
                raise
            return CompositeDisposable(Disposable(probe.close), subscription)

        return like(source, subscribe)

    return operator
