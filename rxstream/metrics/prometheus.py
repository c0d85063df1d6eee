"""The backend for Prometheus. Imported when one is made: `prometheus_client` is an extra."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Callable, Iterable, Mapping

import prometheus_client
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, values
from prometheus_client.exposition import choose_encoder
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

from rxstream.metrics.catalog import METRICS, Metric

__all__ = ["PrometheusBackend", "multiprocess"]

VARIABLE = "PROMETHEUS_MULTIPROC_DIR"


class PrometheusBackend:
    """Counters, gauges and histograms in a registry, or, with several workers, in the files that they share.

    Args:
        registry: Where they are registered.
        namespace: Goes in front of each name.

    Raises:
        ValueError: Something else in the registry has one of the names.

    Attributes:
        on_read: Is called before the registry is read, by whomever, so that what is read is of now.
    """

    def __init__(self, registry: CollectorRegistry, namespace: str) -> None:
        self.registry = registry
        self.on_read: Callable[[], object] | None = None
        self._instruments: dict[Metric, Counter | Gauge | Histogram] = {}
        registry.register(self)  # first: a registry reads its collectors in this order
        try:
            for metric in METRICS:
                self._instruments[metric] = _instrument(metric, registry, namespace)
        except ValueError:
            for collector in (self, *self._instruments.values()):
                registry.unregister(collector)
            raise

    def add(self, metric: Metric, amount: float, labels: Mapping[str, str]) -> None:
        """Adds to a counter."""
        self._instruments[metric].labels(**labels).inc(amount)  # type: ignore[union-attr]

    def set(self, metric: Metric, value: float, labels: Mapping[str, str]) -> None:
        """Sets a gauge."""
        self._instruments[metric].labels(**labels).set(value)  # type: ignore[union-attr]

    def observe(self, metric: Metric, value: float, labels: Mapping[str, str]) -> None:
        """Adds a value to a histogram."""
        self._instruments[metric].labels(**labels).observe(value)  # type: ignore[union-attr]

    def describe(self) -> Iterable[prometheus_client.Metric]:
        """Nothing: it is a collector only to learn that the registry is read."""
        return ()

    def collect(self) -> Iterable[prometheus_client.Metric]:
        """Nothing, but what is read after it is up to date."""
        if self.on_read is not None:
            self.on_read()
        return ()

    def render(self, accept: str, names: list[str]) -> tuple[bytes, str]:
        """What a scrape gets: of all workers, where there are several."""
        registry = self.registry
        if multiprocess():
            sweep(os.environ[VARIABLE])
            registry = CollectorRegistry()
            MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        encoder, content_type = choose_encoder(accept)
        return encoder(registry.restricted_registry(names) if names else registry), content_type


def _instrument(metric: Metric, registry: CollectorRegistry, namespace: str) -> Counter | Gauge | Histogram:
    if metric.kind == "counter":
        return Counter(metric.name, metric.help, metric.labels, namespace=namespace, registry=registry)
    if metric.kind == "histogram":
        return Histogram(
            metric.name, metric.help, metric.labels, namespace=namespace, registry=registry, buckets=metric.buckets
        )
    return Gauge(
        metric.name,
        metric.help,
        metric.labels,
        namespace=namespace,
        registry=registry,
        multiprocess_mode="livesum" if metric.combine == "sum" else "livemax",
    )


def multiprocess() -> bool:
    """Whether several processes share their metrics in a folder.

    Raises:
        RuntimeError: They are to, but cannot.
    """
    folder = os.environ.get(VARIABLE)
    if folder is None:
        return False
    if not values.ValueClass._multiprocess:
        raise RuntimeError(f"{VARIABLE} was set after prometheus_client was imported: set it before the server starts")
    if not os.path.isdir(folder):
        raise RuntimeError(f"{VARIABLE} is {folder!r}, which is no folder: make it, empty, before the server starts")
    return True


def sweep(folder: str) -> None:
    """Removes the gauges of workers that are dead: one that was killed could not set them back.

    What they have counted stays, as it has to.
    """
    pids = {
        int(match[1]) for name in glob.glob(f"{glob.escape(folder)}/gauge_live*.db") if (match := _PID.search(name))
    }
    for pid in pids:
        if not _alive(pid):
            mark_process_dead(pid, folder)  # type: ignore[no-untyped-call]


_PID = re.compile(r"_(\d+)\.db$")


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:  # it is another user's
        return True
    return True
