"""Bounded buffers and real backpressure for Rx pipelines."""

from rxstream import operators
from rxstream.buffer import BufferStatistics
from rxstream.buffer_config import BUFFER_PRESETS, BufferConfig
from rxstream.concurrency import for_each
from rxstream.errors import BackpressureError, DecodeError, EncodeError, RxStreamError
from rxstream.formats import ReceivedEvent, ServerSentEvent
from rxstream.metrics import StreamMetrics
from rxstream.sinks import AsyncStream, to_async_iterable
from rxstream.sources import from_async_iterable, from_file

__all__ = [
    "BUFFER_PRESETS",
    "AsyncStream",
    "BackpressureError",
    "BufferConfig",
    "BufferStatistics",
    "DecodeError",
    "EncodeError",
    "ReceivedEvent",
    "RxStreamError",
    "ServerSentEvent",
    "StreamMetrics",
    "for_each",
    "from_async_iterable",
    "from_file",
    "operators",
    "to_async_iterable",
]
