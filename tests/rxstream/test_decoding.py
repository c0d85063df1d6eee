"""Decoders as operators: items of any number in a chunk, with demand back to the source of the bytes."""

from __future__ import annotations

import asyncio
import dataclasses
import gc
import json
import threading
import weakref
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import reactivex
from reactivex import Observable, abc, operators
from reactivex.disposable import Disposable
from reactivex.scheduler import ImmediateScheduler
from reactivex.subject import Subject
from reactivex.testing import ReactiveTest, TestScheduler

from rxstream import (
    BackpressureError,
    DecodeError,
    ReceivedEvent,
    RxStreamError,
    from_async_iterable,
    from_file,
    to_async_iterable,
)
from rxstream.buffering import with_buffer
from rxstream.decoding import AHEAD, decode_csv, decode_json_array, decode_ndjson, decode_sse
from tests.rxstream.support import (
    DEADLINE,
    STRATEGIES,
    Recorder,
    everything,
    first,
    settled,
    stream_config,
    subscribed,
    until,
    until_now,
)

FORMATS: list[tuple[Any, bytes, list[Any]]] = [
    (decode_ndjson, b'{"n":"1"}\n{"n":"2"}', [{"n": "1"}, {"n": "2"}]),
    (decode_json_array, b'[{"n":"1"},{"n":"2"}]', [{"n": "1"}, {"n": "2"}]),
    (decode_csv, b"n\n1\n2", [{"n": "1"}, {"n": "2"}]),
    (decode_sse, b"data: 1\n\ndata: 2\n\n", [ReceivedEvent("1"), ReceivedEvent("2")]),
]
every_format = pytest.mark.parametrize(("make", "body", "items"), FORMATS)
WRONG: list[tuple[Any, bytes]] = [
    (decode_ndjson, b"1\n2\nx\n4\n"),
    (decode_json_array, b"[1,2,x,4]"),
    (decode_csv, b'n\n1\n2\n"3"x\n4\n'),
    (lambda: decode_sse(max_line=8), b"data: 1\n\ndata: 2\n\ndata: 345\n\n"),
]
every_failure = pytest.mark.parametrize(("make", "body"), WRONG)


def chunks(*parts: bytes) -> Observable[bytes]:
    """A source of ours, which pushes on the event loop."""

    async def generate() -> AsyncIterator[bytes]:
        for part in parts:
            yield part

    return from_async_iterable(generate)


def in_threes(body: bytes) -> list[bytes]:
    """Three bytes a chunk."""
    return [body[at : at + 3] for at in range(0, len(body), 3)]


def recorded(source: Observable[Any]) -> Recorder:
    """What a source that ends by itself sends."""
    recorder = Recorder()
    source.subscribe(recorder.on_next, recorder.on_error, recorder.on_completed)
    return recorder


class Endless:
    """A source of chunks of many lines, which counts."""

    def __init__(self, lines: int) -> None:
        self.chunk = b"1\n" * lines
        self.pulled = self.closed = 0

    async def generate(self) -> AsyncIterator[bytes]:
        """The chunks."""
        try:
            while True:
                self.pulled += 1
                yield self.chunk
        finally:
            self.closed += 1


@every_format
@pytest.mark.parametrize("strategy", STRATEGIES)
async def test_items_of_a_source_of_ours(make: Any, body: bytes, items: list[Any], strategy: str) -> None:
    """All of them, then the end, whichever way a full buffer takes."""
    assert await everything(chunks(*in_threes(body)).pipe(make()), 16, strategy) == items


@every_format
async def test_items_of_a_stock_source(make: Any, body: bytes, items: list[Any]) -> None:
    """The same for a source that runs on a thread of its own."""
    assert await everything(reactivex.from_iterable(in_threes(body)).pipe(make()), 1) == items


@every_format
def test_items_without_an_event_loop(make: Any, body: bytes, items: list[Any]) -> None:
    """A plain operator, for plain observers."""
    recorder = recorded(reactivex.from_iterable(in_threes(body)).pipe(make()))
    assert (recorder.items, recorder.errors, recorder.completed) == (items, [], 1)


@every_format
async def test_a_plain_observer_gets_items_at_once(make: Any, body: bytes, items: list[Any]) -> None:
    """Also while a loop runs: nobody down there could make the source wait."""
    recorder = recorded(reactivex.of(body).pipe(make()))
    assert (recorder.items, recorder.completed) == (items, 1)


@every_failure
async def test_a_failure_comes_after_the_items_before_it(make: Any, body: bytes) -> None:
    """With the place, once, through either way of delivery."""
    for source in (chunks(body), chunks(*in_threes(body)), reactivex.of(body)):
        items: list[Any] = []
        with pytest.raises(DecodeError) as caught:
            async with asyncio.timeout(DEADLINE), to_async_iterable(source.pipe(make()), stream_config(1)) as stream:
                async for item in stream:
                    items.append(item)
        assert caught.value.position == len(items) == 2
    recorder = recorded(reactivex.of(body).pipe(make()))
    assert len(recorder.items) == 2
    assert [str(error) for error in recorder.errors] == [str(caught.value)]
    assert not recorder.completed


@every_failure
async def test_a_failure_disposes_upstream(make: Any, body: bytes) -> None:
    """Nobody listens to the source any more, and what it still sends reaches nobody."""
    closed = 0

    async def generate() -> AsyncIterator[bytes]:
        nonlocal closed
        try:
            while True:
                yield body
        finally:
            closed += 1

    with pytest.raises(DecodeError):
        await everything(from_async_iterable(generate).pipe(make()))
    assert closed == 1
    subject: Subject[bytes] = Subject()
    recorder = recorded(subject.pipe(make()))
    subject.on_next(body)
    assert subject.observers == []
    subject.on_next(body)
    subject.on_completed()
    assert (len(recorder.items), len(recorder.errors), recorder.completed) == (2, 1, 0)


@pytest.mark.parametrize(
    ("make", "body"), [(decode_json_array, b"[1,2"), (decode_csv, b'n\n1\n2\n"3'), (decode_ndjson, b"1\n2\n[")]
)
async def test_bytes_that_were_cut_off(make: Any, body: bytes) -> None:
    """Are an error at the end, not an end."""
    with pytest.raises(DecodeError):
        await everything(chunks(body).pipe(make()))
    recorder = recorded(reactivex.of(body).pipe(make()))
    assert len(recorder.errors) == 1
    assert not recorder.completed


@every_format
async def test_an_error_of_the_source_passes(make: Any, body: bytes, items: list[Any]) -> None:
    """As it is, after the items that came before it, and nothing is made of what was left over."""

    async def generate() -> AsyncIterator[bytes]:
        yield body[:-1]
        raise KeyError("broken")

    whole = [*items][: 2 if make is decode_csv else 1]
    for source in (
        from_async_iterable(generate),
        reactivex.concat(reactivex.of(body[:-1]), reactivex.throw(KeyError("broken"))),
    ):
        got: list[Any] = []
        with pytest.raises(KeyError, match="broken"):
            async with asyncio.timeout(DEADLINE), to_async_iterable(source.pipe(make())) as stream:
                async for item in stream:
                    got.append(item)
        assert got == whole[:1]


async def test_thousands_of_items_in_a_chunk_wait_for_room() -> None:
    """A chunk of 10,000 items goes through a buffer of one, from a source on the loop; the buffer never grows."""
    async with to_async_iterable(chunks(b"1\n" * 10_000, b"2\n").pipe(decode_ndjson()), stream_config(1)) as stream:
        async with asyncio.timeout(DEADLINE):
            assert [item async for item in stream] == [1] * 10_000 + [2]
        assert stream.statistics().high_water == 1


@pytest.mark.parametrize("lines", [1, 1000])
async def test_a_source_waits_while_items_wait(lines: int) -> None:
    """The consumer has stopped: the chunk in hand, those in front of the decoder, and one more are all that is read."""
    source = Endless(lines)
    stream = to_async_iterable(from_async_iterable(source.generate).pipe(decode_ndjson()), stream_config(4))
    async with stream:
        assert await first(stream, 2) == [1, 1]
        pulled = await settled(lambda: source.pulled)
        assert pulled <= 10 + (6 if lines == 1 else 0)
        assert stream.statistics().high_water <= 4
    assert source.closed == 1


async def test_a_large_chunk_becomes_items_piece_by_piece() -> None:
    """A chunk of 4 MiB is not turned into objects all at once."""
    alive = peak = 0

    @dataclasses.dataclass
    class Item:
        n: int

        def __post_init__(self) -> None:
            nonlocal alive, peak
            alive += 1
            peak = max(peak, alive)

        def __del__(self) -> None:
            nonlocal alive
            alive -= 1

    body = b'{"n": 1}\n' * 400_000
    count = 0
    async with asyncio.timeout(60), to_async_iterable(chunks(body).pipe(decode_ndjson(Item))) as items:
        async for _ in items:
            count += 1
    assert count == 400_000
    assert peak < 20_000


async def test_the_loop_gets_turns() -> None:
    """Also amid a chunk for which there is room."""
    pushed: set[int] = set()
    stream = to_async_iterable(chunks(b"1\n" * 300_000).pipe(decode_ndjson()), stream_config(1_000_000))

    async def watch() -> None:
        while True:
            pushed.add(stream.statistics().pushed)
            await asyncio.sleep(0)

    task = asyncio.ensure_future(watch())
    async with asyncio.timeout(DEADLINE), stream:
        assert len([item async for item in stream]) == 300_000
    task.cancel()
    assert len(pushed - {0, 300_000}) >= 8


@pytest.mark.parametrize("strategy", STRATEGIES)
async def test_leaving_early_closes_the_source(strategy: str) -> None:
    """Break, in the middle of a chunk: the source's cleanup has run when the block is left."""
    source = Endless(5000)
    async with to_async_iterable(
        from_async_iterable(source.generate).pipe(decode_ndjson()), stream_config(4, strategy)
    ) as stream:
        assert await first(stream, 3) == [1, 1, 1]
    assert source.closed == 1
    assert len(asyncio.all_tasks()) == 1


async def test_take_closes_the_source() -> None:
    """An operator below that has enough ends it, in the middle of a chunk."""
    source = Endless(5000)
    pipeline = from_async_iterable(source.generate).pipe(decode_ndjson(), operators.take(3))
    assert await everything(pipeline) == [1, 1, 1]
    assert source.closed == 1


def test_take_stops_a_synchronous_source() -> None:
    """What comes after the last item that is wanted is not looked at, though it is wrong."""
    recorder = recorded(reactivex.of(b"1\n2\n", b"x\n").pipe(decode_ndjson(), operators.take(1)))
    assert (recorder.items, recorder.errors, recorder.completed) == ([1], [], 1)


def test_nothing_is_decoded_after_a_dispose() -> None:
    """A synchronous source goes on, but nobody looks at what it sends."""
    comments: list[str] = []
    source = reactivex.of(b"data: 1\n\n", b":late\n")
    recorder = recorded(source.pipe(decode_sse(on_comment=comments.append), operators.take(1)))
    assert recorder.items == [ReceivedEvent("1")]
    assert comments == []


def test_the_rest_of_a_large_chunk_is_not_decoded_after_a_dispose() -> None:
    """Only the piece of it that is in hand."""
    comments: list[str] = []
    subject: Subject[bytes] = Subject()
    recorder = recorded(subject.pipe(decode_sse(on_comment=comments.append), operators.take(1)))
    subject.on_next(b"data: 1\n\n" + b":\n" * 100_000)
    assert recorder.items == [ReceivedEvent("1")]
    assert len(comments) < 40_000


async def test_a_subscription_that_is_cancelled() -> None:
    """A consumer's task that is cancelled while items wait closes the source."""
    source = Endless(5000)
    entered = asyncio.Event()

    async def consume() -> None:
        async with to_async_iterable(
            from_async_iterable(source.generate).pipe(decode_ndjson()), stream_config(4)
        ) as stream:
            await first(stream, 1)
            entered.set()
            await asyncio.Event().wait()

    task = asyncio.ensure_future(consume())
    async with asyncio.timeout(DEADLINE):
        await entered.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert source.closed == 1


async def test_a_subject_on_the_loop_that_does_not_wait() -> None:
    """Up to the chunks that may wait it is fine; then the error says that a push cannot wait."""
    subject: Subject[bytes] = Subject()
    async with to_async_iterable(subject.pipe(decode_ndjson()), stream_config(1)) as stream:
        await subscribed(subject)
        for _ in range(AHEAD.capacity):
            subject.on_next(b"1\n" * 100)
        assert await first(stream, 800) == [1] * 800
        for _ in range(AHEAD.capacity + 1):
            subject.on_next(b"1\n")
        with pytest.raises(BackpressureError):
            async for _ in stream:
                pass


async def test_merged_with_a_source_on_a_thread() -> None:
    """Items of both arrive, none lost, in a buffer of one."""
    ours = chunks(*[b"1\n" * 500] * 4).pipe(decode_ndjson())
    stock = reactivex.from_iterable([b"2\n" * 500] * 4).pipe(decode_ndjson())
    items = await everything(ours.pipe(operators.merge(stock)), 1)
    assert sorted(items) == [1] * 2000 + [2] * 2000


async def test_beside_a_source_on_a_thread_items_come_on_that_thread() -> None:
    """Else a thread that waits inside of an operator's lock would meet the event loop at that lock."""
    started, release = threading.Event(), threading.Event()
    names: list[str] = []

    def stock() -> Iterator[int]:
        started.set()
        assert release.wait(DEADLINE)
        yield 2

    async def ours() -> AsyncIterator[bytes]:
        await until(started.is_set)
        yield b"1\n" * 3

    pipeline = from_async_iterable(ours).pipe(
        decode_ndjson(),
        operators.do_action(lambda item: names.append(threading.current_thread().name)),
        operators.merge(reactivex.from_iterable(stock())),
    )
    task = asyncio.ensure_future(everything(pipeline))
    await until(started.is_set)
    assert await settled(lambda: len(names)) == 0
    release.set()
    assert sorted(await task) == [1, 1, 1, 2]
    assert names[0] == "rxstream-worker"


def test_in_front_of_a_buffer_without_a_loop() -> None:
    """`with_buffer` below, no event loop: a stock source waits on its thread."""
    recorder = Recorder()
    reactivex.from_iterable([b"1\n" * 1000] * 3).pipe(
        decode_ndjson(), with_buffer({"capacity": 2, "strategy": "suspend"})
    ).subscribe(recorder.on_next, recorder.on_error, recorder.on_completed)
    until_now(lambda: recorder.completed or recorder.errors)
    assert (recorder.items, recorder.errors) == ([1] * 3000, [])


def test_virtual_time() -> None:
    """Chunks that come at their times become items at those times."""
    scheduler = TestScheduler()
    source = scheduler.create_hot_observable(
        ReactiveTest.on_next(210, b"1\n2"), ReactiveTest.on_next(220, b"0\n3\n"), ReactiveTest.on_completed(230)
    )
    results = scheduler.start(lambda: source.pipe(decode_ndjson()))
    assert results.messages == [
        ReactiveTest.on_next(210, 1),
        ReactiveTest.on_next(220, 20),
        ReactiveTest.on_next(220, 3),
        ReactiveTest.on_completed(230),
    ]


@every_format
def test_the_scheduler_is_forwarded(make: Any, body: bytes, items: list[Any]) -> None:
    """Whatever the subscriber asked for reaches the source."""
    seen: list[Any] = []

    def subscribe(observer: abc.ObserverBase[bytes], scheduler: abc.SchedulerBase | None = None) -> abc.DisposableBase:
        seen.append(scheduler)
        return Disposable()

    scheduler = ImmediateScheduler()
    Observable(subscribe).pipe(make()).subscribe(scheduler=scheduler)
    assert seen == [scheduler]


@every_format
async def test_each_subscription_has_its_own_decoder(make: Any, body: bytes, items: list[Any]) -> None:
    """One operator and one pipeline serve many at a time."""
    operator = make()
    pipeline = chunks(*in_threes(body)).pipe(operator)
    results = await asyncio.gather(*(everything(pipeline, 1) for _ in range(5)))
    assert results == [items] * 5
    assert recorded(reactivex.of(body).pipe(operator)).items == items
    assert recorded(reactivex.of(body).pipe(operator)).items == items


@pytest.mark.parametrize(
    ("make", "options", "error"),
    [
        (decode_ndjson, {"type": 5}, TypeError),
        (decode_ndjson, {"max_line": 0}, ValueError),
        (decode_json_array, {"max_depth": True}, TypeError),
        (decode_csv, {"columns": "ab"}, TypeError),
        (decode_csv, {"extra": "x"}, ValueError),
        (decode_sse, {"max_data": -1}, ValueError),
        (decode_sse, {"on_comment": "x"}, TypeError),
    ],
)
def test_arguments_are_checked_when_the_operator_is_built(
    make: Any, options: dict[str, Any], error: type[Exception]
) -> None:
    """Not in a subscription, where nobody could be told."""
    with pytest.raises(error):
        make(**options)


def test_columns_are_taken_when_the_operator_is_built() -> None:
    """What becomes of the caller's list later does not matter."""
    columns = ["a"]
    operator = decode_csv(columns=columns, header=False)
    columns.append("b")
    assert recorded(reactivex.of(b"1\n").pipe(operator)).items == [{"a": "1"}]


@pytest.mark.parametrize("wrong", ["text", None, 5])
async def test_chunks_that_are_no_bytes(wrong: Any) -> None:
    """Are an error of the stream, through either way of delivery."""
    source: Observable[Any] = reactivex.of(b"1\n", wrong)
    with pytest.raises(TypeError, match="a decoder takes bytes"):
        await everything(source.pipe(decode_ndjson()))
    recorder = recorded(source.pipe(decode_ndjson()))
    assert recorder.items == [1]
    assert [type(error) for error in recorder.errors] == [TypeError]


async def test_a_comment_hook_that_raises() -> None:
    """Its error is the stream's."""

    def hook(text: str) -> None:
        raise KeyError(text)

    for source in (chunks(b":a\n"), reactivex.of(b":a\n")):
        with pytest.raises(KeyError, match="a"):
            await everything(source.pipe(decode_sse(on_comment=hook)))
    assert len(recorded(reactivex.of(b":a\n", b":b\n").pipe(decode_sse(on_comment=hook))).errors) == 1


async def test_nothing_is_kept_after_the_end() -> None:
    """The observer and the items are let go of."""

    @dataclasses.dataclass
    class Item:
        n: int

    alive: list[weakref.ref[Any]] = []
    for source in (chunks(b'{"n":1}\n'), reactivex.of(b'{"n":1}\n')):
        items = await everything(source.pipe(decode_ndjson(Item)))
        alive += map(weakref.ref, items)
        del items
    await asyncio.sleep(0)
    await until(lambda: gc.collect() >= 0 and not any(ref() for ref in alive))


async def test_a_file(tmp_path: Path) -> None:
    """From the disk, in chunks that do not care for lines."""
    rows = [{"n": n, "text": "ä\n" * (n % 7)} for n in range(2000)]
    (tmp_path / "rows.ndjson").write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    (tmp_path / "rows.json").write_text(json.dumps(rows, indent=2))
    file: Callable[[str], Observable[bytes]] = lambda name: from_file(tmp_path / name, chunk_size=1000)  # noqa: E731
    assert await everything(file("rows.ndjson").pipe(decode_ndjson())) == rows
    assert await everything(file("rows.json").pipe(decode_json_array())) == rows
    with pytest.raises(FileNotFoundError):
        await everything(file("none").pipe(decode_ndjson()))


def test_decode_errors_are_of_the_tree() -> None:
    """One `except` catches all that this package raises by itself."""
    assert issubclass(DecodeError, RxStreamError)
