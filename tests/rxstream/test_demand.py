"""Demand: who waits where, who is woken, what runs on which thread, and that nobody waits for ever."""

from __future__ import annotations

import asyncio
import contextvars
import faulthandler
import threading
import weakref
from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
import reactivex as rx
from reactivex import Observable
from reactivex import operators as ops
from reactivex.disposable import Disposable
from reactivex.scheduler import CurrentThreadScheduler
from reactivex.subject import Subject
from reactivex.testing import TestScheduler as VirtualScheduler

from rxstream import demand, worker
from rxstream.buffer import Buffer
from rxstream.buffer_config import BufferConfig
from rxstream.buffering import with_buffer
from rxstream.demand import DemandScheduler
from rxstream.errors import BackpressureError, RxStreamError
from rxstream.sinks import to_async_iterable
from rxstream.sources import from_async_iterable
from rxstream.worker import Worker
from tests.rxstream.support import (
    DEADLINE,
    STRATEGIES,
    Recorder,
    everything,
    first,
    numbers,
    settled,
    stream_config,
    subscribed,
    until,
    until_now,
    workers,
)


@pytest.fixture
def watchdog() -> Iterator[None]:
    """Shows where every thread stands if a test freezes the loop, which then cannot time out by itself."""
    faulthandler.dump_traceback_later(3 * DEADLINE, exit=True)
    yield
    faulthandler.cancel_dump_traceback_later()


@pytest.mark.usefixtures("watchdog")
class TestDeadlocks:
    @pytest.mark.parametrize("capacity", [1, 3])
    async def test_loop_worker_and_foreign_threads_in_one_merge(self, capacity: int) -> None:
        """Sources of every kind meet at one lock and one full buffer, many times over; every item arrives."""
        for _ in range(25):
            subjects = [Subject[str](), Subject[str]()]
            mine = from_async_iterable(lambda: numbers(40)).pipe(ops.map(lambda n: "loop"))
            stock = rx.range(0, 40).pipe(ops.map(lambda n: "worker"))
            timed = rx.interval(0.0005).pipe(ops.take(5), ops.map(lambda n: "timer"))
            merged = rx.merge(mine, stock, timed, *subjects)
            threads = [threading.Thread(target=feed, args=(subject,), daemon=True) for subject in subjects]
            async with asyncio.timeout(DEADLINE), to_async_iterable(merged, stream_config(capacity)) as items:
                await subscribed(*subjects)
                for thread in threads:
                    thread.start()
                got = Counter([item async for item in items])
            for thread in threads:
                thread.join(DEADLINE)
            assert got == {"loop": 40, "worker": 40, "timer": 5, "thread": 80}

    async def test_leaving_in_the_middle(self) -> None:
        """The same, left at any point: everybody is released."""
        for count in range(0, 60, 3):
            subject = Subject[str]()
            thread = threading.Thread(target=feed, args=(subject,), daemon=True)
            merged = rx.merge(from_async_iterable(lambda: numbers(40)), rx.range(0, 40), subject)
            async with to_async_iterable(merged, stream_config(1)) as items:
                await subscribed(subject)
                thread.start()
                await first(items, count)
            thread.join(DEADLINE)
            assert not thread.is_alive()

    async def test_a_push_on_the_loop_into_a_lock_that_a_waiting_worker_holds(self) -> None:
        """A worker waits inside `merge`, the loop pushes into it: an error, where both would wait for ever."""
        subject = Subject[int]()
        async with to_async_iterable(rx.merge(subject, rx.range(0, 1000)), stream_config(2)) as items:
            await settled(lambda: items.statistics().pushed)
            subject.on_next(-1)
            with pytest.raises(BackpressureError, match="pushed on the event loop"):
                async for _ in items:
                    pass

    async def test_an_item_that_fans_out_to_a_worker_and_to_the_loop(self) -> None:
        """One source feeds a branch that runs on the worker and one that does not, into one merge."""
        source = from_async_iterable(lambda: numbers(60))
        fan = source.pipe(ops.publish(lambda s: rx.merge(s.pipe(ops.flat_map(lambda n: rx.of(n, n, n))), s)))
        for _ in range(5):
            assert Counter(await everything(fan, 1)) == Counter([*range(60)] * 4)

    async def test_a_busy_loop_is_not_taken_for_a_stuck_one_for_long(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A loop that answers is waited for without end; the bound is kept."""
        monkeypatch.setattr(demand, "PAUSE", 0.001)
        monkeypatch.setattr(demand, "CHECK", 0.001)
        async with to_async_iterable(rx.range(0, 100), stream_config(3)) as items:
            await settled(lambda: items.statistics().pushed)
            await asyncio.sleep(0.1)
            assert items.statistics().length <= 3 + 1  # on a machine that has stood still for a while
            assert [item async for item in items] == list(range(100))


def feed(subject: Subject[str]) -> None:
    """Pushes from a thread."""
    for _ in range(40):
        subject.on_next("thread")
    subject.on_completed()


class TestTimers:
    async def test_a_timer_is_held_back_while_the_buffer_is_full(self) -> None:
        """A periodic source does not tick while nobody takes what it sends, and needs no thread to wait."""
        ticks: list[int] = []
        source = rx.interval(0.001).pipe(ops.do_action(ticks.append))
        async with to_async_iterable(source, stream_config(2)) as items:
            await settled(lambda: len(ticks))
            await until(lambda: not workers())
            assert ticks == [0, 1]
            assert await first(items, 5) == [0, 1, 2, 3, 4]

    async def test_disposing_a_timer_that_waits_for_room(self) -> None:
        """A timed source that is let go of while it is held back takes nobody's place."""
        source = rx.merge(rx.interval(0.001).pipe(ops.take_until(rx.timer(0.01))), rx.interval(0.002))
        async with to_async_iterable(source, stream_config(1)) as items:
            assert len(await first(items, 30)) == 30

    async def test_a_timer_that_is_cancelled_while_it_waits_is_let_go(self) -> None:
        """A buffer that stays full does not pile up timers that nobody wants any more."""
        buffer: Buffer[int] = Buffer(BufferConfig(1, "suspend"))
        buffer.offer(1)
        scheduler = DemandScheduler(buffer, loop=asyncio.get_running_loop(), fail=lambda error: None)
        for _ in range(3):
            waiting = scheduler.schedule_relative(0.0, lambda *_: None)
            await until(lambda: buffer._watching)
            waiting.dispose()
            assert not buffer._watching
        scheduler.dispose()

    async def test_an_action_that_pushes_many_items(self) -> None:
        """`delay` sends all that is due in one action: on the worker, which waits."""
        source = from_async_iterable(lambda: numbers(100)).pipe(ops.delay(0.01))
        assert await everything(source, 3) == list(range(100))

    @pytest.mark.parametrize("strategy", STRATEGIES)
    async def test_a_wall_clock_that_jumps_changes_nothing(
        self, strategy: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Timers follow the monotonic clock, whatever an administrator does to the other one."""
        stream = to_async_iterable(
            rx.interval(0.001).pipe(ops.delay(0.002), ops.timeout(DEADLINE)), stream_config(64, strategy)
        )
        async with stream:
            before = await first(stream, 5)

            class Jumped(datetime):
                @classmethod
                def now(cls, tz: Any = None) -> Any:
                    return datetime.now(tz) + timedelta(hours=1)

                @classmethod
                def utcnow(cls) -> Any:
                    return datetime.now() + timedelta(hours=1)

            monkeypatch.setattr("time.time", lambda: 1e12)
            monkeypatch.setattr("reactivex.internal.basic.datetime", Jumped, raising=False)
            monkeypatch.setattr("reactivex.scheduler.scheduler.default_now", lambda: Jumped.now(), raising=False)
            after = await first(stream, 20)
        assert (before + after)[:5] == [0, 1, 2, 3, 4]
        assert len(after) == 20

    def test_now_is_not_the_wall_clock(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """What operators measure with does not jump either."""
        scheduler = DemandScheduler(Buffer(BufferConfig(1, "sliding")), loop=None, fail=lambda error: None)
        before = scheduler.now
        monkeypatch.setattr("time.time", lambda: 1e12)
        assert timedelta(0) <= scheduler.now - before < timedelta(seconds=DEADLINE)

    async def test_an_absolute_time(self) -> None:
        """An action may be due at a time of the scheduler's clock."""
        seen: list[str] = []
        scheduler = DemandScheduler(
            Buffer(BufferConfig(1, "sliding")), loop=asyncio.get_running_loop(), fail=lambda error: None
        )
        scheduler.schedule_absolute(scheduler.now + timedelta(milliseconds=1), lambda *_: seen.append("due"))
        scheduler.schedule_absolute(scheduler.now - timedelta(hours=1), lambda *_: seen.append("late"))
        await until(lambda: len(seen) == 2)
        assert seen == ["late", "due"]
        scheduler.dispose()


class TestWorker:
    @pytest.mark.parametrize("strategy", STRATEGIES)
    async def test_no_thread_can_be_started(self, strategy: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """A system without threads to spare: the stream fails with that, and the next one works again."""

        def start(self: threading.Thread) -> None:
            raise RuntimeError("can't start new thread")

        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", start)
            stream = to_async_iterable(rx.of(1), stream_config(1, strategy))
            async with asyncio.timeout(DEADLINE):
                with pytest.raises(RuntimeError, match="can't start new thread"):
                    await anext(stream)
            await stream.aclose()
        assert await everything(rx.of(1), 1, strategy) == [1]

    @pytest.mark.parametrize("strategy", STRATEGIES)
    def test_no_thread_can_be_started_for_an_observer(self, strategy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        """Without a loop `with_buffer` needs a thread of its own: the observer is told that there is none."""

        def start(self: threading.Thread) -> None:
            raise RuntimeError("can't start new thread")

        monkeypatch.setattr(threading.Thread, "start", start)
        seen = Recorder()
        source = rx.never() if strategy == "suspend" else rx.create(push_one)
        source.pipe(with_buffer(capacity=1, strategy=strategy)).subscribe(
            seen.on_next, seen.on_error, seen.on_completed
        )
        assert [str(error) for error in seen.errors] == ["can't start new thread"]

    @pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt, GeneratorExit, asyncio.CancelledError])
    async def test_what_is_no_exception(self, error: type[BaseException]) -> None:
        """A source that leaves its thread with `SystemExit` and the like has failed; nobody waits for it."""

        def source() -> Iterator[int]:
            yield 1
            raise error

        with pytest.raises(RxStreamError, match=f"a source failed with {error.__name__}") as caught:
            await everything(rx.from_iterable(source()))
        assert isinstance(caught.value.__cause__, error)

    async def test_a_signal_that_raises_stop_iteration(self) -> None:
        """No future takes that error: whoever waits for the signal gets another one, and does not wait for ever."""

        def stop() -> None:
            raise StopIteration

        scheduler = DemandScheduler(
            Buffer(BufferConfig(1, "suspend")), loop=asyncio.get_running_loop(), fail=lambda error: None
        )
        async with asyncio.timeout(DEADLINE):
            with pytest.raises(RuntimeError, match="StopIteration"):
                await scheduler.push_off_loop(stop)
        scheduler.dispose()

    async def test_a_stream_that_pauses_longer_than_its_thread_lingers(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The thread ends while there is nothing to run, and another one comes when there is."""
        monkeypatch.setattr(worker, "LINGER", 0.0)
        source = from_async_iterable(lambda: numbers(30)).pipe(ops.concat_map(odd_twice))
        assert len(await everything(source, 2)) == 45

    async def test_a_loop_inside_subscribe_is_ended(self) -> None:
        """`create` that pushes for ever has no way to see a dispose: its push does not return."""
        ended: list[str] = []

        def forever(observer: Any, scheduler: Any) -> Any:
            try:
                while True:
                    observer.on_next(1)
            finally:
                ended.append("unwound")

        async with to_async_iterable(rx.create(forever), stream_config(1)) as items:
            await first(items, 3)
        await until(lambda: ended == ["unwound"])

    async def test_a_loop_inside_subscribe_that_was_not_waiting(self) -> None:
        """The same, if it is busy elsewhere when the consumer leaves."""
        ended, left = list[str](), threading.Event()

        def forever(observer: Any, scheduler: Any) -> Any:
            observer.on_next(1)
            assert left.wait(DEADLINE)
            try:
                while True:
                    observer.on_next(2)
            finally:
                ended.append("unwound")

        async with to_async_iterable(rx.create(forever), stream_config(100)) as items:
            await first(items, 1)
        left.set()
        await until(lambda: ended == ["unwound"])

    async def test_a_push_that_waited_in_vain_does_not_return(self) -> None:
        """What a loop inside `subscribe` would do after a push that was waiting at the dispose is not done any more."""
        went_on: list[int] = []
        pushing = threading.Event()

        def slow(observer: Any, scheduler: Any) -> Any:
            observer.on_next(1)
            pushing.set()
            observer.on_next(2)
            went_on.append(2)

        async with to_async_iterable(rx.create(slow), stream_config(1)) as items:
            await asyncio.to_thread(pushing.wait, DEADLINE)
            assert items.statistics().length == 1
        await until(lambda: not workers())
        assert went_on == []

    def test_an_idle_thread_keeps_nothing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A worker that lingers for more to do does not keep what it did last alive."""
        monkeypatch.setattr(worker, "LINGER", DEADLINE)
        idle = threading.Event()
        busy = worker.Worker(contextvars.copy_context(), on_idle=idle.set, on_error=lambda error: None)

        class Action:
            def __call__(self) -> None:
                pass

        action = Action()
        kept = weakref.ref(action)
        busy.submit(action, idle.clear)
        del action
        assert idle.wait(DEADLINE)
        until_now(lambda: kept() is None)
        busy.stop()

    def test_a_context_that_is_in_use(self) -> None:
        """A worker runs under its subscriber's context, also while somebody else is still inside that."""
        variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable")
        seen: list[str] = []
        done = threading.Event()

        def look() -> None:
            seen.append(variable.get())
            done.set()

        def start() -> None:
            variable.set("mine")
            context_worker = Worker(context, on_idle=done.is_set, on_error=print)
            context_worker.submit(look)
            assert done.wait(DEADLINE)

        context = contextvars.copy_context()
        context.run(start)
        assert seen == ["mine"]


def odd_twice(number: int) -> Observable[int]:
    """An odd number twice, an even one after a while."""
    return rx.of(number, number) if number % 2 else rx.timer(0.001).pipe(ops.map(lambda _: number))


def push_one(observer: Any, scheduler: Any) -> Any:
    """Sends one item from inside `subscribe`."""
    observer.on_next(1)
    return Disposable()


class TestBase:
    """The scheduler of a user below `with_buffer`."""

    @pytest.mark.parametrize("strategy", STRATEGIES)
    def test_virtual_time(self, strategy: Any) -> None:
        """Under a `TestScheduler` everything happens in virtual time, without a thread."""
        scheduler = VirtualScheduler()
        seen: list[tuple[float, int]] = []
        source = rx.interval(10.0).pipe(ops.take(3)).pipe(with_buffer(capacity=2, strategy=strategy))
        source.subscribe(lambda n: seen.append((scheduler.clock, n)), scheduler=scheduler)
        scheduler.start()
        assert [number for _, number in seen] == [0, 1, 2]
        assert all(0 <= time - 10 * (number + 1) < 1 for time, number in seen)
        assert not workers()

    def test_nothing_can_wait_in_virtual_time(self) -> None:
        """A source that floods a `suspend` buffer at one moment of virtual time is an error."""
        scheduler, seen = VirtualScheduler(), Recorder()
        rx.from_iterable(range(10)).pipe(with_buffer(capacity=2, strategy="suspend", scheduler=scheduler)).subscribe(
            seen.on_next, seen.on_error, seen.on_completed
        )
        scheduler.start()
        assert seen.items == [0, 1]
        assert [type(error) for error in seen.errors] == [BackpressureError]

    @pytest.mark.parametrize("strategy", STRATEGIES)
    def test_a_failure_in_an_action(self, strategy: Any) -> None:
        """What a timed action raises is the stream's failure, not that of the user's scheduler."""
        scheduler, seen = VirtualScheduler(), Recorder()

        def fail(*_: Any) -> None:
            raise ValueError("no")

        def subscribe(observer: Any, given: Any = None) -> Any:
            return given.schedule_relative(5.0, fail)

        rx.create(subscribe).pipe(with_buffer(capacity=1, strategy=strategy, scheduler=scheduler)).subscribe(
            seen.on_next, seen.on_error, seen.on_completed
        )
        scheduler.start()
        assert [str(error) for error in seen.errors] == ["no"]

    @pytest.mark.parametrize("strategy", STRATEGIES)
    def test_the_current_thread(self, strategy: Any) -> None:
        """`CurrentThreadScheduler` calls the observer on the thread that pushes; the accepted items come first."""
        seen = Recorder()
        rx.from_iterable(range(50)).pipe(with_buffer(capacity=50, strategy=strategy)).subscribe(
            seen.on_next, seen.on_error, seen.on_completed, scheduler=CurrentThreadScheduler.singleton()
        )
        assert seen.over.wait(DEADLINE)
        assert (seen.items, seen.completed) == (list(range(50)), 1)
