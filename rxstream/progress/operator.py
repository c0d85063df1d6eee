"""`with_progress`: the operator, and the check of what it is given."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from math import inf
from typing import Any, TypeVar

from reactivex import Observable, abc

from rxstream.boundary import like
from rxstream.progress.outlets import load_bar
from rxstream.progress.report import Progress, Unit
from rxstream.progress.stream import CountedStream, ProgressOptions

__all__ = ["with_progress"]

T = TypeVar("T")


def with_progress(
    name: str,
    *,
    total: int | None = None,
    unit: Unit = "elements",
    log_interval: int | None = 1000,
    every: float | None = None,
    on_progress: Callable[[Progress], object] | None = None,
    bar: bool = False,
) -> Callable[[Observable[T]], Observable[T]]:
    """Reports how far a stream is; the stream itself passes unchanged.

    Args:
        name: What the reports call the stream.
        total: What is expected, if that is known. It may be wrong.
        unit: What `total` counts: `"elements"`, or `"bytes"` of items that are bytes-likes.
        log_interval: Items from one report to the next; None for none but the last.
        every: Seconds from one report to the next, as items come; then `log_interval` does not count.
        on_progress: Is called with each `Progress`; or what `progress_events()` gave.
        bar: Draws a bar with tqdm, in a terminal or a notebook, in place of the lines between.

    Raises:
        TypeError, ValueError: An argument is wrong.
        ImportError: `bar` without tqdm: `pip install 'rxstream[progress]'`.

    Each report is a line in the log `rxstream.progress`, at level INFO. The last one always comes, and says how the
    stream ended: completed, with an error (level WARNING), or cancelled: its consumer left.

    `on_progress` is called on a thread of its own. One that raises is logged, once; one that blocks has only itself to
    wait for: while it does, only the latest report is kept. The end of the stream waits up to 20 ms for its last report
    to be taken. Under virtual time it is called on the spot. Demand passes through, nothing is buffered or dropped.

    Example:
        >>> rows.pipe(with_progress("import", total=50_000, every=5))
    """
    if not isinstance(name, str):
        raise TypeError(f"a name is text, not {name!r}")
    if unit not in ("elements", "bytes"):
        raise ValueError(f"unit must be 'elements' or 'bytes', not {unit!r}")
    if on_progress is not None and not callable(on_progress):
        raise TypeError(f"on_progress must be callable, not {on_progress!r}")
    if inspect.iscoroutinefunction(on_progress):
        raise TypeError("on_progress is called on a thread, and so cannot be async; read progress_events() instead")
    _integer("total", total, 0)
    _integer("log_interval", log_interval, 1)
    _seconds(every)
    if bar:
        load_bar()
    options = ProgressOptions(name, total, unit, log_interval, every, on_progress, bool(bar))

    def operator(source: Observable[T]) -> Observable[T]:
        def subscribe(observer: abc.ObserverBase[T], scheduler: abc.SchedulerBase | None = None) -> abc.DisposableBase:
            return CountedStream(observer, scheduler, options).start(source, scheduler)

        return like(source, subscribe)

    return operator


def _integer(name: str, value: Any, least: int) -> None:
    if value is None:
        return
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{name} must be an int or None, not {value!r}")
    if value < least:
        raise ValueError(f"{name} must be at least {least} or None, not {value}")


def _seconds(every: Any) -> None:
    if every is None:
        return
    if isinstance(every, bool) or not isinstance(every, int | float):
        raise TypeError(f"every must be a number of seconds or None, not {every!r}")
    if not 0 < every < inf:
        raise ValueError(f"every must be a positive number of seconds or None, not {every}")
