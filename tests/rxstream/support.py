"""What the tests of the core share: sources that count, observers that record, and waiting with a deadline."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from typing import Any

from reactivex import Observable
from reactivex.subject import Subject

from rxstream.sinks import AsyncStream, to_async_iterable

DEADLINE = 20.0
"""Seconds after which a test has hung: far more than any takes, on the slowest machine."""

STRATEGIES = ("sliding", "dropping", "suspend")


async def numbers(count: int, start: int = 0) -> AsyncIterator[int]:
    """Counts, without ever suspending."""
    for number in range(start, start + count):
        yield number


async def everything(source: Observable[Any], capacity: int = 16, strategy: str = "suspend") -> list[Any]:
    """All items of a stream, within the deadline."""
    async with asyncio.timeout(DEADLINE), to_async_iterable(source, stream_config(capacity, strategy)) as items:
        return [item async for item in items]


def stream_config(capacity: int, strategy: str = "suspend") -> dict[str, Any]:
    """A buffer as a mapping."""
    return {"capacity": capacity, "strategy": strategy}


def push_all(subject: Subject[Any], items: Iterable[Any]) -> None:
    """Pushes items into a subject."""
    for item in items:
        subject.on_next(item)


def pusher(subject: Subject[Any], items: Iterable[Any]) -> threading.Thread:
    """A thread, not yet started, that does so."""
    return threading.Thread(target=push_all, args=(subject, items), daemon=True)


async def subscribed(*subjects: Subject[Any]) -> None:
    """Waits until somebody has subscribed to each."""
    await until(lambda: all(subject.observers for subject in subjects))


async def until(condition: Callable[[], object]) -> None:
    """Lets the loop turn until something holds."""
    async with asyncio.timeout(DEADLINE):
        while not condition():  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.001)


def until_now(condition: Callable[[], object]) -> None:
    """Waits, on this thread, until something holds."""
    end = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.001)


async def settled(count: Callable[[], int]) -> int:
    """A count, once it has not moved for a good while of turns: whoever moves it is suspended."""
    last, still = count(), 0
    async with asyncio.timeout(DEADLINE):
        while still < 30:
            await asyncio.sleep(0.001)
            last, still = (last, still + 1) if count() == last else (count(), 0)
    return last


def workers() -> list[threading.Thread]:
    """The threads of ours that are alive."""
    return [thread for thread in threading.enumerate() if thread.name in ("rxstream-worker", "rxstream-circuit")]


class Counted:
    """An iterable of numbers that knows how many were pulled and whether it was closed, as an async one or not."""

    def __init__(self, count: int = 1_000_000_000) -> None:
        self.count = count
        self.pulled = 0
        self.closed = 0

    def __iter__(self) -> Iterator[int]:
        for number in range(self.count):
            self.pulled += 1
            yield number

    async def generate(self) -> AsyncIterator[int]:
        """The same, asynchronously."""
        try:
            for number in range(self.count):
                self.pulled += 1
                yield number
        finally:
            self.closed += 1


class Source:
    """Items, and then an end, a failure or nothing; counts starts and cleanups."""

    def __init__(self, *items: Any, then: Exception | str = "end") -> None:
        self.items, self.then = items, then
        self.started = self.cleaned = 0
        self.begun = asyncio.Event()

    async def __call__(self) -> AsyncIterator[Any]:
        self.started += 1
        self.begun.set()
        try:
            for item in self.items:
                yield item
            if isinstance(self.then, Exception):
                raise self.then
            if self.then == "wait":
                await asyncio.Event().wait()
        finally:
            self.cleaned += 1


class Recorder:
    """An observer that keeps all that it is sent, and notices calls that overlap."""

    def __init__(self) -> None:
        self.items: list[Any] = []
        self.errors: list[Exception] = []
        self.completed = 0
        self.overlaps = 0
        self.over = threading.Event()
        self._inside = threading.Lock()

    def on_next(self, item: Any) -> None:
        """Keeps an item."""
        self._signal(lambda: self.items.append(item))

    def on_error(self, error: Exception) -> None:
        """Keeps the failure."""
        self._signal(lambda: self.errors.append(error))
        self.over.set()

    def on_completed(self) -> None:
        """Counts the end."""

        def count() -> None:
            self.completed += 1

        self._signal(count)
        self.over.set()

    def _signal(self, keep: Callable[[], None]) -> None:
        alone = self._inside.acquire(blocking=False)
        if not alone:
            self.overlaps += 1
        time.sleep(0)  # a chance for other threads to get in here
        keep()
        if alone:
            self._inside.release()


async def first(stream: AsyncStream[Any], count: int) -> list[Any]:
    """The first items of a stream that is left open."""
    async with asyncio.timeout(DEADLINE):
        return [await anext(stream) for _ in range(count)]


def open_files() -> list[str]:
    """The files that this process has open."""
    found = []
    for number in os.listdir("/proc/self/fd"):
        try:
            found.append(os.readlink(f"/proc/self/fd/{number}"))
        except OSError:
            continue
    return found
