"""How soon things happen: in turns of the loop, or beside what the machine needs for the least that could be done.

An absolute time would fail on a busy machine. Here the same machine is asked, in between, how long the same takes
without us, and medians are compared: ours may take the promised time more.
"""

from __future__ import annotations

import asyncio
import threading
import time
from statistics import median

import reactivex as rx
from reactivex.subject import Subject

from rxstream import from_async_iterable, to_async_iterable
from tests.rxstream.support import DEADLINE, Counted, first, stream_config, subscribed, until

RELEASE = 0.010
"""Seconds within which a suspended producer is released, beyond what it takes to wake a thread."""

LAG = 0.050
"""Seconds by which a stalled consumer may delay the event loop."""


async def test_a_suspended_coroutine_is_released_within_a_few_turns() -> None:
    """A source that waits for room is closed by the third turn of the loop after the dispose."""
    source = Counted()
    stream = to_async_iterable(from_async_iterable(source.generate), stream_config(2))
    async with stream:
        await until(lambda: stream.statistics().pushed == 2)
        await asyncio.sleep(0.01)  # it waits
        stream._boundary.disconnect()
        for _ in range(3):
            await asyncio.sleep(0)
        assert source.closed == 1


async def test_a_suspended_thread_is_released_at_once() -> None:
    """A thread that waits in `on_next` goes on 10 ms after the dispose, beside one that waits for a lock."""
    ours, bare = [], []
    for _ in range(15):
        ours.append(await _release_of_a_push())
        bare.append(await asyncio.to_thread(_release_of_a_lock))
    assert median(ours) < RELEASE + 10 * median(bare), (ours, bare)


async def _release_of_a_push() -> float:
    subject, ended = Subject[int](), list[float]()

    def push() -> None:
        subject.on_next(1)
        subject.on_next(2)
        ended.append(time.perf_counter())

    thread = threading.Thread(target=push)
    stream = to_async_iterable(subject, stream_config(1))
    async with stream:
        await subscribed(subject)
        thread.start()
        await until(lambda: stream.statistics().pushed == 1)
        await asyncio.sleep(0.01)  # it waits
        began = time.perf_counter()
        stream._boundary.disconnect()
        await asyncio.to_thread(thread.join, DEADLINE)
    return ended[0] - began


def _release_of_a_lock() -> float:
    lock, ended = threading.Lock(), list[float]()
    lock.acquire()

    def wait() -> None:
        lock.acquire()
        ended.append(time.perf_counter())

    thread = threading.Thread(target=wait)
    thread.start()
    time.sleep(0.01)  # it waits
    began = time.perf_counter()
    lock.release()
    thread.join(DEADLINE)
    return ended[0] - began


async def test_a_stalled_consumer_does_not_hold_the_loop_up() -> None:
    """While consumers stall, a timer of the loop comes as soon as it does without them, give or take 50 ms."""
    sources = [rx.from_iterable(Counted()), from_async_iterable(Counted().generate), rx.interval(0.0005)]
    idle, stalled = list[float](), list[float]()
    for _ in range(10):
        idle += [await _lag() for _ in range(5)]
        streams = [to_async_iterable(source, stream_config(1)) for source in sources]
        async with streams[0], streams[1], streams[2]:
            for stream in streams:
                await first(stream, 1)
            stalled += [await _lag() for _ in range(5)]
    worst = len(idle) * 9 // 10
    assert sorted(stalled)[worst] < LAG + 10 * sorted(idle)[worst], (idle, stalled)


async def _lag() -> float:
    began = time.perf_counter()
    await asyncio.sleep(0.001)
    return time.perf_counter() - began - 0.001
