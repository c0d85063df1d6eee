"""A live view of a stream in a running notebook: items a second, fill, drops, a sparkline."""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Callable
from html import escape
from importlib import import_module
from typing import Any, Final, TypeVar

from reactivex import Observable

from rxstream.buffer_config import BufferLike, resolve_buffer
from rxstream.buffer_watch import BufferStatistics
from rxstream.explore.recording import delay_of
from rxstream.explore.trace import label_of
from rxstream.sinks import AsyncStream, to_async_iterable

__all__ = ["watch"]

T = TypeVar("T")

SPARKS: Final = 60
"""Points of the sparkline."""

Show = Callable[[str], object]


async def watch(
    observable: Observable[T],
    *,
    consumer_delay: float | Callable[[T], float] = 0.0,
    buffer: BufferLike | None = "sse",
    refresh: float = 0.25,
    title: str = "stream",
) -> BufferStatistics:
    """Consumes a pipeline and shows it live below the cell: items a second, fill, drops, the latest item.

    Args:
        observable: Any pipeline.
        consumer_delay: Seconds that the consumer spends on each item, or a function of the item that says how many.
        buffer: The boundary's: a preset's name, a `BufferConfig`, or a mapping that overrides parts of the `export`
            preset.
        refresh: Seconds from one picture to the next, at least 0.05.
        title: What is written above it.

    Returns:
        What became of the items, once the stream has ended.

    Raises:
        TypeError, ValueError: An argument is wrong.
        ModuleNotFoundError: IPython is not installed, or this is no notebook (`record` does without).
        Exception: What the stream failed with.

    Interrupt the cell to stop it: the subscription is disposed, what is left in the buffer discarded, the picture stays
    as it was, and no task and no thread is left.

    Example:
        >>> await watch(reactivex.interval(0.01), consumer_delay=0.05, buffer={"capacity": 32, "strategy": "sliding"})
    """
    config = resolve_buffer(buffer, "export")
    delay = delay_of(consumer_delay)
    if not isinstance(observable, Observable):
        raise TypeError(f"watch takes an Observable, not {type(observable).__name__}")
    if not (isinstance(refresh, int | float) and math.isfinite(refresh) and refresh >= 0.05):
        raise ValueError(f"refresh must be at least 0.05 seconds, not {refresh!r}")
    show = _display()
    async with to_async_iterable(observable, config) as items:
        view = _View(items, title, show)
        painter = asyncio.ensure_future(view.keep_painting(refresh))
        try:
            async for item in items:
                view.latest = item
                if (seconds := delay(item)) > 0:
                    await asyncio.sleep(seconds)
            view.state = "ended"
        except asyncio.CancelledError:
            view.state = "stopped"
            raise
        except BaseException as error:
            view.state = "failed: " + repr(error)
            raise
        finally:
            painter.cancel()
            view.paint()
    return items.statistics()


def _display() -> Show:
    """A function that shows HTML where the cell's output is, in place of what it showed before."""
    try:
        ipython, display = import_module("IPython"), import_module("IPython.display")
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "watch needs IPython: pip install 'rxstream[notebook]'; elsewhere there is record()", name=error.name
        ) from error
    if ipython.get_ipython() is None:
        raise ModuleNotFoundError("watch shows its view in a notebook or IPython; elsewhere there is record()")
    handle = display.display(display.HTML(""), display_id=True)
    return lambda html: handle.update(display.HTML(html))


class _View:
    """The picture of a stream that goes on."""

    def __init__(self, items: AsyncStream[Any], title: str, show: Show) -> None:
        self.state = "running"
        self.latest: Any = None
        self._items = items
        self._title = title
        self._show = show
        self._now = asyncio.get_running_loop().time
        self._began = self._before = self._now()
        self._delivered = 0
        self._rates: deque[float] = deque(maxlen=SPARKS)

    async def keep_painting(self, refresh: float) -> None:
        """Paints until it is cancelled."""
        while True:
            self.paint()
            await asyncio.sleep(refresh)

    def paint(self) -> None:
        """Shows how it stands."""
        statistics = self._items.statistics()
        now = self._now()
        if now > self._before:
            self._rates.append((statistics.delivered - self._delivered) / (now - self._before))
            self._before, self._delivered = now, statistics.delivered
        self._show(self._html(statistics, now - self._began))

    def _html(self, statistics: BufferStatistics, seconds: float) -> str:
        rate = self._rates[-1] if self._rates else 0.0
        share = 100 * statistics.length / statistics.capacity
        lost = statistics.dropped + statistics.discarded
        return (
            '<div style="font:13px system-ui,sans-serif;display:flex;gap:1.6em;align-items:center;flex-wrap:wrap">'
            f"<b>{escape(self._title)}</b>"
            f"<span>{rate:,.0f} items/s</span>"
            f"{sparkline(self._rates)}"
            f'<span>buffer <meter min="0" max="100" high="90" value="{share:.0f}" style="width:7em"></meter> '
            f"{statistics.length} / {statistics.capacity} {statistics.strategy}</span>"
            f"<span>{statistics.delivered:,} delivered</span>"
            f"<span>{lost:,} dropped</span>"
            f'<span style="opacity:.7">{escape(self.state)}, {seconds:.1f} s; latest: '
            f"<code>{escape(label_of(self.latest))}</code></span></div>"
        )


def sparkline(values: deque[float], *, width: int = 120, height: int = 22) -> str:
    """Numbers as a small line, the latest at the right."""
    top = max(values, default=0.0) or 1.0
    step = width / (SPARKS - 1)
    left = width - step * (len(values) - 1)
    points = " ".join(
        f"{left + step * n:.1f},{height - 2 - (height - 4) * value / top:.1f}" for n, value in enumerate(values)
    )
    return (
        f'<svg width="{width}" height="{height}" role="img" aria-label="items a second">'
        f'<polyline points="{points}" fill="none" stroke="#0969da" stroke-width="1.5"/></svg>'
    )
