"""Which metrics a stream of the adapter is counted by, and under which name."""

from __future__ import annotations

import asyncio
from typing import Literal, TypeAlias

from quart import current_app, has_app_context

from quart_adapter.extension import RxStream
from rxstream.metrics import StreamMetrics, StreamProbe
from rxstream.metrics.catalog import Direction

__all__ = ["MetricsLike", "stream_probe"]

MetricsLike: TypeAlias = StreamMetrics | Literal["default"] | None
"""A `StreamMetrics`, None for no metrics, or `"default"` for those of the app's `RxStream`."""

UNNAMED = "unnamed"


def stream_probe(metrics: MetricsLike, name: str | None, format: str, direction: Direction) -> StreamProbe | None:
    """The probe of a stream that is about to be made; None where nobody counts.

    Raises:
        TypeError: `metrics` is something else.
    """
    if metrics == "default":
        extension = current_app.extensions.get("rxstream") if has_app_context() else None
        metrics = extension.metrics if isinstance(extension, RxStream) else None
    if metrics is None:
        return None
    if not isinstance(metrics, StreamMetrics):
        raise TypeError(f"metrics must be a StreamMetrics, None or 'default', not {metrics!r}")
    return metrics.probe(name or UNNAMED, format, direction, asyncio.get_running_loop().time)
