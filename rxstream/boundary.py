"""The push side of a boundary: the observer at the end of a pipeline, in front of its buffer.

The pull side belongs to whoever drains the buffer: an async consumer (`async_boundary`) or an observer (`buffering`).
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Collection, Sequence
from typing import Any, Generic, TypeVar, cast

from reactivex import Observable, abc

from rxstream.aging_buffer import AgingBuffer, make_buffer
from rxstream.buffer import Buffer
from rxstream.buffer_config import BufferConfig
from rxstream.demand import DemandScheduler
from rxstream.errors import BackpressureError, as_failure

__all__ = ["Boundary", "Direct", "Source", "like"]

T = TypeVar("T")
logger = logging.getLogger("rxstream")


class Direct(Observable[T]):
    """An Observable that a boundary subscribes to without the observer that RxPY puts in between.

    That one guards against signals after the end, as a boundary does itself, and costs a call for each item.
    """

    def subscribe(
        self,
        on_next: abc.ObserverBase[T] | abc.OnNext[T] | None = None,
        on_error: abc.OnError | None = None,
        on_completed: abc.OnCompleted | None = None,
        *,
        scheduler: abc.SchedulerBase | None = None,
    ) -> abc.DisposableBase:
        """Subscribes an observer, or callbacks."""
        if isinstance(on_next, Boundary) and self._is_direct(scheduler):
            return self._subscribe_core(cast("abc.ObserverBase[T]", on_next), scheduler)
        return super().subscribe(on_next, on_error, on_completed, scheduler=scheduler)

    def _is_direct(self, scheduler: abc.SchedulerBase | None) -> bool:
        return True


class Source(Direct[T]):
    """An Observable of ours: it never pushes while it is subscribed to, and pushes one item at a time.

    So a boundary subscribes to it right on the event loop, without a thread.
    """


def like(source: Observable[Any], subscribe: abc.Subscription[T]) -> Observable[T]:
    """An Observable over another one that pushes when that does, and so is a `Source` if that is one."""
    return Source(subscribe) if isinstance(source, Source) else Observable(subscribe)


class Boundary(Generic[T]):
    """Owns one subscription to `source` and its buffer, from the first `connect` to the one `disconnect`.

    Args:
        source: What to subscribe to.
        config: The buffer's capacity and strategy.
        on_dropped: The buffer's hook.

    Attributes:
        error: What the stream failed with, once it has.
        ended: Whether the terminal has come. What is in the buffer then still comes before it.
        waiting: Not empty while the pull side is to be told of an item.
    """

    __slots__ = (
        "__weakref__",
        "_held",
        "_late",
        "_owner",
        "_scheduler",
        "_source",
        "buffer",
        "ended",
        "error",
        "waiting",
    )

    def __init__(
        self, source: Observable[T], config: BufferConfig, on_dropped: Callable[[T], object] | None = None
    ) -> None:
        self.buffer: Buffer[T] = make_buffer(config, on_dropped, self._hook_failed if on_dropped else None)
        self.error: Exception | None = None
        self.ended = False
        self.waiting: Collection[object] = (None,)
        self._source = source
        self._scheduler: DemandScheduler | None = None
        self._held: list[abc.DisposableBase] | None = []  # the subscription; None once it is to be disposed
        self._owner: int | None = None  # the thread that drains right now, where that is not an event loop
        self._late = False

    # -- the life of the subscription

    def connect(
        self,
        loop: asyncio.AbstractEventLoop | None,
        base: abc.SchedulerBase | None = None,
        *,
        below: DemandScheduler | None = None,
    ) -> None:
        """Subscribes: here, or on the worker if the source may have to wait while it subscribes. Returns at once.

        Args:
            loop: The consumer's event loop.
            base: A scheduler of the user's that owns time.
            below: The demand on whoever empties the buffer, if that is a source of ours amid a pipe.
        """
        self._scheduler = DemandScheduler(self.buffer, loop=loop, base=base, fail=self.on_error, below=below)
        self._scheduler.on_subscribed = self.changed
        if isinstance(self.buffer, AgingBuffer):
            self.buffer.use(self._scheduler.clock())
        if self._scheduler.blocks and not isinstance(self._source, Source):
            scheduler = self._scheduler
            scheduler.run_off_loop(self._subscribe, lambda: scheduler.disposed)
        else:
            self._subscribe()

    def finish(self) -> None:
        """Ends the stream before its source does: that is disposed, and what is in the buffer can still be taken."""
        if self._scheduler is not None:
            self._scheduler.dispose()
        self._end()
        self._release()

    def disconnect(self) -> None:
        """Disposes the subscription, discards what is in the buffer. Any thread, any number of times; never raises."""
        if self._scheduler is not None:
            self._scheduler.dispose()
        self.buffer.dispose()
        self._release()

    def _subscribe(self) -> None:
        assert self._scheduler is not None
        try:
            if not self.buffer.disposed:
                self._hold(self._source.subscribe(cast("abc.ObserverBase[T]", self), scheduler=self._scheduler))
        except (Exception, asyncio.CancelledError) as error:  # arbitrary code: its failure is the stream's
            self.on_error(as_failure(error))
        finally:
            self.changed()

    # RxPY's `SingleAssignmentDisposable` without its lock, which weighs as much as all of this: there are thousands.

    def _hold(self, subscription: abc.DisposableBase) -> None:
        held = self._held
        if held is not None:
            held.append(subscription)
        if self._held is None:  # released in between, on another thread or within `subscribe`
            self._dispose([subscription] if held is None else held)

    def _release(self) -> None:
        held, self._held = self._held, None
        self._dispose(held or [])

    def _dispose(self, held: list[abc.DisposableBase]) -> None:
        """Disposes what is held, once, whichever threads come for it."""
        try:
            subscription = held.pop()
        except IndexError:  # another thread has it
            return
        try:
            subscription.dispose()
        except (Exception, asyncio.CancelledError):  # arbitrary code; whoever disposes can do nothing about it
            logger.exception("a source failed while it was disposed")
            if self._scheduler is not None:  # RxPY leaves the rest of what it was to dispose
                self._scheduler.abort()

    # -- the observer

    def on_next(self, item: T) -> None:
        """Takes an item, from any thread: keeps it, drops one, or makes the caller wait."""
        if self.buffer.offer(item):
            self.changed()
        else:
            self._refused(item)

    def take_in(self, items: Sequence[T], start: int) -> int:
        """Keeps items from `start` on, as many as there is room for; where it stopped.

        For a source of ours that pushes on the loop with no operator in between: nobody else takes places then.
        """
        count = min(len(self.buffer.room), len(items) - start)
        if count:
            del self.buffer.room[-count:]
            self.buffer.items.extend(items[start : start + count])
            if self.waiting:
                self.changed()
        return start + count

    def on_error(self, error: Exception) -> None:
        """Takes the terminal: items that are in the buffer still come before it."""
        if not self._end(error):
            self._came_late(error)

    def on_completed(self) -> None:
        """Takes the terminal: items that are in the buffer still come before it."""
        self._end()

    def changed(self) -> None:
        """There is an item or the end: the pull side's turn. Called on the producer's thread."""
        raise NotImplementedError

    # -- within

    def _end(self, error: object = None) -> bool:
        """Takes the terminal; False: there was one before, or the consumer has left."""
        if not self.buffer.end():
            return False
        if error is not None:
            self.error = as_failure(error)
        self.ended = True  # only now: whoever sees it takes the error, and what is in the buffer
        self.changed()
        return True

    def _refused(self, item: T) -> None:
        """The buffer did not take the item: it is over, or full and its strategy is to wait."""
        scheduler = self._scheduler
        assert scheduler is not None
        if self.buffer.ended:
            self.buffer.discard(item)
            self._came_late()
        elif self._may_block():
            self._taken(item, scheduler.block(item))
        elif scheduler.may_park():
            self._taken(item, self.buffer.park(item))
        else:
            self.on_error(self._overflow())
            self.buffer.discard(item)
            self._release()

    def _may_block(self) -> bool:
        if asyncio._get_running_loop() is not None or self._owner == threading.get_ident():
            return False
        return self._scheduler is not None and self._scheduler.blocks

    def _taken(self, item: T, taken: bool) -> None:
        """What became of an item that had to wait: nobody has misbehaved if the stream was over in the meantime."""
        if taken:
            self.changed()
            return
        self.buffer.discard(item)
        if self._scheduler is not None:
            self._scheduler.unwind()

    def _overflow(self) -> BackpressureError:
        return BackpressureError(
            f"an item was pushed on the event loop while the buffer ({self.buffer.config.capacity}, suspend) was full: "
            'a push cannot wait there. Use strategy="sliding" or "dropping", a larger capacity, or a source that can '
            "wait, such as from_async_iterable (where flat_map makes many of one item: with_buffer() on the inner one)"
        )

    def _hook_failed(self, error: Exception) -> None:
        if not self._end(error):
            logger.error("on_dropped failed after the end of the stream", exc_info=error)
        self._release()

    def _came_late(self, error: object = None) -> None:
        scheduler = self._scheduler
        if scheduler is not None and scheduler.disposed:
            scheduler.unwind()
        elif not self._late:
            self._late = True
            cause = error if isinstance(error, BaseException) else None
            logger.warning("a source went on after its end; what it sends is discarded", exc_info=cause)
