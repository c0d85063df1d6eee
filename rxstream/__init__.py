"""Bounded buffers and real backpressure for Rx pipelines."""

from rxstream import operators
from rxstream.buffer_config import BUFFER_PRESETS, BufferConfig
from rxstream.buffer_watch import BufferStatistics
from rxstream.circuit import CircuitRegistry, circuits
from rxstream.concurrency import for_each
from rxstream.errors import BackpressureError, DecodeError, EncodeError, RxStreamError
from rxstream.formats import ReceivedEvent, ServerSentEvent
from rxstream.metrics import StreamMetrics
from rxstream.progress import Progress, ProgressEvents, progress_events
from rxstream.sinks import AsyncStream, to_async_iterable
from rxstream.sources import from_async_iterable, from_file

__all__ = [
    "BUFFER_PRESETS",
    "AsyncStream",
    "BackpressureError",
    "BufferConfig",
    "BufferStatistics",
    "CircuitRegistry",
    "DecodeError",
    "EncodeError",
    "Progress",
    "ProgressEvents",
    "ReceivedEvent",
    "RxStreamError",
    "ServerSentEvent",
    "StreamMetrics",
    "circuits",
    "for_each",
    "from_async_iterable",
    "from_file",
    "operators",
    "progress_events",
    "to_async_iterable",
]
