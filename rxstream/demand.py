"""Demand: how the news that a boundary has room reaches the sources of a pipeline.

RxPY hands one thing from the subscriber up through every operator to the source: the `scheduler` of `subscribe`.
A boundary subscribes with the `DemandScheduler` of this room. Sources of ours ask it for room; stock sources ask it to
run their loops and timers, and it runs them where waiting hurts nobody: on a worker thread of the subscription.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Coroutine
from datetime import datetime, timedelta, timezone
from functools import partial
from typing import Any, Final, TypeVar

from reactivex import abc, typing
from reactivex.disposable import Disposable, SingleAssignmentDisposable
from reactivex.scheduler import TimeoutScheduler
from reactivex.scheduler.periodicscheduler import PeriodicScheduler

from rxstream.buffer import Buffer

__all__ = ["CLEANUP_TIMEOUT", "DemandScheduler", "Released", "Worker"]

S = TypeVar("S")
logger = logging.getLogger("rxstream")

LINGER: Final = 0.1
"""Seconds that an idle worker thread waits for more before it ends."""

CLEANUP_TIMEOUT: Final = 5.0
"""Seconds that the cleanup of a source may take after a dispose before it is reported and cancelled again."""


class Released(BaseException):
    """Unwinds a worker thread out of user code that pushes into a stream that is over.

    A loop inside `subscribe`, as in `reactivex.create`, has no other way to learn of it. Never leaves a worker.
    """


class Worker:
    """One thread that runs actions one after the other; there only while there is something to run.

    Args:
        context: What the actions see as their `contextvars`.
        on_idle: Is called, under the worker's lock, when nothing is left to run.
        on_error: Is called with what an action raises.
    """

    def __init__(
        self,
        context: contextvars.Context,
        *,
        on_idle: Callable[[], object],
        on_error: Callable[[Exception], object],
    ) -> None:
        self._context = context
        self._on_idle = on_idle
        self._on_error = on_error
        self._actions: deque[Callable[[], object]] = deque()  # each is asked for by one waiting source or operator
        self._changed = threading.Condition(threading.Lock())
        self._thread: threading.Thread | None = None
        self._stopped = False

    def submit(self, action: Callable[[], object], before: Callable[[], object] | None = None) -> None:
        """Queues an action; `before` is called under the same lock that `on_idle` is."""
        with self._changed:
            if self._stopped:
                return
            if before is not None:
                before()
            self._actions.append(action)
            if self._thread is None:
                thread = threading.Thread(
                    target=self._context.run, args=(self._run,), name="rxstream-worker", daemon=True
                )
                thread.start()  # waits for the thread, which waits for nothing of ours before it runs
                self._thread = thread
            else:
                self._changed.notify()

    def is_current(self) -> bool:
        """Whether the caller runs on this worker."""
        return self._thread is threading.current_thread()

    def stop(self) -> None:
        """Drops what is queued and ends the thread after the action that it runs. Does not wait."""
        with self._changed:
            self._stopped = True
            self._actions.clear()
            self._changed.notify()

    def _next(self) -> Callable[[], object] | None:
        with self._changed:
            if not self._actions:
                self._on_idle()
                self._changed.wait_for(lambda: self._actions or self._stopped, LINGER)
            if self._actions:
                return self._actions.popleft()
            self._thread = None
            return None

    def _run(self) -> None:
        while (action := self._next()) is not None:
            try:
                action()
            except Released:
                pass
            except Exception as error:  # user code: the pipeline's failure, not the thread's
                self._on_error(error)
            del action  # or the frame keeps the last pipeline alive while the thread lingers


class DemandScheduler(PeriodicScheduler):
    """The scheduler with which a boundary subscribes; it carries the boundary's demand to every source.

    What it runs, and where:

    - `schedule`: on the worker, always. A stock source runs its whole loop in there, and may block in `on_next`.
    - timed actions: held back while a `suspend` buffer is full, then on the worker. Under `sliding` and `dropping`, on
      the event loop, with no thread.
    - sources of ours push on the event loop, until the subscription has work on its worker (`off_loop`): from then on
      they push there too, so that a worker that waits inside an operator's lock never meets the loop at that lock.

    Args:
        buffer: The boundary's buffer.
        loop: The consumer's event loop, None where there is none: timers run in a thread of `reactivex` then.
        base: A scheduler of the user's that owns time (virtual time, say) and runs what need not wait.
        fail: Is called with what a scheduled action raises.
    """

    def __init__(
        self,
        buffer: Buffer[Any],
        *,
        loop: asyncio.AbstractEventLoop | None,
        fail: Callable[[Exception], object],
        base: abc.SchedulerBase | None = None,
    ) -> None:
        super().__init__()
        self.buffer = buffer
        self.loop = loop
        self.off_loop = False
        self.disposed = False
        self.waits = buffer.config.strategy == "suspend"
        self.tasks: set[asyncio.Task[Any]] = set()  # those of our sources: a handful, each removes itself
        self._base = base
        self._fail = fail
        self._context = contextvars.copy_context()
        self._foreign = False
        self._worker: Worker | None = None
        self._creation = threading.Lock()

    # -- time

    @property
    def now(self) -> datetime:
        """The time as this scheduler counts it: a clock that a change of the wall clock does not move."""
        if self._base is not None:
            return self._base.now
        return _STARTED + timedelta(seconds=(self.loop.time() if self.loop else time.monotonic()) - _MONOTONIC)

    # -- running

    def schedule(self, action: abc.ScheduledAction[S], state: S | None = None) -> abc.DisposableBase:
        """Runs the action on the worker (on the user's scheduler, where there is one and nothing can wait)."""
        if self._base is not None and not self.waits:
            return self._base.schedule(partial(self._invoke_for, action), state)
        disposable = SingleAssignmentDisposable()
        self.run_off_loop(partial(self._invoke, disposable, action, state))
        return disposable

    def schedule_relative(
        self, duetime: typing.RelativeTime, action: abc.ScheduledAction[S], state: S | None = None
    ) -> abc.DisposableBase:
        """Runs the action after `duetime` seconds, once there is room."""
        disposable = SingleAssignmentDisposable()
        run = partial(self._invoke, disposable, action, state)
        timed = _Timed(self, run)
        timer = self._later(max(0.0, self.to_seconds(duetime)), timed.fire)

        def cancel() -> None:
            timer.dispose()
            timed.cancel()
            disposable.dispose()

        return Disposable(cancel)

    def schedule_absolute(
        self, duetime: typing.AbsoluteTime, action: abc.ScheduledAction[S], state: S | None = None
    ) -> abc.DisposableBase:
        """Runs the action at `duetime` of this scheduler's clock, once there is room."""
        return self.schedule_relative(self.to_datetime(duetime) - self.now, action, state)

    def run_off_loop(self, action: Callable[[], object]) -> None:
        """Runs the action on the worker, after all that is queued there."""
        with self._creation:
            if self._worker is None:
                if self.disposed:
                    return
                self._worker = Worker(self._context.copy(), on_idle=self._idle, on_error=self._fail)
        self._worker.submit(action, self._busy)

    # -- waiting

    async def room(self) -> None:
        """Waits, on the event loop, until the buffer has room; first come, first served."""
        assert self.loop is not None
        while not self.buffer.room and self.waits and not self.disposed:
            future = self.loop.create_future()
            wake = partial(self._resolve, future)
            if not self.buffer.wait(wake):
                return
            try:
                await future
            except BaseException:
                self.buffer.forget(wake)
                raise

    async def push(self, signal: Callable[..., object], *items: Any) -> None:
        """Sends a signal downstream from the event loop: when there is room, and on the worker if that is in use."""
        assert self.loop is not None
        await self.room()
        if self.off_loop:
            await self.push_off_loop(signal, *items)
        else:
            signal(*items)
        if self.waits:
            self.buffer.pass_on()

    async def push_off_loop(self, signal: Callable[..., object], *items: Any) -> None:
        """Sends a signal downstream on the worker, and waits until it has been sent."""
        assert self.loop is not None
        future = self.loop.create_future()

        def deliver() -> None:
            try:
                signal(*items)
            except Exception as error:
                self._resolve(future, error)
            finally:
                self._resolve(future)

        self.run_off_loop(deliver)
        if not self.disposed:
            await future

    def block(self, item: Any) -> bool:
        """Waits, on the calling thread, until the buffer takes the item; first come, first served. False: it is over."""
        if not self.on_worker():
            # A thread that we do not run may stand inside an operator's lock here: keep the event loop away from it.
            self._foreign = self.off_loop = True
        turn = threading.Lock()
        while not self.buffer.offer(item):
            turn.acquire()
            if self.buffer.wait(turn.release):
                turn.acquire()
                turn.release()
            elif self.buffer.ended:
                return False
            else:
                turn.release()
        self.buffer.pass_on()
        return True

    def on_worker(self) -> bool:
        """Whether the caller runs on this subscription's worker."""
        return self._worker is not None and self._worker.is_current()

    # -- sources of ours

    def start(self, main: Callable[[], Coroutine[Any, Any, None]]) -> abc.DisposableBase:
        """Runs a source's coroutine as a task on the loop, and cancels it on dispose. From any thread."""
        if self.disposed or self.loop is None:
            return Disposable()
        return start_task(main, self.loop, self._context, self.tasks)

    # -- the end

    def dispose(self) -> None:
        """Cancels the sources, ends the worker after what it runs. Any thread, any number of times."""
        with self._creation:
            self.disposed = True
        if self._worker is not None:
            self._worker.stop()
        if self.loop is not None:
            call_on(self.loop, self._cancel_tasks)

    async def cleaned_up(self) -> None:
        """Waits until the cancelled sources have run their cleanup, `CLEANUP_TIMEOUT` at most; then reports."""
        if pending := self.tasks - {asyncio.current_task()}:
            _, pending = await asyncio.wait(pending, timeout=CLEANUP_TIMEOUT)
            for task in pending:
                logger.warning("the cleanup of a source took more than %s s: %r", CLEANUP_TIMEOUT, task)

    # -- within

    def _cancel_tasks(self) -> None:
        for task in self.tasks:
            if self.loop is not None:
                cancel_task(self.loop, task)

    def _busy(self) -> None:
        self.off_loop = True

    def _idle(self) -> None:
        self.off_loop = self._foreign

    def _invoke(self, disposable: SingleAssignmentDisposable, action: Any, state: Any) -> None:
        if not (disposable.is_disposed or self.disposed):
            disposable.disposable = self.invoke_action(action, state)

    def _invoke_for(self, action: Any, _: Any, state: Any = None) -> abc.DisposableBase:
        return self.invoke_action(action, state)  # with this scheduler as the action's, not the user's

    def _resolve(self, future: asyncio.Future[None], error: Exception | None = None) -> None:
        """Sets a future of the loop, from any thread, whatever has become of either."""
        assert self.loop is not None
        try:
            if asyncio._get_running_loop() is self.loop:
                _settle(future, error)
            else:
                self.loop.call_soon_threadsafe(_settle, future, error)
        except RuntimeError:  # the loop is closed: nobody waits any more
            pass

    def _later(self, seconds: float, action: Callable[[], object]) -> abc.DisposableBase:
        if self._base is not None:
            return self._base.schedule_relative(seconds, lambda *_: action() and None)
        if self.loop is None:
            return TimeoutScheduler.singleton().schedule_relative(seconds, lambda *_: action() and None)
        return _LoopTimer(self.loop, seconds, action, self._context)


class _Timed:
    """A timed action that is due, or not yet, or waits for room."""

    def __init__(self, scheduler: DemandScheduler, run: Callable[[], object]) -> None:
        self._scheduler = scheduler
        self._run = run

    def fire(self) -> None:
        scheduler = self._scheduler
        if scheduler.disposed or (scheduler.waits and scheduler.buffer.wait(self.fire)):
            return
        if scheduler._base is not None:
            self._take_turn()
        elif scheduler.waits or scheduler.off_loop or scheduler.loop is None:
            scheduler.run_off_loop(self._take_turn)
        else:
            try:
                self._run()
            except Exception as error:  # user code below a timer: the pipeline's failure, not the loop's
                scheduler._fail(error)

    def _take_turn(self) -> None:
        self._run()
        if self._scheduler.waits:
            self._scheduler.buffer.pass_on()

    def cancel(self) -> None:
        if self._scheduler.waits:
            self._scheduler.buffer.forget(self.fire)


class _LoopTimer(abc.DisposableBase):
    """A timer of the event loop that can be set and cancelled from any thread."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        seconds: float,
        action: Callable[[], object],
        context: contextvars.Context,
    ) -> None:
        self._loop = loop
        self._handle: asyncio.TimerHandle | None = None
        self._cancelled = False
        call_on(loop, self._arm, loop.time() + seconds, action, context)

    def _arm(self, when: float, action: Callable[[], object], context: contextvars.Context) -> None:
        if not self._cancelled:
            self._handle = self._loop.call_at(when, action, context=context)

    def _cancel(self) -> None:
        if self._handle is not None:
            self._handle.cancel()

    def dispose(self) -> None:
        self._cancelled = True
        call_on(self._loop, self._cancel)


def call_on(loop: asyncio.AbstractEventLoop, function: Callable[..., object], *args: Any) -> None:
    """Calls a function on a loop: now, if that runs here, else soon; not at all once the loop is closed."""
    if asyncio._get_running_loop() is loop:
        function(*args)
        return
    try:
        loop.call_soon_threadsafe(function, *args)
    except RuntimeError:  # the loop is closed, and so is all that ran on it
        pass


def start_task(
    main: Callable[[], Coroutine[Any, Any, None]],
    loop: asyncio.AbstractEventLoop,
    context: contextvars.Context,
    tasks: set[asyncio.Task[Any]],
) -> abc.DisposableBase:
    """Runs a coroutine as a task of a loop until it ends or the result is disposed, from any thread."""
    running: list[asyncio.Task[Any]] = []
    cancelled = False

    def start() -> None:
        if not cancelled:
            task = loop.create_task(main(), context=context)
            running.append(task)
            tasks.add(task)
            task.add_done_callback(tasks.discard)

    def cancel() -> None:
        for task in running:
            cancel_task(loop, task)
        running.clear()

    def dispose() -> None:
        nonlocal cancelled
        cancelled = True
        call_on(loop, cancel)

    call_on(loop, start)
    return Disposable(dispose)


def cancel_task(loop: asyncio.AbstractEventLoop, task: asyncio.Task[Any]) -> None:
    """Cancels a task once, however often it is called: a second cancel would cut the cleanup that the first began.

    A task that does not end within `CLEANUP_TIMEOUT` of its cancellation is reported and cancelled again.
    """

    def again() -> None:
        logger.warning("a source did not end within %s s of its cancellation: %r", CLEANUP_TIMEOUT, task)
        task.cancel()

    if not (task.done() or task.cancelling()):
        task.cancel()
        watch = loop.call_later(CLEANUP_TIMEOUT, again)
        task.add_done_callback(lambda _: watch.cancel())


def _settle(future: asyncio.Future[None], error: Exception | None) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(None)
    else:
        future.set_exception(error)


_STARTED: Final = datetime.now(timezone.utc)
_MONOTONIC: Final = time.monotonic()
