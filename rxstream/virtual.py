"""Virtual time: an event loop whose clock jumps to the next timer, with real streams and real worker threads on it.

A minute of stream takes milliseconds, and the same happens each time: the loop and the worker threads act one at a time
(`Stage`), and time moves only while all of them wait. No Rx in here.
"""

from __future__ import annotations

import asyncio
import contextvars
import selectors
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from datetime import UTC, datetime
from typing import Any, Final, TypeVar, TypeVarTuple

from rxstream.errors import RxStreamError
from rxstream.machine import virtual_clock
from rxstream.stage import Stage

__all__ = ["VirtualLoop", "run"]

R = TypeVar("R")
Ts = TypeVarTuple("Ts")

PATIENCE: Final = 10.0
"""Real seconds that code may run without waiting for anything, before it is taken for endless."""

EFFORT: Final = 0.001
"""Seconds that a source which never waits is taken to have run, each time it asks: it gives way every other time."""

DATE: Final = datetime(2000, 1, 1, tzinfo=UTC)
"""The date when the virtual clock shows 0."""


class VirtualMachine:
    """The machine (`rxstream.machine`) that the streams on a virtual loop run on."""

    date = DATE
    started = 0.0

    def __init__(self, stage: Stage) -> None:
        self.lock = stage.lock
        self.condition = stage.condition
        self.thread = stage.thread
        self._effort = 0.0

    def effort(self) -> float:
        """A clock that goes on at each look: how long code really takes must not show."""
        self._effort += EFFORT
        return self._effort


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop that never sleeps: when nothing is left to do, its clock jumps to the next timer.

    `time()` starts at 0 and counts seconds; `asyncio.sleep`, timeouts and the timed operators of streams follow it.
    Calls to other threads (`asyncio.to_thread`) are waited for in real time, while the clock stands.

    Raises:
        RxStreamError: From whatever runs the loop: code runs on for `PATIENCE` real seconds without waiting, or
            everything waits for what can never happen.
    """

    def __init__(self) -> None:
        self.stage = Stage()
        self.machine = VirtualMachine(self.stage)
        self._now = 0.0
        self._away = 0  # calls that other threads run
        super().__init__(_JumpingSelector(self))

    def time(self) -> float:
        """Seconds since the loop was made."""
        return self._now

    def run_in_executor(self, executor: Executor | None, func: Callable[[*Ts], R], *args: *Ts) -> asyncio.Future[R]:
        """As that of any loop; time stands until it is done."""
        future: asyncio.Future[R] = super().run_in_executor(executor, func, *args)
        self._away += 1
        future.add_done_callback(self._back)
        return future

    async def shutdown_default_executor(self, *timeout: Any) -> None:
        """As that of any loop; its threads are waited for in real time, too."""
        self._away += 1
        try:
            await super().shutdown_default_executor(*timeout)
        finally:
            self._away -= 1

    def _back(self, future: asyncio.Future[Any]) -> None:
        self._away -= 1

    def close(self) -> None:
        """Closes the loop; worker threads that still wait are let go."""
        self.stage.close()
        super().close()


class _JumpingSelector(selectors.DefaultSelector):
    """Where a loop waits for events: lets the workers act first, then moves the clock."""

    def __init__(self, loop: VirtualLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        loop = self._loop
        if not loop.stage.play(PATIENCE):
            raise RxStreamError(
                f"the stream has run for {PATIENCE:g} s without waiting for anything: virtual time stands while "
                "code runs. A source without end needs a pace (interval), or a buffer that makes it wait (suspend)"
            )
        events = super().select(0)
        if events or timeout == 0:
            return events
        if loop._away:
            return super().select(PATIENCE)
        if timeout is None:
            raise RxStreamError("everything waits, and no timer is set: nothing can happen any more")
        loop._now = round(loop._now + timeout, 9)
        return events


def run(main: Callable[[], Coroutine[Any, Any, R]]) -> R:
    """Runs an async function in virtual time, and returns its result: `asyncio.run` without the waiting.

    Everything within is real: buffers, boundaries, worker threads, tasks; but only one of them acts at a time, and the
    clock moves only while all of them wait. So a test of an hour's stream takes no time, and never comes out otherwise.

    Args:
        main: The async function. It runs in a thread of its own, under the caller's `contextvars`, so that it may be
            called where a loop runs already (in a notebook).

    Raises:
        RxStreamError: Code ran on for 10 real seconds without waiting for anything, or everything waits for what can
            never happen.
        Exception: What the function raised.

    What is outside stays real: `time.sleep`, `time.monotonic`, threads that the loop knows nothing of, sockets. The
    way of looptime and of RxPY's `TestScheduler`, for streams that wait.

    Example:
        >>> async def hour():
        ...     async with to_async_iterable(reactivex.interval(60.0), "sse") as minutes:
        ...         return [minute async for minute in minutes if minute < 60]
        >>> run(hour)
    """
    results: list[R] = []
    failures: list[BaseException] = []
    loops: list[VirtualLoop] = []

    def make() -> VirtualLoop:
        loops.append(VirtualLoop())
        virtual_clock.set(loops[0].time)  # of this context, which is the thread's own
        return loops[0]

    def act() -> None:
        try:
            with asyncio.Runner(loop_factory=make) as runner:
                results.append(runner.run(main()))
        except BaseException as error:  # it is raised again where it belongs
            failures.append(error)

    thread = threading.Thread(target=contextvars.copy_context().run, args=(act,), name="rxstream-virtual", daemon=True)
    thread.start()
    try:
        thread.join()
    except BaseException:  # a notebook's interrupt
        for loop in loops:
            loop.stage.close()  # or the loop waits for whoever is on stage
            loop.call_soon_threadsafe(loop.stop)
        thread.join(PATIENCE)
        raise
    for loop in loops:
        loop.stage.join(PATIENCE)
    if failures:
        raise failures[0]
    return results[0]
