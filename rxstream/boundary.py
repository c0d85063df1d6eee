"""The push side of a boundary: the observer at the end of a pipeline, in front of its buffer.

The pull side belongs to whoever drains the buffer: an async consumer (`sinks`) or an observer (`buffering`).
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from reactivex import Observable, abc
from reactivex.disposable import SingleAssignmentDisposable

from rxstream.buffer import Buffer, BufferConfig
from rxstream.demand import DemandScheduler, Released
from rxstream.errors import BackpressureError

__all__ = ["Boundary"]

T = TypeVar("T")
logger = logging.getLogger("rxstream")


class Boundary(Generic[T]):
    """Owns one subscription to `source` and its buffer, from the first `connect` to the one `disconnect`.

    Args:
        source: What to subscribe to.
        config: The buffer's capacity and strategy.
        on_dropped: The buffer's hook.

    Attributes:
        error: What the stream failed with, once it has.
        ended: Whether the terminal has come. What is in the buffer then still comes before it.
    """

    __slots__ = ("__weakref__", "_late", "_owner", "_scheduler", "_source", "_subscription", "buffer", "ended", "error")

    def __init__(
        self, source: Observable[T], config: BufferConfig, on_dropped: Callable[[T], object] | None = None
    ) -> None:
        self.buffer: Buffer[T] = Buffer(config, on_dropped, self._hook_failed if on_dropped else None)
        self.error: Exception | None = None
        self.ended = False
        self._source = source
        self._scheduler: DemandScheduler | None = None
        self._subscription = SingleAssignmentDisposable()
        self._owner: int | None = None  # the thread that drains right now, where that is not an event loop
        self._late = False

    # -- the life of the subscription

    def connect(self, loop: asyncio.AbstractEventLoop | None, base: abc.SchedulerBase | None = None) -> None:
        """Subscribes: here, or on the worker if the source may have to wait while it subscribes. Returns at once."""
        self._scheduler = DemandScheduler(self.buffer, loop=loop, base=base, fail=self.on_error)
        if self._scheduler.waits:
            self._scheduler.run_off_loop(self._subscribe)
        else:
            self._subscribe()

    def disconnect(self) -> None:
        """Disposes the subscription and discards what is in the buffer. Any thread, any number of times; never raises."""
        if self._scheduler is not None:
            self._scheduler.dispose()
        self.buffer.dispose()
        self._release()

    def _subscribe(self) -> None:
        assert self._scheduler is not None
        try:
            self._subscription.disposable = self._source.subscribe(self, scheduler=self._scheduler)
        except Exception as error:  # subscribing to arbitrary code: its failure is the stream's
            self.on_error(error)
        finally:
            self._changed()

    def _release(self) -> None:
        try:
            self._subscription.dispose()
        except Exception:  # arbitrary code upstream; whoever disposes can do nothing about it
            logger.exception("a source failed while it was disposed")

    # -- the observer

    def on_next(self, item: T) -> None:
        """Takes an item, from any thread: keeps it, drops one, or makes the caller wait."""
        if self.buffer.offer(item):
            self._changed()
        else:
            self._refused(item)

    def on_error(self, error: Exception) -> None:
        """Takes the terminal: items that are in the buffer still come before it."""
        if self.ended:
            self._came_late(error)
            return
        self.error = error
        self._end()

    def on_completed(self) -> None:
        """Takes the terminal: items that are in the buffer still come before it."""
        if not self.ended:
            self._end()

    # -- within

    def _changed(self) -> None:
        """There is an item or the end: the pull side's turn. Called on the producer's thread."""
        raise NotImplementedError

    def _end(self) -> None:
        self.buffer.end()
        self.ended = True
        self._changed()

    def _refused(self, item: T) -> None:
        """The buffer did not take the item: it is over, or full and its strategy is to wait."""
        if self.buffer.ended:
            self.buffer.discard(item)
            self._came_late()
            return
        scheduler = self._scheduler
        assert scheduler is not None
        if scheduler.loop is not None and scheduler.tasks:
            # One of our sources is pushing on the loop at this moment, here or (seen from another thread) next to us.
            # It asked for room before it pushed and somebody was faster: it must not wait here, so the boundary keeps
            # the one item that the source would otherwise have kept.
            if asyncio.current_task(scheduler.loop) in scheduler.tasks and self.buffer.park(item):
                self._changed()
                return
        if self._may_wait():
            if scheduler.block(item):
                self._changed()
            else:
                self.buffer.discard(item)
                self._came_late()
            return
        capacity = self.buffer.config.capacity
        self.on_error(
            BackpressureError(
                f"an item was pushed on the event loop while the buffer ({capacity}, suspend) was full: a push cannot "
                'wait there. Use strategy="sliding" or "dropping", a larger capacity, or a source that can wait, such '
                "as from_async_iterable"
            )
        )
        self.buffer.discard(item)
        self._release()

    def _may_wait(self) -> bool:
        return asyncio._get_running_loop() is None and self._owner != threading.get_ident()

    def _hook_failed(self, error: Exception) -> None:
        if self.ended:
            logger.error("on_dropped failed after the end of the stream", exc_info=error)
        else:
            self.on_error(error)
            self._release()

    def _came_late(self, error: Exception | None = None) -> None:
        scheduler = self._scheduler
        if scheduler is not None and scheduler.disposed:
            if scheduler.on_worker():
                raise Released
        elif not self._late:
            self._late = True
            logger.warning("a source went on after its end; what it sends is discarded", exc_info=error)
