"""What the tests of metrics share: a backend that keeps what it is given, and one that does worse."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from rxstream.metrics import Metric

Key = tuple[str, tuple[tuple[str, str], ...]]


def key(name: str, labels: Mapping[str, str]) -> Key:
    """A metric and its labels, as a key."""
    return name, tuple(sorted(labels.items()))


class Kept:
    """A backend that keeps everything."""

    def __init__(self) -> None:
        self.counters: defaultdict[Key, float] = defaultdict(float)
        self.gauges: dict[Key, float] = {}
        self.values: defaultdict[Key, list[float]] = defaultdict(list)
        self.threads: set[str] = set()

    def add(self, metric: Metric, amount: float, labels: Mapping[str, str]) -> None:
        """Adds up."""
        assert metric.kind == "counter" and amount >= 0
        self._check(metric, labels)
        self.counters[key(metric.name, labels)] += amount

    def set(self, metric: Metric, value: float, labels: Mapping[str, str]) -> None:
        """Keeps the last."""
        assert metric.kind == "gauge"
        self._check(metric, labels)
        self.gauges[key(metric.name, labels)] = value

    def observe(self, metric: Metric, value: float, labels: Mapping[str, str]) -> None:
        """Keeps all."""
        assert metric.kind == "histogram" and value >= 0
        self._check(metric, labels)
        self.values[key(metric.name, labels)].append(value)

    def _check(self, metric: Metric, labels: Mapping[str, str]) -> None:
        assert tuple(labels) == metric.labels
        self.threads.add(threading.current_thread().name)

    def counter(self, name: str, stream: str, **more: str) -> float | None:
        """What a counter of an operator's stream has come to."""
        return self.counters.get(key(name, {**of(stream), **more}))

    def gauge(self, name: str, stream: str) -> float | None:
        """What a gauge of an operator's stream shows."""
        return self.gauges.get(key(name, of(stream)))

    def outcomes(self, stream: str) -> dict[str, int]:
        """How often an operator's stream ended in which way."""
        return {
            outcome: len(seconds)
            for outcome in ("completed", "empty", "error", "cancelled")
            if (seconds := self.values.get(key("stream_duration_seconds", {**of(stream), "outcome": outcome})))
        }

    def labels(self, among: str) -> set[str]:
        """Every value of a label that was ever used beside one of this name."""
        return {
            value
            for one in (self.counters, self.gauges, self.values)
            for _, labels in one
            if among in dict(labels)
            for _, value in labels
        }


def of(stream: str) -> dict[str, str]:
    """The labels of a stream that `with_metrics` counts."""
    return {"stream": stream, "format": "items", "direction": "internal"}


class Raises:
    """A backend that fails at everything."""

    def __init__(self) -> None:
        self.calls = 0

    def add(self, *_: Any) -> None:
        """Fails."""
        self.calls += 1
        raise OSError("the backend is broken")

    set = observe = add


class Blocks:
    """A backend that blocks, until it is let go of."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.released = threading.Event()

    def add(self, *_: Any) -> None:
        """Blocks."""
        self.entered.set()
        self.released.wait(60)

    set = observe = add

    def render(self, accept: str, names: list[str]) -> tuple[bytes, str]:
        """Would be quick, if it came to it."""
        return b"", "text/plain"
