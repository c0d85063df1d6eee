"""What a request body may take of memory and of time, and what a form may have."""

from __future__ import annotations

from dataclasses import dataclass, fields
from math import inf

__all__ = ["BodyLimits", "MultipartLimits", "whole_number"]


@dataclass(frozen=True, slots=True)
class BodyLimits:
    """What a request body may take, of memory and of time.

    Args:
        buffer: Bytes that are kept for a reader; reading from the client stops above it.
        idle_timeout: Seconds that a reader waits for the next bytes; None for ever.
        min_rate: Bytes a second that the client must send while a reader waits for it; None for any number.
        rate_window: Seconds of such waiting over which `min_rate` is an average.
        stall_timeout: Seconds that a reader may take nothing while the client has more; None for ever. While nobody
            reads, a client that vanished cannot always be seen.

    Raises:
        TypeError, ValueError: One of them is no number above 0.

    Example:
        >>> RxStream(app, body=BodyLimits(idle_timeout=10, min_rate=1024))
    """

    buffer: int = 256 * 1024
    idle_timeout: float | None = 30.0
    min_rate: float | None = 64.0
    rate_window: float = 10.0
    stall_timeout: float | None = 300.0

    def __post_init__(self) -> None:
        if not isinstance(self.buffer, int) or isinstance(self.buffer, bool):
            raise TypeError(f"buffer must be a number of bytes, not {self.buffer!r}")
        for name in ("buffer", "idle_timeout", "min_rate", "rate_window", "stall_timeout"):
            value = getattr(self, name)
            if value is None and name not in ("buffer", "rate_window"):
                continue
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise TypeError(f"{name} must be a number, not {value!r}")
            if not 0 < value < inf:
                raise ValueError(f"{name} must be above 0 and finite, not {value}")


@dataclass(frozen=True, slots=True)
class MultipartLimits:
    """What a form may have; more than that is a 413.

    Args:
        total: Bytes of the whole body; None for the largest file and 1 MiB.
        field: Bytes of a part that is no file.
        parts: Number of parts, files and fields.
        headers: Number of headers of a part.
        header_size: Bytes of one header line.
        headers_size: Bytes of all header lines of a part.

    Raises:
        TypeError, ValueError: One of them is no whole number above 0.

    Example:
        >>> from_multipart(request, limits=MultipartLimits(parts=10))
    """

    total: int | None = None
    field: int = 1024 * 1024
    parts: int = 1000
    headers: int = 8
    header_size: int = 4096
    headers_size: int = 8192

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not (value is None and field.name == "total"):
                whole_number(field.name, value)


def whole_number(name: str, value: int) -> int:
    """Checks a size or a number of things."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{name} must be an int, not {value!r}")
    if value < 1:
        raise ValueError(f"{name} must be at least 1, not {value}")
    return value
