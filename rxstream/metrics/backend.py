"""Where metrics go: the one thing that a library for metrics has to be made to fit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, runtime_checkable

from rxstream.metrics.catalog import Metric

__all__ = ["Exposition", "MetricsBackend"]


class MetricsBackend(Protocol):
    """Takes what streams have counted, about once a second, one call at a time.

    It is never called on an event loop, nor by a thread of a stream, and no stream waits for it. What it raises is
    logged once, and what it was given then is lost.
    """

    def add(self, metric: Metric, amount: float, labels: Mapping[str, str]) -> None:
        """Adds to a counter; 0 makes it known."""

    def set(self, metric: Metric, value: float, labels: Mapping[str, str]) -> None:
        """Sets a gauge."""

    def observe(self, metric: Metric, value: float, labels: Mapping[str, str]) -> None:
        """Adds a value to a histogram."""


@runtime_checkable
class Exposition(Protocol):
    """What a backend has besides if it can be scraped."""

    def render(self, accept: str, names: list[str]) -> tuple[bytes, str]:
        """All metrics, or those named, as the body of a response, and its content type."""
