"""Buffers in the middle of a pipeline."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import threading
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

from reactivex import Observable, abc
from reactivex.disposable import Disposable
from reactivex.scheduler.eventloop import AsyncIOScheduler

from rxstream.amid import through_buffer
from rxstream.boundary import Boundary
from rxstream.buffer_config import BufferConfig, BufferLike, Strategy, resolve_buffer
from rxstream.demand import DemandScheduler
from rxstream.drop_hook import check_on_dropped
from rxstream.loops import call_soon
from rxstream.timed import as_action
from rxstream.worker import Worker

__all__ = ["with_buffer"]

T = TypeVar("T")
logger = logging.getLogger("rxstream")


def with_buffer(
    buffer: BufferLike | None = None,
    *,
    capacity: int | None = None,
    strategy: Strategy | None = None,
    max_age: float | None = None,
    on_dropped: Callable[[T], object] | None = None,
    scheduler: abc.SchedulerBase | None = None,
) -> Callable[[Observable[T]], Observable[T]]:
    """Puts a bounded buffer between what is above and what is below: an `observe_on` with an end.

        source                  --1-2-3-4-5-6--|
        with_buffer(2, sliding) --1-----5---6--|      (the observer was busy with 1)

    With a demand-aware consumer below (`to_async_iterable`, a response) it drains as that has room. With a plain
    observer it drains on `scheduler`, else on the subscription's scheduler, else on the running event loop, else on a
    thread of its own: one item after the other, so that a slow `on_next` fills the buffer and the strategy shows.
    Under `suspend` it subscribes to the source on a thread, soon after `subscribe` has returned: a plain observer
    misses what a hot source sends before that. Enter `to_async_iterable`, which waits for it, or use another strategy.

    Args:
        buffer: A preset's name, a `BufferConfig`, or a mapping that overrides parts of the `export` preset.
        capacity: Items; overrides the buffer's.
        strategy: Overrides the buffer's.
        max_age: Seconds; overrides the buffer's. With the strategy `"sliding"` only.
        on_dropped: Is called with each item that is dropped, or discarded on dispose. If it raises, that is the
            stream's failure, after the items that are in the buffer.
        scheduler: Where a plain observer is called.

    Raises:
        TypeError, ValueError: The buffer, the hook or the scheduler is none, when the operator is built.

    Items that were accepted come before the terminal, errors too. On dispose what is in the buffer is discarded and
    the source disposed; a thread that waits is released. An observer that raises is disposed, and the error logged to
    `rxstream`. Follows ReactiveX `observeOn` and RxJava's `onBackpressureBuffer`.

    Example:
        >>> prices.pipe(with_buffer(capacity=3, strategy="sliding")).subscribe(draw)
    """
    config = resolve_buffer(buffer, "export")
    given: dict[str, Any] = {"capacity": capacity, "strategy": strategy, "max_age": max_age}
    config = replace(config, **{name: value for name, value in given.items() if value is not None})
    check_on_dropped(on_dropped)
    if scheduler is not None and not isinstance(scheduler, abc.SchedulerBase):
        raise TypeError(f"scheduler must be a scheduler of reactivex, not {scheduler!r}")

    def operator(source: Observable[T]) -> Observable[T]:
        amid_a_pipe = through_buffer(source, config, on_dropped)

        def subscribe(observer: abc.ObserverBase[T], outer: abc.SchedulerBase | None = None) -> abc.DisposableBase:
            if scheduler is None and isinstance(outer, DemandScheduler) and outer.loop is not None:
                return amid_a_pipe.subscribe(observer, scheduler=outer)
            return _Drain(source, config, on_dropped, observer).start(scheduler or outer)

        return Observable(subscribe)

    return operator


class _Drain(Boundary[T]):
    """A boundary whose pull side calls an observer, one item for each action of a scheduler."""

    def __init__(
        self,
        source: Observable[T],
        config: BufferConfig,
        on_dropped: Callable[[T], object] | None,
        observer: abc.ObserverBase[T],
    ) -> None:
        super().__init__(source, config, on_dropped)
        self._observer = observer
        self._lock = threading.Lock()
        self._draining = False
        self._stopped = False
        self._post: Callable[[Callable[[], object]], object] = lambda action: None
        self._worker: Worker | None = None

    def start(self, scheduler: abc.SchedulerBase | None) -> abc.DisposableBase:
        """Subscribes to the source, and drains on the scheduler that there is."""
        loop = asyncio._get_running_loop()
        base = None
        if isinstance(scheduler, DemandScheduler):
            self._post = scheduler.run_off_loop
        elif isinstance(scheduler, AsyncIOScheduler):
            loop = scheduler._loop  # it may be called from its loop only, and a source may run anywhere
            self._post = partial(call_soon, loop)
        elif scheduler is not None:
            base = scheduler
            self._post = lambda action: scheduler.schedule(as_action(action))
        elif loop is not None:
            self._post = partial(call_soon, loop)
        else:
            self._worker = Worker(contextvars.copy_context(), on_idle=_nothing, on_error=self._no_thread)
            self._post = self._worker.submit
        self.connect(loop, base)
        return Disposable(self.stop)

    def stop(self) -> None:
        """Disposes everything; from any thread, from within the observer too."""
        self._stopped = True
        self.disconnect()
        if self._worker is not None:
            self._worker.stop()

    def changed(self) -> None:
        """Delivers what there is on the scheduler, unless that is under way."""
        with self._lock:
            if self._draining:
                return
            self._draining = True
        self._ask(self._drain)

    def _ask(self, action: Callable[[], object]) -> None:
        try:
            self._post(action)
        except Exception as error:  # a scheduler of the user's takes no more: a pool that was shut down
            self._no_thread(error)

    def _drain(self) -> None:
        """Delivers one item and comes again; in a loop where the scheduler calls on the spot: the stack is flat."""
        here = threading.get_ident()
        while self._step():
            posting, on_the_spot = True, False

            def again() -> None:
                nonlocal on_the_spot
                if posting and threading.get_ident() == here:  # noqa: B023 - called in this turn, or not at all
                    on_the_spot = True
                else:
                    self._drain()

            self._ask(again)
            posting = False
            if not on_the_spot:
                return

    def _step(self) -> bool:
        self._owner = threading.get_ident()
        try:
            return self._deliver()
        except Exception as error:
            self._failed(error)
            return False
        finally:
            self._owner = None

    def _deliver(self) -> bool:
        """Delivers one item or the terminal; False: there is nothing more for now."""
        ended = self.ended
        if self._stopped:
            return False
        if items := self.buffer.take(1):
            self._observer.on_next(items[0])
            return True
        if ended:
            self._stopped = True
            if self.error is not None:
                self._observer.on_error(self.error)
            else:
                self._observer.on_completed()
            self.stop()
            return False
        with self._lock:
            self._draining = bool(self.buffer) or self.ended
            return self._draining

    def _no_thread(self, error: Exception) -> None:
        self._stopped = True
        try:
            self._observer.on_error(error)
        except Exception as failure:
            self._failed(failure)
        self.stop()

    def _failed(self, error: Exception) -> None:
        logger.error("an observer failed; its subscription is disposed", exc_info=error)
        self.stop()


def _nothing() -> None:
    pass
