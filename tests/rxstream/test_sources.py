"""Sources: ours, and the stock ones of `reactivex` under every strategy."""

from __future__ import annotations

import asyncio
import contextvars
import operator
import os
import threading
import warnings
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
import reactivex as rx
import uvloop
from reactivex import Observable
from reactivex import operators as ops
from reactivex.subject import BehaviorSubject, ReplaySubject, Subject

from rxstream import demand
from rxstream import sources as sources_room
from rxstream.buffering import with_buffer
from rxstream.concurrency import map_async
from rxstream.errors import RxStreamError
from rxstream.sinks import to_async_iterable
from rxstream.sources import from_async_iterable, from_file
from tests.rxstream.support import (
    DEADLINE,
    STRATEGIES,
    Counted,
    Recorder,
    everything,
    first,
    numbers,
    open_files,
    settled,
    stream_config,
    subscribed,
    until,
    workers,
)

Source = Observable[Any]


def counting(count: int, start: int = 0) -> Source:
    """Numbers from the event loop."""
    return from_async_iterable(lambda: numbers(count, start))


def inline(count: int) -> Source:
    """Numbers, sent from inside `subscribe`."""

    def subscribe(observer: Any, scheduler: Any = None) -> Any:
        for number in range(count):
            observer.on_next(number)
        observer.on_completed()
        return rx.disposable.Disposable()

    return rx.create(subscribe)


def endless(observer: Any, scheduler: Any = None) -> Any:
    """Never returns from `subscribe`."""
    number = 0
    while True:
        observer.on_next(number)
        number += 1


def flaky() -> Source:
    """Fails twice in the middle, and works then."""
    tries = iter(range(100))

    def fresh(_: Any) -> Source:
        return rx.concat(rx.of(0, 1), rx.throw(ValueError()) if next(tries) < 2 else rx.of(2))

    return rx.defer(fresh)


def shared(build: Callable[[Source], Source]) -> Source:
    """A source that is built from two views of one subscription."""
    return counting(50).pipe(ops.publish(build))


def replayed(kind: type[Any]) -> Source:
    """A subject that replays to whoever comes late, and has ended."""
    subject = kind() if kind is ReplaySubject else kind(0)
    for number in range(1, 5):
        subject.on_next(number)
    if kind is ReplaySubject:
        subject.on_completed()
        return subject  # type: ignore[no-any-return]
    return subject.pipe(ops.take(1))  # type: ignore[no-any-return]


def to_ints(group: Source) -> Source:
    """An operator on a group."""
    return group.pipe(ops.map(int))


async def double(number: int) -> int:
    """An async function."""
    await asyncio.sleep(0)
    return 2 * number


# Each stock source and operator, what comes out of it in order, or as a Counter where several sources race.
TABLE: dict[str, tuple[Callable[[], Source], list[Any] | Counter[Any]]] = {
    "from_async_iterable": (lambda: counting(200), list(range(200))),
    "from_iterable": (lambda: rx.from_iterable(range(200)), list(range(200))),
    "range": (lambda: rx.range(0, 100), list(range(100))),
    "of": (lambda: rx.of(1, 2, 3), [1, 2, 3]),
    "generate": (lambda: rx.generate(0, lambda n: n < 60, lambda n: n + 1), list(range(60))),
    "create": (lambda: inline(200), list(range(200))),
    "create, endless": (lambda: rx.create(endless).pipe(ops.map(lambda n: n)), []),
    "iterable, endless": (lambda: rx.from_iterable(Counted()), []),
    "async, endless": (lambda: from_async_iterable(Counted().generate), []),
    "repeat_value": (lambda: rx.repeat_value(7, 50), [7] * 50),
    "repeat": (lambda: counting(3).pipe(ops.repeat(10)), [0, 1, 2] * 10),
    "interval": (lambda: rx.interval(0.001).pipe(ops.take(20)), list(range(20))),
    "timer": (lambda: rx.timer(0.001), [0]),
    "timer, periodic": (lambda: rx.timer(0.001, 0.001).pipe(ops.take(10)), list(range(10))),
    "delay": (lambda: rx.from_iterable(range(50)).pipe(ops.delay(0.005)), list(range(50))),
    "buffer_with_time": (
        lambda: counting(50).pipe(ops.buffer_with_time(0.005), ops.flat_map(rx.from_iterable)),
        list(range(50)),
    ),
    "merge of threads": (lambda: rx.merge(rx.range(0, 50), rx.from_iterable(range(50))), Counter([*range(50)] * 2)),
    "merge of loop and thread": (lambda: rx.merge(counting(50), rx.range(0, 50)), Counter([*range(50)] * 2)),
    "merge of loops": (lambda: rx.merge(counting(50), counting(50)), Counter([*range(50)] * 2)),
    "merge of timers": (
        lambda: rx.merge(rx.interval(0.001).pipe(ops.take(20)), counting(20)),
        Counter([*range(20)] * 2),
    ),
    "concat": (lambda: rx.concat(counting(30), rx.range(30, 60), counting(30, 60)), list(range(90))),
    "zip": (lambda: rx.zip(counting(30), rx.range(0, 30)), [(n, n) for n in range(30)]),
    "flat_map": (lambda: counting(30).pipe(ops.flat_map(lambda n: rx.of(n, n, n))), Counter([*range(30)] * 3)),
    "flat_map of async": (lambda: counting(30).pipe(ops.flat_map(lambda n: counting(3))), Counter([0, 1, 2] * 30)),
    "flat_map of buffered create": (
        lambda: counting(10).pipe(ops.flat_map(lambda n: inline(3).pipe(with_buffer(capacity=1)))),
        Counter([0, 1, 2] * 10),
    ),
    "concat_map": (
        lambda: rx.range(0, 30).pipe(ops.concat_map(lambda n: rx.of(n, n))),
        [n for n in range(30) for _ in range(2)],
    ),
    "group_by": (
        lambda: rx.range(0, 60).pipe(ops.group_by(lambda n: n % 3), ops.flat_map(to_ints)),
        Counter(range(60)),
    ),
    "timeout": (lambda: counting(60).pipe(ops.timeout(DEADLINE)), list(range(60))),
    "take_last": (lambda: counting(100).pipe(ops.take_last(50)), list(range(50, 100))),
    "take_last of a thread": (lambda: rx.range(0, 100).pipe(ops.take_last(50)), list(range(50, 100))),
    "start_with": (lambda: counting(30).pipe(ops.start_with(8, 9)), [8, 9, *range(30)]),
    "retry": (lambda: flaky().pipe(ops.retry(5)), [0, 1, 0, 1, 0, 1, 2]),
    "catch": (
        lambda: rx.concat(counting(3), rx.throw(ValueError())).pipe(ops.catch(inline(30))),
        [0, 1, 2, *range(30)],
    ),
    "catch of async": (
        lambda: from_async_iterable(failing).pipe(ops.catch(lambda error, source: inline(30))),
        [0, *range(30)],
    ),
    "share": (lambda: counting(50).pipe(ops.share()), list(range(50))),
    "publish": (
        lambda: shared(lambda s: rx.merge(s, s.pipe(ops.map(operator.neg)))),
        Counter([*range(50), *(-n for n in range(50))]),
    ),
    "publish of many": (
        lambda: shared(lambda s: rx.merge(*[s] * 12)),
        Counter([*range(50)] * 12),
    ),
    "flat_map of create": (lambda: counting(20).pipe(ops.flat_map(lambda n: inline(30))), Counter([*range(30)] * 20)),
    "publish with a thread": (
        lambda: shared(lambda s: rx.merge(s.pipe(ops.flat_map(lambda n: rx.of(n, n))), s)),
        Counter([*range(50)] * 3),
    ),
    "ref_count": (lambda: rx.range(0, 50).pipe(ops.publish(), ops.ref_count()), list(range(50))),
    "BehaviorSubject": (lambda: replayed(BehaviorSubject), [4]),
    "ReplaySubject": (lambda: replayed(ReplaySubject), [1, 2, 3, 4]),
    "with_buffer": (lambda: counting(60).pipe(with_buffer(capacity=2)), list(range(60))),
    "with_buffer twice": (
        lambda: rx.range(0, 60).pipe(with_buffer(capacity=2), ops.map(int), with_buffer(capacity=1)),
        list(range(60)),
    ),
    "map_async": (lambda: rx.range(0, 60).pipe(map_async(double, max_concurrent=4)), [2 * n for n in range(60)]),
    "using": (lambda: rx.using(lambda: rx.disposable.Disposable(), lambda _: rx.range(0, 9)), list(range(9))),
    "from_future": (lambda: rx.from_future(asyncio.ensure_future(double(4))), [8]),
    "from_callable": (lambda: rx.from_callable(lambda: 5), [5]),
    "scan": (lambda: rx.range(0, 9).pipe(ops.scan(operator.add, 0)), [0, 1, 3, 6, 10, 15, 21, 28, 36]),
    "switch_latest": (lambda: rx.of(counting(3), counting(40)).pipe(ops.switch_latest(), ops.take_last(1)), [39]),
}


async def failing() -> AsyncIterator[int]:
    """Fails at its second item."""
    yield 0
    raise ValueError


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """On a machine that is busy elsewhere, a loop that is late is not to be taken for one that stands still."""
    if "publish" not in request.node.name:
        monkeypatch.setattr(demand, "PATIENCE", DEADLINE)


@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize("capacity", [1, 16])
@pytest.mark.parametrize("name", TABLE)
async def test_suspend_loses_nothing(name: str, capacity: int) -> None:
    """Each stock source and operator delivers every item, within the bound, and leaves no thread and no task."""
    await loses_nothing(name, capacity)


async def loses_nothing(name: str, capacity: int) -> None:
    """Takes all of a source of the table, under `suspend`."""
    source, expected = TABLE[name]
    tasks = asyncio.all_tasks()
    stream = to_async_iterable(source(), stream_config(capacity))
    async with asyncio.timeout(DEADLINE), stream:
        if "endless" in name:
            assert await first(stream, 40) == list(range(40))
        elif isinstance(expected, Counter):
            assert Counter([item async for item in stream]) == expected
        else:
            assert [item async for item in stream] == expected
    found = stream.statistics()
    # Where an operator makes many of one item of a source on the loop, it has them, once, beyond the bound.
    assert found.high_water <= capacity + (demand.BURST if "publish" in name or name == "flat_map of create" else 0)
    assert found.dropped == 0
    assert asyncio.all_tasks() == tasks
    await until(lambda: not workers())


@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize("name", TABLE)
def test_suspend_loses_nothing_on_uvloop(name: str) -> None:
    """The same on the other event loop."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(loses_nothing(name, 2))


@pytest.mark.parametrize("strategy", ["sliding", "dropping"])
# What never returns from `subscribe` never returns to the loop on which it is subscribed to where nobody waits.
@pytest.mark.parametrize("name", [name for name in TABLE if name != "create, endless"])
async def test_sliding_and_dropping_account_for_everything(name: str, strategy: str) -> None:
    """Nobody waits; what is delivered and what is dropped are together what was sent."""
    source, expected = TABLE[name]
    dropped: list[Any] = []
    stream = to_async_iterable(source(), stream_config(3, strategy), on_dropped=dropped.append)
    async with asyncio.timeout(DEADLINE), stream:
        if "endless" in name:
            got = await first(stream, 10)
            assert got == sorted(got)
        else:
            got = [item async for item in stream]
            if name != "switch_latest":
                assert Counter([*got, *dropped]) == Counter(expected)
            if strategy == "sliding" and isinstance(expected, list):
                assert got[-1] == expected[-1]
            if strategy == "dropping" and isinstance(expected, list):
                assert got[0] == expected[0]
    await until(lambda: not workers())  # one may still have an item in hand
    found = stream.statistics()
    assert (found.delivered, found.dropped + found.discarded) == (len(got), len(dropped))
    assert found.high_water <= 3


@pytest.mark.parametrize("strategy", ["sliding", "dropping"])
async def test_timers_and_hot_sources_need_no_thread(strategy: str) -> None:
    """Where nobody waits, ten thousand clients are ten thousand buffers, not threads."""
    subject = Subject[int]()
    hot = subject.pipe(ops.delay(0.001), ops.map(int))
    timed = rx.interval(0.001).pipe(ops.buffer_with_count(2))
    ours = from_async_iterable(Counted().generate)
    before = threading.active_count()
    async with AsyncExitStack() as stack:
        streams = [to_async_iterable(source, stream_config(8, strategy)) for source in (hot, timed, ours)]
        for stream in streams:
            await stack.enter_async_context(stream)
        subject.on_next(1)
        for stream in streams:
            await first(stream, 1)
        assert threading.active_count() == before


async def test_a_subject_pushed_on_a_thread_waits() -> None:
    """A foreign thread that pushes into a full buffer waits there; nothing is lost."""
    subject = Subject[int]()

    def push() -> None:
        for number in range(500):
            subject.on_next(number)
        subject.on_completed()

    async with asyncio.timeout(DEADLINE), to_async_iterable(subject, stream_config(3)) as items:
        await subscribed(subject)
        thread = threading.Thread(target=push, daemon=True)
        thread.start()
        assert [item async for item in items] == list(range(500))
        assert items.statistics().high_water <= 3
    thread.join(DEADLINE)


async def test_a_blocked_loop_loses_nothing() -> None:
    """While the event loop stands still, a producer on a thread waits."""
    source, blocked = Counted(3000), threading.Event()
    async with asyncio.timeout(DEADLINE), to_async_iterable(rx.from_iterable(source), stream_config(4)) as items:
        got = await first(items, 1)
        blocked.wait(1.0)  # the loop's thread
        pulled = source.pulled
        got += [item async for item in items]
    # One item more for each doubling of the time that the loop has not answered.
    assert pulled <= 1 + 4 + 1 + 4
    assert got == list(range(3000))


class TestFromAsyncIterable:
    @pytest.mark.parametrize("source", [1, None, [1, 2], "abc", iter(())])
    def test_what_is_no_async_iterable_is_refused(self, source: Any) -> None:
        """A wrong source is refused when the Observable is built."""
        message = "from_async_iterable takes an async iterable or a callable that makes one, not "
        with pytest.raises(TypeError, match=message):
            from_async_iterable(source)

    async def test_a_callable_that_makes_none(self) -> None:
        """What the callable makes can be looked at on subscribing only, so it is an error downstream."""
        with pytest.raises(TypeError, match="the callable given to from_async_iterable made no async iterable: 5"):
            await everything(from_async_iterable(lambda: 5))  # type: ignore[arg-type, return-value]

    async def test_an_iterator_can_be_subscribed_to_once(self) -> None:
        """A second subscription would get the rest of the first: it is an error that names the way out."""
        source = from_async_iterable(numbers(3))
        assert await everything(source) == [0, 1, 2]
        with pytest.raises(RxStreamError, match="subscribed to once; give from_async_iterable a callable"):
            await everything(source)

    async def test_an_iterable_can_be_subscribed_to_again(self) -> None:
        """An async iterable that is no iterator gives a fresh one each time."""

        class Fresh:
            def __aiter__(self) -> AsyncIterator[int]:
                return numbers(3)

        source = from_async_iterable(Fresh())
        assert await everything(source) == await everything(source) == [0, 1, 2]

    @pytest.mark.parametrize("strategy", STRATEGIES)
    async def test_a_cancelled_error_from_within(self, strategy: str) -> None:
        """A source that raises `CancelledError` has failed; the consumer was not cancelled."""

        async def source() -> AsyncIterator[int]:
            yield 1
            raise asyncio.CancelledError

        with pytest.raises(RxStreamError) as caught:
            await everything(from_async_iterable(source), 2, strategy)
        assert isinstance(caught.value.__cause__, asyncio.CancelledError)

    @pytest.mark.parametrize("error", [StopIteration, StopAsyncIteration])
    @pytest.mark.parametrize("kind", ["async", "mapper", "throw"])
    async def test_the_end_of_another_iterator_is_no_end(self, error: type[Exception], kind: str) -> None:
        """`StopIteration` that escapes from user code is a failure, not a completion."""

        def stop(_: Any = None) -> Any:
            raise error

        async def source() -> AsyncIterator[int]:
            yield stop()

        made: dict[str, Source] = {
            "async": from_async_iterable(source),
            "mapper": counting(2).pipe(ops.map(stop)),
            "throw": rx.throw(error()),
        }
        with pytest.raises((RuntimeError, error)):
            await everything(made[kind])

    async def test_a_source_that_never_suspends_leaves_turns_to_others(self) -> None:
        """Items that nobody wants must not freeze the loop."""
        busy = from_async_iterable(Counted().generate).pipe(ops.filter(lambda n: False))
        async with to_async_iterable(busy, stream_config(1)) as items:
            waiting = asyncio.ensure_future(anext(items))
            for _ in range(20):
                await asyncio.sleep(0)
            assert not waiting.done()
            waiting.cancel()

    @pytest.mark.parametrize("plain", [True, False])
    async def test_it_looks_at_the_clock_by_itself(self, plain: bool, monkeypatch: pytest.MonkeyPatch) -> None:
        """A turn is taken as soon as the time for one is up, however few items have passed."""
        monkeypatch.setattr(sources_room, "TURN", 0.0)
        turns: list[int] = []
        source = Counted(40)
        stream = from_async_iterable(source.generate)
        asyncio.get_running_loop().call_soon(count_turns, turns, lambda: source.closed)
        seen = Recorder()
        if plain:
            stream.subscribe(seen.on_next, seen.on_error, seen.on_completed)
            await until(lambda: source.closed)
        else:
            await everything(stream, 64)
        assert len(turns) >= 40

    async def test_context_variables_reach_the_sources(self) -> None:
        """A source sees the context of the subscriber, on the loop and on the worker."""
        variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="nothing")
        variable.set("mine")

        async def on_loop() -> AsyncIterator[str]:
            yield variable.get()

        def on_worker() -> Iterator[str]:
            yield variable.get()

        timed = rx.timer(0.001).pipe(ops.map(lambda _: variable.get()))
        for strategy in STRATEGIES:
            both = rx.merge(from_async_iterable(on_loop), rx.from_iterable(on_worker()), timed)
            assert await everything(both, 4, strategy) == ["mine"] * 3
        seen = Recorder()
        from_async_iterable(on_loop).subscribe(seen.on_next, seen.on_error, seen.on_completed)
        await until(seen.over.is_set)
        assert seen.items == ["mine"]

    async def test_a_cleanup_that_fails_is_logged(self, caplog: pytest.LogCaptureFixture) -> None:
        """What a `finally` raises on dispose reaches nobody else."""

        async def source() -> AsyncIterator[int]:
            try:
                while True:
                    yield 1
            finally:
                raise ValueError("cleanup")

        async with to_async_iterable(from_async_iterable(source), stream_config(1)) as items:
            await first(items, 1)
        await until(lambda: [r.message for r in caplog.records] == ["the cleanup of a source failed"])


def count_turns(turns: list[int], stop: Callable[[], object]) -> None:
    """Counts the turns of the loop, until told to stop."""
    turns.append(1)
    if not stop():
        asyncio.get_running_loop().call_soon(count_turns, turns, stop)


class TestFairness:
    async def test_two_sources_of_the_loop_share_the_room(self) -> None:
        """A source that never suspends does not keep another one out for ever."""
        both = rx.merge(counting(10**9), counting(10**9, -(10**9)))
        async with asyncio.timeout(DEADLINE), to_async_iterable(both, stream_config(4)) as items:
            got = await first(items, 400)
        assert min(sum(n < 0 for n in got), sum(n >= 0 for n in got)) >= 50

    async def test_a_source_that_is_cancelled_while_it_waits_passes_its_turn_on(self) -> None:
        """Of two sources that wait for the one place, the first is cancelled: the other one gets it."""
        stop = Subject[None]()
        first_source, second = Counted(), Counted(3)
        both = rx.merge(
            from_async_iterable(first_source.generate).pipe(ops.take_until(stop)),
            from_async_iterable(second.generate).pipe(ops.map(lambda n: -1 - n)),
        )
        async with asyncio.timeout(DEADLINE), to_async_iterable(both, stream_config(1)) as items:
            await settled(lambda: first_source.pulled + second.pulled)
            stop.on_next(None)
            got = [item async for item in items]
        assert [n for n in got if n < 0] == [-1, -2, -3]

    async def test_two_threads_share_the_room(self) -> None:
        """Nor does a thread."""
        subject = Subject[int]()
        stop = threading.Event()

        def push(number: int) -> None:
            while not stop.is_set():
                subject.on_next(number)

        threads = [threading.Thread(target=push, args=(n,), daemon=True) for n in (0, 1)]
        async with asyncio.timeout(DEADLINE), to_async_iterable(subject, stream_config(4)) as items:
            await subscribed(subject)
            for thread in threads:
                thread.start()
            got: set[int] = set()
            while got != {0, 1}:
                got.update(await first(items, 1))
            stop.set()
        for thread in threads:
            thread.join(DEADLINE)
            assert not thread.is_alive()


class TestFromFile:
    @pytest.mark.parametrize(
        ("size", "error", "message"),
        [
            (0, ValueError, "chunk_size must be at least 1, not 0"),
            (True, TypeError, "chunk_size must be an int, not True"),
            (1.5, TypeError, "chunk_size must be an int, not 1.5"),
        ],
    )
    def test_a_wrong_chunk_size_is_refused(self, size: Any, error: type[Exception], message: str) -> None:
        """The size of a chunk is a positive int."""
        with pytest.raises(error, match=message):
            from_file("anything", chunk_size=size)

    @pytest.mark.parametrize("size", [1, 7, 1000, 65536])
    async def test_the_bytes_of_the_file_in_order(self, size: int, tmp_path: Path) -> None:
        """All chunks together are the file; all but the last have the size that was asked for."""
        content = os.urandom(1000)
        (tmp_path / "file").write_bytes(content)
        chunks = await everything(from_file(tmp_path / "file", chunk_size=size))
        assert b"".join(chunks) == content
        assert {len(chunk) for chunk in chunks[:-1]} <= {size}

    async def test_a_file_that_is_not_there(self, tmp_path: Path) -> None:
        """The failure to open it arrives downstream."""
        with pytest.raises(FileNotFoundError):
            await everything(from_file(tmp_path / "nothing"))

    async def test_it_is_closed_when_the_consumer_leaves(self, tmp_path: Path) -> None:
        """A consumer that stops early leaves no file open."""
        path = tmp_path / "file"
        path.write_bytes(bytes(10_000))
        async with to_async_iterable(from_file(path, chunk_size=10), stream_config(2)) as chunks:
            await first(chunks, 3)
            assert str(path) in open_files()
        await until(lambda: str(path) not in open_files())

    async def test_a_file_that_is_opened_too_late_is_closed(self, tmp_path: Path) -> None:
        """A dispose while a thread opens the file: that thread closes it."""
        path = tmp_path / "pipe"
        os.mkfifo(path)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            async with to_async_iterable(from_file(path), stream_config(2)):
                await asyncio.sleep(0)  # the open waits for a writer
            writer = await asyncio.to_thread(os.open, path, os.O_WRONLY)
            await until(lambda: sum(str(path) in name for name in open_files()) == 1)
            os.close(writer)
