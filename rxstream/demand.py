"""Demand: how the news that a boundary has room reaches the sources of a pipeline.

RxPY hands one thing from the subscriber up through every operator to the source: the `scheduler` of `subscribe`.
A boundary subscribes with the `DemandScheduler` of this room. Sources of ours ask it for room; stock sources ask it to
run their loops and timers, and it runs them where waiting hurts nobody: on a worker thread of the subscription.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
from collections import Counter
from collections.abc import Callable, Coroutine
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final, TypeVar

from reactivex import abc, typing
from reactivex.disposable import CompositeDisposable, Disposable, SingleAssignmentDisposable
from reactivex.scheduler import ImmediateScheduler, TimeoutScheduler, TrampolineScheduler, VirtualTimeScheduler
from reactivex.scheduler.periodicscheduler import PeriodicScheduler

from rxstream.buffer import Buffer
from rxstream.loops import LoopTimer, SourceTask, call_on, cancel_task, ended, resolve, start_task
from rxstream.machine import clock, machine_of
from rxstream.timed import TimedAction, as_action, virtual_now
from rxstream.worker import Released, Worker

__all__ = ["DemandScheduler"]

S = TypeVar("S")
logger = logging.getLogger("rxstream")

PATIENCE: Final = 0.2
"""Seconds that a thread that waits for room gives the loop to answer before it suspects that the loop waits for it."""

BURST: Final = 64
"""Items beyond the capacity that one item of a source on the loop may become, once."""

PAUSE: Final = 0.02
"""Seconds that such a thread waits before it asks for the first time."""

CHECK: Final = 0.25
"""Seconds from one such question to the next."""


class DemandScheduler(PeriodicScheduler):
    """The scheduler with which a boundary subscribes; it carries the boundary's demand to every source.

    What it runs, and where:

    - `schedule`: on the worker, always. A stock source runs its whole loop in there, and may block in `on_next`.
    - timed actions: held back while a `suspend` buffer is full, then on the worker. Under `sliding` and `dropping`, on
      the event loop, with no thread.
    - sources of ours push on the event loop, until the subscription has work on its worker (`off_loop`): from then on
      they push there too, so that a worker that waits inside an operator's lock never meets the loop at that lock.

    The consumer's leaving does not end what runs here; that its Rx subscription is disposed does. A source that others
    share (`share`, `publish`) runs on the scheduler of whoever came first, and goes on after that one has left.

    Args:
        buffer: The boundary's buffer.
        loop: The consumer's event loop, None where there is none: timers run in a thread of `reactivex` then.
        base: A scheduler of the user's that owns time and runs what need not wait. Under virtual time nothing can
            wait, and everything runs on it.
        fail: Is called with what a scheduled action raises.
        below: The demand on whoever empties the buffer, if that is a source of ours amid a pipe.
    """

    def __init__(
        self,
        buffer: Buffer[Any],
        *,
        loop: asyncio.AbstractEventLoop | None,
        fail: Callable[[Exception], object],
        base: abc.SchedulerBase | None = None,
        below: DemandScheduler | None = None,
    ) -> None:
        super().__init__()
        self.buffer = buffer
        self.loop = loop
        self.off_loop = False
        self.disposed = False  # the consumer has left
        self.waits = buffer.config.strategy == "suspend"
        self.base = base
        # A source that asks for its next item amid the last one would go ever deeper there: RxPY's fails then.
        self._at_once = TrampolineScheduler() if isinstance(base, ImmediateScheduler) else base
        self.below = below
        self.deferred = 0  # operators that will subscribe to their source later
        self.on_subscribed: Callable[[], object] = _nothing
        self._tasks: set[asyncio.Task[Any]] | None = None  # those of our sources: a handful, each removes itself
        self.fail = fail
        self._context = contextvars.copy_context()
        self._sticky = False  # off the loop for good
        self._patience = PATIENCE
        self._parkers: Counter[asyncio.Task[Any]] | None = None
        self._virtual = isinstance(base, VirtualTimeScheduler)
        self._worker: Worker | None = None
        self._is_over = _never  # asks whether what runs on the worker has been disposed; of use on the worker only
        self._creation = buffer._lock  # one for both, since there are thousands: neither calls the other with it
        self._machine = machine_of(loop)

    # -- time

    @property
    def now(self) -> datetime:
        """The time as this scheduler counts it: a clock that a change of the wall clock does not move."""
        if self.base is not None:
            return self.base.now
        machine = self._machine
        return machine.date + timedelta(seconds=(self.loop.time() if self.loop else machine.effort()) - machine.started)

    def clock(self) -> Callable[[], float]:
        """Seconds on such a clock, for any thread: a loop's own may be as old as the turn that it is in."""
        if isinstance(self.base, VirtualTimeScheduler):
            return partial(virtual_now, self.base)
        return clock()

    # -- running

    @property
    def blocks(self) -> bool:
        """Whether a source that meets a full buffer waits, on the thread that it runs on."""
        return self.waits and not self._virtual

    def schedule(self, action: abc.ScheduledAction[S], state: S | None = None) -> abc.DisposableBase:
        """Runs the action on the worker (on the user's scheduler, where there is one and nothing can wait)."""
        disposable = SingleAssignmentDisposable()
        run = partial(self._invoke, disposable, action, state)
        if self._at_once is None or self.blocks:
            self.run_off_loop(run, lambda: disposable.is_disposed)
            return disposable
        return CompositeDisposable(disposable, self._at_once.schedule(as_action(partial(self.guarded, run))))

    def schedule_relative(
        self, duetime: typing.RelativeTime, action: abc.ScheduledAction[S], state: S | None = None
    ) -> abc.DisposableBase:
        """Runs the action after `duetime` seconds, once there is room."""
        disposable = SingleAssignmentDisposable()
        run = partial(self._invoke, disposable, action, state)
        timed = TimedAction(self, run, lambda: disposable.is_disposed)
        timer = self.later(max(0.0, self.to_seconds(duetime)), timed.fire)

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

    def later(self, seconds: float, action: Callable[[], object]) -> abc.DisposableBase:
        """Calls a function that returns at once after so many seconds, whether there is room or not."""
        if self.base is not None:
            return self.base.schedule_relative(seconds, as_action(action))
        if self.loop is None:
            return TimeoutScheduler.singleton().schedule_relative(seconds, as_action(action))
        return LoopTimer(self.loop, seconds, action, self._context)

    def run_off_loop(
        self, action: Callable[[], object], is_over: Callable[[], bool] | None = None, *, out_of: object = None
    ) -> None:
        """Runs the action on the worker, after all that is queued there.

        Args:
            action: What to run.
            is_over: Whether nobody wants the action any more: a push that finds the stream over unwinds it then.
            out_of: The buffer that it hands an item out of: it may do so amid an action that waits for room in there.
        """
        with self._creation:
            if self._worker is None:
                self._worker = Worker(
                    self._context.copy(), on_idle=self._idle, on_error=self._failed, machine=self._machine
                )
                if self.disposed:
                    self._worker.retire()
        self._worker.submit(partial(self._carry_out, action, is_over or _never), self._busy, out_of=out_of)

    def unwind(self) -> None:
        """Leaves what runs on the worker, if that is where the caller is, and nobody wants it any more."""
        if self.on_worker() and self._is_over():
            raise Released

    # -- waiting

    async def room(self) -> bool:
        """Waits, on the event loop, while the buffer is full; first come, first served.

        Returns:
            Whether a place has been set aside for the caller: it is to be released, or given up.
        """
        assert self.loop is not None
        if self.buffer.room or not self.waits or self.disposed:
            return False
        future = self.loop.create_future()
        wake = partial(resolve, self.loop, future)
        if not self.buffer.wait(wake):
            return False
        try:
            await future
        except BaseException:
            self.buffer.forget(wake)
            raise
        return True

    async def consumed(self) -> None:
        """Waits, on the event loop, until the consumer is done with all that it has been sent, and came back for more.

        For a source whose item is of use only for as long as the source stands still. Returns at the end as well.
        """
        assert self.loop is not None
        future = self.loop.create_future()
        if self.buffer.when_consumed(partial(resolve, self.loop, future)):
            await future

    async def push(self, signal: Callable[..., object], *items: Any) -> None:
        """Sends a signal downstream from the event loop: when there is room, and on the worker if that is in use."""
        placed = await self.room()
        if self.off_loop:
            if placed:  # on the worker it may have to wait behind one who waits for this place
                self.buffer.give_up()
            await self.push_off_loop(signal, *items)
        else:
            if placed:
                self.buffer.release()
            signal(*items)
        self.buffer.pass_on()

    async def push_off_loop(self, signal: Callable[..., object], *items: Any) -> None:
        """Sends a signal downstream on the worker, and waits until it has been sent."""
        loop = self.loop
        assert loop is not None
        future = loop.create_future()

        def deliver() -> None:
            try:
                signal(*items)
            except Exception as error:
                resolve(loop, future, error)
            finally:
                resolve(loop, future)

        task = asyncio.current_task()
        self.run_off_loop(deliver, out_of=task.pulls_from if isinstance(task, SourceTask) else None)
        await future

    def block(self, item: Any) -> bool:
        """Waits, on the calling thread, until the buffer takes the item; first come, first served. False: the end."""
        if not self.on_worker():
            # A thread that we do not run may stand inside an operator's lock here: keep the event loop away from it.
            self.leave_loop()
        buffer = self.buffer
        while not buffer.offer(item):
            turn = self._turn()
            if not buffer.wait(turn.release):
                if buffer.ended:
                    return False
            elif self._stand_by(turn) or not buffer.withdraw(turn.release):
                return buffer.accept(item)
            else:
                self.leave_loop()
                return buffer.park(item)
        buffer.pass_on()
        return True

    def _turn(self) -> Any:
        worker = Worker.current()
        if worker is not None and worker is not self._worker:
            return worker.turn(self._buffers())
        turn = self._machine.lock()
        turn.acquire()
        return turn

    def _buffers(self) -> list[Buffer[Any]]:
        """This buffer, and those that its items go on to."""
        buffers: list[Buffer[Any]] = []
        scheduler: DemandScheduler | None = self
        while scheduler is not None:
            buffers.append(scheduler.buffer)
            scheduler = scheduler.below
        return buffers

    def _stand_by(self, turn: Any) -> bool:
        """Waits for a turn. False: the loop stands still; it may be waiting for an operator's lock of the caller.

        That is so where something pushes on the loop into the `merge` whose lock this thread has. If nobody moved, the
        loop would stand still for ever. One item too many, rarely and ever more rarely, lets go of the lock.
        """
        loop = self.loop
        interval = PAUSE
        while not turn.acquire(timeout=-1 if loop is None else interval):
            assert loop is not None
            answer: list[None] = []
            try:
                loop.call_soon_threadsafe(answer.append, None)
            except RuntimeError:  # the loop is closed: nobody takes anything any more
                self.buffer.dispose()
                return True
            if turn.acquire(timeout=self._patience):
                return True
            if not answer:
                self._patience *= 2  # it may just be busy; the more often that shows, the longer it is waited for
                return False
            self._patience = PATIENCE
            interval = CHECK
        return True

    def may_park(self) -> bool:
        """Whether the caller, on the loop, is a source of ours, which did not know that there is no room here.

        It must not wait where it stands, so the boundary keeps one item more: somebody was faster. If it is several,
        then an operator makes many items of one; they are kept up to `BURST`, and from then on the source delivers on
        its worker, where each of them can wait. So it does where the room that it looks at is that of another boundary,
        below an operator that hands its items around (`publish`, `group_by`).
        """
        if asyncio._get_running_loop() is not self.loop or self.loop is None:
            return False
        task = asyncio.current_task()
        owner = task.owner if isinstance(task, SourceTask) else None
        if task is None or not isinstance(owner, DemandScheduler):
            return False
        if self._parkers is None or not self.buffer.parked:
            self._parkers = Counter()
        self._parkers[task] += 1
        if self._parkers[task] > 1 or owner is not self:
            owner.leave_loop()
        return self._parkers[task] <= BURST

    def leave_loop(self) -> None:
        """From here on everything is delivered on the worker."""
        self._sticky = self.off_loop = True

    def on_worker(self) -> bool:
        """Whether the caller runs on this subscription's worker."""
        return self._worker is not None and self._worker.is_current()

    # -- operators that subscribe later

    def defer(self) -> Callable[[], None]:
        """An operator has to wait for something before it subscribes to its source: the boundary opens only then.

        Returns:
            What to call once it has, or will not any more; once.
        """
        with self._creation:
            self.deferred += 1
        return self._subscribed

    def _subscribed(self) -> None:
        with self._creation:
            self.deferred -= 1
        self.on_subscribed()

    # -- sources of ours

    def _own_tasks(self) -> set[asyncio.Task[Any]]:
        if self._tasks is None:
            self._tasks = set()
        return self._tasks

    def start(self, main: Callable[[], Coroutine[Any, Any, None]]) -> abc.DisposableBase:
        """Runs a source's coroutine as a task on the loop, and cancels it on dispose. From any thread."""
        if self.loop is None:
            return Disposable()
        return start_task(main, self.loop, self._context, self._own_tasks(), owner=self)

    # -- the end

    def dispose(self) -> None:
        """The consumer has left: the worker ends once it has nothing to run. Any thread, any number of times."""
        with self._creation:
            self.disposed = True
            if self._worker is not None:
                self._worker.retire()

    def abort(self) -> None:
        """Ends all that runs here: for a subscription that has failed to dispose all that it had begun."""
        if self._worker is not None:
            self._worker.stop()
        if self.loop is not None:
            call_on(self.loop, self._cancel_tasks)

    async def cleaned_up(self) -> None:
        """Waits until the cancelled sources have run their cleanup; hardly longer than `CLEANUP_TIMEOUT`."""
        if self._tasks:
            await asyncio.sleep(0)  # for a cancellation that comes from another thread
        current = asyncio.current_task()
        await ended({task for task in self._tasks or () if task.cancelling() and task is not current})

    # -- within

    def _cancel_tasks(self) -> None:
        for task in list(self._tasks or ()):
            if self.loop is not None:
                cancel_task(self.loop, task)

    def _busy(self) -> None:
        self.off_loop = True

    def _idle(self) -> None:
        self.off_loop = self._sticky

    def _invoke(self, disposable: SingleAssignmentDisposable, action: Any, state: Any) -> None:
        if not disposable.is_disposed:
            disposable.disposable = self.invoke_action(action, state)

    def _carry_out(self, action: Callable[[], object], is_over: Callable[[], bool]) -> None:
        amid, self._is_over = self._is_over, is_over
        try:
            action()
        finally:
            self._is_over = amid

    def guarded(self, run: Callable[[], object]) -> None:
        try:
            run()
        except Exception as error:  # user code: the pipeline's failure, not that of the scheduler that runs it
            self._failed(error)

    def _failed(self, error: Exception) -> None:
        if self.disposed:  # the others that share a source can be told only by the log
            logger.error("a source failed that was begun by a consumer who has left", exc_info=error)
        self.fail(error)


def _nothing() -> None:
    pass


def _never() -> bool:
    return False
