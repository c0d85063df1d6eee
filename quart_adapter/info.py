"""What an app can tell of a stream that is open."""

from __future__ import annotations

from dataclasses import dataclass

from rxstream.buffer_watch import BufferStatistics
from rxstream.metrics.labels import check_name, is_name

__all__ = ["StreamInfo", "stream_name"]


@dataclass(frozen=True, slots=True)
class StreamInfo:
    """A live stream at one moment; `RxStream.streams()` gives one for each.

    Args:
        name: The builder's `name`, else the endpoint of the route; None outside of a route.
        format: `"sse"`, `"ndjson"`, `"json"`, `"csv"`, or `"bytes"` for a `response` or a `download`.
        seconds: How long it has been open.
        items: Items that were encoded.
        bytes: Bytes that were handed to the server, heartbeats included.
        statistics: Its buffer: what it holds, dropped, ...

    Example:
        >>> [stream.items for stream in RxStream.of(app).streams() if stream.name == "prices"]
    """

    name: str | None
    format: str
    seconds: float
    items: int
    bytes: int
    statistics: BufferStatistics


def stream_name(name: str | None, endpoint: str | None) -> str | None:
    """Checks a name; without one it is the endpoint of the route, which comes from code as well."""
    if name is not None:
        return check_name(name)
    return endpoint if is_name(endpoint) else None
