"""Where and when an operator acts by itself: its clock, its timers, and who sends what comes from outside.

A source sends its signals wherever it runs. What an operator of ours adds (a timeout, a circuit that opened on another
thread) goes where it cannot get into anybody's way, as the scheduler of the subscription says.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
import time
from collections.abc import Callable
from functools import partial

from reactivex import abc
from reactivex.scheduler import TimeoutScheduler, VirtualTimeScheduler
from reactivex.scheduler.eventloop import AsyncIOScheduler

from rxstream.demand import DemandScheduler
from rxstream.loops import LoopTimer
from rxstream.machine import REAL, machine_of
from rxstream.timed import as_action, virtual_now
from rxstream.worker import Worker

__all__ = ["Place"]

logger = logging.getLogger("rxstream")


class Place:
    """The clock, the timers and the threads of one subscription.

    Args:
        scheduler: What the subscription came with; None where a plain observer subscribed: then it is the running
            event loop, else threads.

    Attributes:
        now: Seconds of a clock that a change of the wall clock does not move.
        virtual: The scheduler of a virtual time, if that is the subscription's.
        simulated: Whether time is not that of this machine: then nothing of it may be waited for.
    """

    __slots__ = ("_context", "_scheduler", "_worker", "demand", "loop", "now", "simulated", "virtual")

    def __init__(self, scheduler: abc.SchedulerBase | None) -> None:
        self._scheduler = scheduler
        self._context = contextvars.copy_context()
        self._worker: Worker | None = None
        self.demand = scheduler if isinstance(scheduler, DemandScheduler) else None
        self.loop = _loop_of(scheduler)
        base = scheduler if self.demand is None else self.demand.base
        self.virtual = base if isinstance(base, VirtualTimeScheduler) else None
        self.now: Callable[[], float] = time.monotonic if self.loop is None else self.loop.time
        self.simulated = self.virtual is not None or machine_of(self.loop) is not REAL
        if self.virtual is not None:
            self.now = partial(virtual_now, self.virtual)

    # -- time

    def later(self, seconds: float, action: Callable[[], object]) -> abc.DisposableBase:
        """Calls a function that returns at once, after so many seconds; a full buffer does not hold it back."""
        if self.demand is not None:
            return self.demand.later(seconds, action)
        if self.loop is not None:
            return LoopTimer(self.loop, seconds, action, self._context)
        scheduler = self._scheduler or TimeoutScheduler.singleton()
        return scheduler.schedule_relative(seconds, as_action(action))

    # -- threads

    def send(self, action: Callable[[], object]) -> None:
        """Calls a function that sends a signal from outside; never in here, so that the caller may hold a lock.

        On the event loop where nothing below can make it wait; else on a thread, which may wait inside an operator.
        """
        guarded = partial(self._guarded, action)
        if self.virtual is not None:
            self.virtual.schedule(as_action(guarded))
        elif self.loop is not None and not (self.demand is not None and self.demand.blocks):
            self._call_soon(self.loop, guarded)
        else:
            self._on_thread(guarded)

    def begin(self, action: Callable[[], object]) -> None:
        """Calls a function that subscribes to a source, where the subscriber itself would have."""
        if self.demand is not None and self.demand.blocks:
            self.demand.run_off_loop(action)
        else:
            self.send(action)

    def _guarded(self, action: Callable[[], object]) -> None:
        try:
            action()
        except Exception as error:  # an observer, or the code of a source; nobody above could take it
            (self.demand.fail if self.demand is not None else _report)(error)

    def _call_soon(self, loop: asyncio.AbstractEventLoop, action: Callable[[], object]) -> None:
        try:
            loop.call_soon_threadsafe(action, context=self._context)
        except RuntimeError:  # the loop is closed, and so is all that ran on it
            pass

    def _on_thread(self, action: Callable[[], object]) -> None:
        if self._worker is None:
            self._worker = Worker(
                self._context.copy(), on_idle=_nothing, on_error=_report, machine=machine_of(self.loop)
            )
        self._worker.submit(action)


def _loop_of(scheduler: abc.SchedulerBase | None) -> asyncio.AbstractEventLoop | None:
    if isinstance(scheduler, DemandScheduler):
        return scheduler.loop
    if isinstance(scheduler, AsyncIOScheduler):
        return scheduler._loop
    return asyncio._get_running_loop() if scheduler is None else None


def _nothing() -> None:
    pass


def _report(error: Exception) -> None:
    logger.error("an observer failed; its subscription is disposed", exc_info=error)
