"""Every metric that there is: names, kinds, labels. Backends, docs and the dashboard follow this table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

__all__ = [
    "ACTIVE",
    "BYTES",
    "DURATION",
    "ELEMENTS",
    "ERRORS",
    "FIRST_ELEMENT",
    "HIGH_WATER",
    "METRICS",
    "OVERFLOWS",
    "REJECTED_UPLOADS",
    "REJECTIONS",
    "STATE",
    "SUSPENDED",
    "TRANSITIONS",
    "UTILIZATION",
    "Direction",
    "Metric",
    "Outcome",
]

Direction: TypeAlias = Literal["in", "out", "internal"]
Outcome: TypeAlias = Literal["completed", "empty", "error", "cancelled"]

_STREAM: Final = ("stream", "format", "direction")


@dataclass(frozen=True, slots=True)
class Metric:
    """What a metric is.

    Args:
        name: Its name, unit and `_total` included, without a namespace.
        kind: A counter only grows, a gauge is a value at a moment, a histogram counts values by size.
        help: A sentence for people.
        labels: The names of its labels.
        buckets: The upper bounds of a histogram's buckets.
        combine: What the gauges of several processes are together.
    """

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    help: str
    labels: tuple[str, ...] = _STREAM
    buckets: tuple[float, ...] = ()
    combine: Literal["sum", "max"] = "sum"


ELEMENTS: Final = Metric("stream_elements_total", "counter", "Items that went through a stream.")
BYTES: Final = Metric("stream_bytes_total", "counter", "Bytes that went through a stream.")
ERRORS: Final = Metric("stream_errors_total", "counter", "Streams that failed.")
OVERFLOWS: Final = Metric(
    "stream_buffer_overflows_total",
    "counter",
    "Items that a buffer dropped by its strategy, or, under suspend, that were the failure of their stream.",
    (*_STREAM, "strategy"),
)
SUSPENDED: Final = Metric(
    "stream_suspended_seconds_total", "counter", "Seconds in which the sources of a stream waited for its consumer."
)
DURATION: Final = Metric(
    "stream_duration_seconds",
    "histogram",
    "Seconds from a stream's start to its end.",
    (*_STREAM, "outcome"),
    buckets=(0.1, 1.0, 10.0, 60.0, 300.0),
)
FIRST_ELEMENT: Final = Metric(
    "stream_time_to_first_element_seconds",
    "histogram",
    "Seconds from a stream's start to its first item.",
    buckets=(0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 60.0),
)
ACTIVE: Final = Metric("stream_active", "gauge", "Streams that are open.")
UTILIZATION: Final = Metric(
    "stream_buffer_utilization_ratio",
    "gauge",
    "How full the fullest buffer of the open streams is, from 0 to 1.",
    combine="max",
)
HIGH_WATER: Final = Metric(
    "stream_buffer_high_water_ratio",
    "gauge",
    "How full the fullest buffer of the open streams has ever been, from 0 to 1.",
    combine="max",
)
REJECTED_UPLOADS: Final = Metric(
    "stream_upload_rejections_total", "counter", "Uploads that were refused, by the error's code.", (*_STREAM, "code")
)
STATE: Final = Metric("stream_circuit_state", "gauge", "0: closed, 1: half-open, 2: open.", ("circuit",), combine="max")
REJECTIONS: Final = Metric(
    "stream_circuit_rejections_total", "counter", "Streams that an open circuit refused.", ("circuit",)
)
TRANSITIONS: Final = Metric(
    "stream_circuit_transitions_total", "counter", "Changes of a circuit's state.", ("circuit", "to")
)

METRICS: Final = (
    ELEMENTS,
    BYTES,
    ERRORS,
    OVERFLOWS,
    SUSPENDED,
    DURATION,
    FIRST_ELEMENT,
    ACTIVE,
    UTILIZATION,
    HIGH_WATER,
    REJECTED_UPLOADS,
    STATE,
    REJECTIONS,
    TRANSITIONS,
)
"""Every metric that streams are counted in."""
