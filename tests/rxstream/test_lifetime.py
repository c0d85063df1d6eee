"""Cancellation at every step, cleanup that hangs, many loops, other loops, and processes that fork."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import reactivex as rx
import uvloop
from reactivex import Observable
from reactivex import operators as ops

from rxstream import for_each, from_async_iterable, from_file, loops, to_async_iterable
from rxstream.buffering import with_buffer
from rxstream.concurrency import map_async
from tests.rxstream.support import (
    DEADLINE,
    STRATEGIES,
    Counted,
    Recorder,
    everything,
    first,
    numbers,
    open_files,
    stream_config,
    until,
    workers,
)


class Tracked:
    """An async source that takes turns, and knows how often it was opened and closed."""

    def __init__(self) -> None:
        self.opened = self.closed = 0

    async def __aiter__(self) -> AsyncIterator[int]:
        """A few items with awaits around and between them."""
        await asyncio.sleep(0)
        self.opened += 1
        try:
            for number in range(4):
                yield number
                await asyncio.sleep(0)
        finally:
            self.closed += 1
            await asyncio.sleep(0)


async def a_turn(item: Any) -> Any:
    """An async function."""
    await asyncio.sleep(0)
    return item


Consume = Callable[[Observable[Any], Any, Callable[[Any], object]], Awaitable[Any]]


async def by_item(source: Observable[Any], buffer: Any, lost: Callable[[Any], object]) -> None:
    """Iterates in a block."""
    async with to_async_iterable(source, buffer, on_dropped=lost) as items:
        async for _ in items:
            await asyncio.sleep(0)


async def by_batch(source: Observable[Any], buffer: Any, lost: Callable[[Any], object]) -> None:
    """Iterates over batches without a block."""
    stream = to_async_iterable(source, buffer, on_dropped=lost)
    try:
        async for _ in stream.batches():
            await asyncio.sleep(0)
    finally:
        await stream.aclose()


async def one_by_one(source: Observable[Any], buffer: Any, lost: Callable[[Any], object]) -> None:
    """`for_each`, one call at a time."""
    await for_each(source, a_turn, buffer=buffer)


async def many_at_once(source: Observable[Any], buffer: Any, lost: Callable[[Any], object]) -> None:
    """`for_each`, several calls at a time."""
    await for_each(source, a_turn, buffer=buffer, max_concurrent=3)


async def mapped(source: Observable[Any], buffer: Any, lost: Callable[[Any], object]) -> None:
    """Through `map_async` and a second buffer."""
    await by_item(source.pipe(map_async(a_turn, max_concurrent=2), with_buffer(capacity=2)), buffer, lost)


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("consume", [by_item, by_batch, one_by_one, many_at_once, mapped])
async def test_cancelled_at_every_step(consume: Consume, strategy: str) -> None:
    """Wherever the cancellation lands: it is passed on, the source is closed, and no task and no thread is left."""
    turns, finished = 0, False
    while not finished and turns < 120:
        source = Tracked()
        before = asyncio.all_tasks()
        task = asyncio.ensure_future(consume(from_async_iterable(source), stream_config(2, strategy), lambda _: None))
        for _ in range(turns):
            await asyncio.sleep(0)
        finished = task.done()
        task.cancel()
        await asyncio.wait([task], timeout=DEADLINE)
        assert task.done()
        assert finished or task.cancelled()
        await only(before)
        assert source.opened == source.closed
        turns += 1
    assert finished or strategy == "suspend" or consume is mapped  # threads take as many turns as they like


async def only(tasks: set[asyncio.Task[Any]]) -> None:
    """Waits until no other tasks are there."""
    await until(lambda: asyncio.all_tasks() == tasks)


async def test_cancelled_at_every_step_of_a_file(tmp_path: Path) -> None:
    """A reader that is cancelled leaves no file open, wherever it was."""
    path = tmp_path / "file"
    path.write_bytes(bytes(300))
    for turns in range(60):
        task = asyncio.ensure_future(everything(from_file(path, chunk_size=100), 1))
        for _ in range(turns):
            await asyncio.sleep(0 if turns % 2 else 0.0002)
        task.cancel()
        await asyncio.wait([task], timeout=DEADLINE)
        assert task.done()
    await until(lambda: str(path) not in open_files())


async def test_a_cancellation_is_no_failure() -> None:
    """A consumer that is cancelled does not make the stream fail, and every item is accounted for."""
    stream = to_async_iterable(rx.range(0, 20), stream_config(4))

    async def consume() -> None:
        async with stream:
            async for _ in stream:
                await asyncio.sleep(0.001)

    task = asyncio.ensure_future(consume())
    await until(lambda: stream.statistics().delivered > 0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    found = stream.statistics()
    assert stream._boundary.error is None
    assert found.length == 0
    assert found.pushed == found.delivered + found.discarded


async def test_a_source_that_is_cancelled_from_outside_has_not_failed() -> None:
    """As at the end of `asyncio.run`: no error is made up, the generator is closed."""
    source, seen = Counted(), Recorder()
    from_async_iterable(source.generate).subscribe(seen.on_next, seen.on_error, seen.on_completed)
    await until(lambda: seen.items)
    for task in asyncio.all_tasks() - {asyncio.current_task()}:
        task.cancel()
    await until(lambda: source.closed == 1)
    await until(lambda: len(asyncio.all_tasks()) == 1)
    assert (seen.errors, seen.completed) == ([], 0)


@pytest.mark.parametrize("stubborn", [False, True])
async def test_a_cleanup_that_hangs(
    stubborn: bool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A `finally` that sleeps for an hour is cancelled again once its time is up, and reported; then it is left."""
    monkeypatch.setattr(loops, "CLEANUP_TIMEOUT", 0.02)
    let_go = asyncio.Event()

    async def source() -> AsyncIterator[int]:
        try:
            while True:
                yield 1
        finally:
            while not let_go.is_set():
                try:
                    await asyncio.sleep(3600)
                except asyncio.CancelledError:
                    if not stubborn:
                        raise

    async with asyncio.timeout(DEADLINE):
        async with to_async_iterable(from_async_iterable(source), stream_config(1)) as items:
            await first(items, 2)
        reports = [record.message for record in caplog.records if record.name == "rxstream"]
        assert len(reports) == 1
        assert "a source did not end within 0.02 s of its cancellation" in reports[0]
        let_go.set()
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
        await until(lambda: len(asyncio.all_tasks()) == 1)


def test_a_hundred_loops() -> None:
    """One pipeline object on a hundred loops, one after the other: nothing is bound to a loop that is gone."""
    source = rx.merge(from_async_iterable(lambda: numbers(5)), rx.range(0, 5), rx.timer(0.0))
    source = source.pipe(with_buffer(capacity=2), map_async(a_turn, max_concurrent=2))
    for _ in range(100):
        assert len(asyncio.run(everything(source, 3))) == 11


def test_two_loops_in_two_threads() -> None:
    """One pipeline object on two loops at the same time."""
    source = rx.from_iterable(range(500)).pipe(with_buffer(capacity=2), map_async(a_turn, max_concurrent=2))
    results: list[list[int]] = []
    threads = [
        threading.Thread(target=lambda: results.append(asyncio.run(everything(source, 3))), daemon=True)
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(2 * DEADLINE)
    assert results == [list(range(500))] * 2


async def every_kind() -> None:
    """A bit of everything, for another event loop."""
    assert await everything(from_async_iterable(lambda: numbers(300)), 3) == list(range(300))
    assert await everything(rx.from_iterable(range(300)), 3) == list(range(300))
    assert await everything(rx.interval(0.001).pipe(ops.take(5), ops.delay(0.001)), 1) == list(range(5))
    assert await everything(from_file("/dev/null")) == []
    merged = rx.merge(from_async_iterable(lambda: numbers(50)), rx.range(0, 50), rx.timer(0.001))
    for strategy in STRATEGIES:
        assert len(await everything(merged, 200, strategy)) == 101
    seen, source = Recorder(), Counted()
    from_async_iterable(lambda: numbers(9)).pipe(with_buffer(capacity=1)).subscribe(
        seen.on_next, seen.on_error, seen.on_completed
    )
    await until(seen.over.is_set)
    assert seen.items == list(range(9))
    async with to_async_iterable(from_async_iterable(source.generate), stream_config(2)) as items:
        await first(items, 3)
    assert source.closed == 1
    await until(lambda: not workers())


def test_uvloop() -> None:
    """Sources, timers, threads and cleanup on uvloop."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(every_kind())


def test_asyncio_in_debug_mode() -> None:
    """The same on asyncio, which in debug mode refuses calls from the wrong thread."""
    with asyncio.Runner(debug=True) as runner:
        runner.run(every_kind())


FORK = """
import asyncio, os, warnings
warnings.simplefilter("ignore")
import reactivex, rxstream

async def main():
    both = reactivex.merge(reactivex.range(0, 50), rxstream.from_async_iterable(numbers))
    async with rxstream.to_async_iterable(both, {"capacity": 2}) as items:
        return len([item async for item in items])

async def numbers():
    for number in range(50):
        yield number

assert asyncio.run(main()) == 100
child = os.fork()
if child == 0:
    os._exit(0 if asyncio.run(main()) == 100 else 3)
assert asyncio.run(main()) == 100
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
"""


def python(code: str) -> subprocess.CompletedProcess[str]:
    """Runs a script."""
    command = [sys.executable, "-c", code]
    return subprocess.run(command, capture_output=True, text=True, timeout=3 * DEADLINE, check=False)


def test_fork_after_import_and_use() -> None:
    """A process that forks goes on in the parent and in the child."""
    done = subprocess.run(
        [sys.executable, "-c", FORK], capture_output=True, text=True, timeout=3 * DEADLINE, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


EXIT = """
import asyncio, reactivex, rxstream

async def main():
    stream = rxstream.to_async_iterable(reactivex.from_iterable(iter(int, 1)), {"capacity": 2})
    await anext(stream)

asyncio.run(main())
print("done")
"""


def test_a_process_ends_with_a_stream_left_open() -> None:
    """A worker that waits for ever does not keep the process."""
    done = subprocess.run(
        [sys.executable, "-c", EXIT], capture_output=True, text=True, timeout=3 * DEADLINE, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "done\n", "")
