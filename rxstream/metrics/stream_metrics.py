"""`StreamMetrics`: what an app makes once, and gives to its streams."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import TYPE_CHECKING, Final
from weakref import WeakKeyDictionary, WeakValueDictionary

from rxstream.metrics.backend import Exposition, MetricsBackend
from rxstream.metrics.catalog import Direction
from rxstream.metrics.labels import check_name
from rxstream.metrics.probe import StreamProbe
from rxstream.metrics.recorder import Recorder

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry
    from pybreaker import CircuitBreaker

__all__ = ["StreamMetrics"]


class StreamMetrics:
    """Counts what streams do, for Prometheus or another backend.

    Give it to `RxStream(app, metrics=...)`, to a builder, or to the operator `with_metrics`.

    Args:
        registry: The registry of `prometheus_client`; default: its global one.
        namespace: Goes in front of each name, with a `_`.
        backend: Takes the place of Prometheus.

    Raises:
        RuntimeError: `prometheus_client` is not installed, or its multiprocess mode is not set up as it needs to be.
        TypeError: A backend was given together with a registry or a namespace.
        ValueError: Something else in the registry has one of the names.

    What is made with the same registry and namespace is the same: call it where you need it. Streams write to plain
    attributes; a thread brings them to the backend about once a second, and before each scrape. So a backend that
    raises or hangs costs its figures and nothing else. Without a `StreamMetrics` nothing is imported nor counted.

    Example:
        >>> from prometheus_client import CollectorRegistry
        >>> metrics = StreamMetrics(registry=CollectorRegistry(), namespace="shop")
        >>> b"shop_stream_active" in metrics.render()[0]
        True
    """

    def __init__(
        self,
        *,
        registry: CollectorRegistry | None = None,
        namespace: str = "",
        backend: MetricsBackend | None = None,
    ) -> None:
        if backend is not None and (registry is not None or namespace):
            raise TypeError("registry and namespace are for Prometheus: leave them out with a backend of your own")
        self._recorder = Recorder(backend) if backend is not None else _prometheus(registry, namespace)

    def probe(
        self, name: str, format: str, direction: Direction, clock: Callable[[], float] = time.monotonic
    ) -> StreamProbe:
        """A probe for one stream, to be opened when it begins: for integrations that make streams of their own.

        Args:
            name: The label `stream`: a constant.
            format: The label `format`, likewise.
            direction: `"out"` for responses, `"in"` for uploads, `"internal"` within a process.
            clock: Gives seconds.

        Raises:
            TypeError, ValueError: `name` is no constant.
        """
        return self._recorder.probe(check_name(name), format, direction, clock)

    def watch(self, breaker: CircuitBreaker, name: str | None = None) -> None:
        """Counts what a circuit breaker does: its state, its transitions, the streams that it refuses.

        Args:
            breaker: Any of pybreaker's. Those of `circuits.get(...)` are watched without being asked for.
            name: The label `circuit`: a constant; default: the breaker's name.

        Raises:
            TypeError, ValueError: There is no name, or it is no constant.
        """
        self._recorder.watch(breaker, check_name(name if name is not None else breaker.name or ""))

    def flush(self) -> None:
        """Reports to the backend now, on this thread: before a push to a gateway, say. A scrape needs no such call.

        Raises:
            TimeoutError: The backend has been busy with an earlier report for five seconds.
        """
        if not self._recorder.flush():
            raise TimeoutError("the metrics' backend has been busy for five seconds")

    def last_report(self) -> bool:
        """Reports what is left, for the end of a server: waits for it, but no more than a second.

        Returns:
            Whether the backend took it in time.
        """
        return self._recorder.last_report()

    @property
    def can_render(self) -> bool:
        """Whether the backend can be scraped."""
        return isinstance(self._recorder.backend, Exposition)

    def render(self, accept: str = "", names: Sequence[str] = ()) -> tuple[bytes, str]:
        """What a scrape gets: the body and its content type. Waits for the backend: see `rendering`."""
        return self.rendering(accept, names).result()

    def rendering(self, accept: str = "", names: Sequence[str] = ()) -> Future[tuple[bytes, str]]:
        """The same on its way, made by the thread that reports.

        Args:
            accept: The `Accept` header of the scrape.
            names: Only these metrics.

        Raises:
            TypeError: The backend cannot be scraped.
        """
        backend = self._recorder.backend
        if not isinstance(backend, Exposition):
            raise TypeError(f"{type(backend).__name__} has no render(): it cannot be scraped")
        return self._recorder.run(lambda: backend.render(accept, list(names)))


_sharing: Final = threading.Lock()
# A registry keeps its recorders alive: it calls them when it is read.
_recorders: Final[WeakKeyDictionary[CollectorRegistry, WeakValueDictionary[str, Recorder]]] = WeakKeyDictionary()


def _prometheus(registry: CollectorRegistry | None, namespace: str) -> Recorder:
    """The recorder of a registry: a metric can be registered once, and two of them would undo each other's gauges."""
    try:
        from prometheus_client import REGISTRY

        from rxstream.metrics.prometheus import PrometheusBackend, multiprocess
    except ImportError as error:
        raise RuntimeError("StreamMetrics needs prometheus_client: pip install rxstream[metrics]") from error
    if multiprocess():
        registry = REGISTRY  # the files are the same whatever the registry
    registry = registry or REGISTRY
    with _sharing:
        shared = _recorders.setdefault(registry, WeakValueDictionary())
        recorder = shared.get(namespace)
        if recorder is None:
            backend = PrometheusBackend(registry, namespace)
            recorder = shared[namespace] = Recorder(backend)
            backend.on_read = recorder.flush
        return recorder
