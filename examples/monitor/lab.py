"""A stream to be read too slowly, once with each strategy, so that what a full buffer does can be watched.

Browsers read ahead, as much as comes, whatever the page does with it: 20 MiB and more, before TCP feels anything. So
the page says how many events it has room for, and is sent no more than that. All else is as it is with any slow client:
what waits for it waits in the buffer, and what finds that full is dropped, or makes the source wait.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from typing import Any

import reactivex
from quart import Blueprint, Response, current_app, request
from reactivex import Observable, operators

from quart_adapter import RxStream, StreamInfo, UploadError, sse
from rxstream import AsyncStream, BufferConfig, BufferStatistics, to_async_iterable
from rxstream.operators import with_metrics

EVERY = 0.02  # seconds
CAPACITY = 64
LANES = {
    "sliding": ("lab_sliding", BufferConfig(CAPACITY, "sliding")),
    "dropping": ("lab_dropping", BufferConfig(CAPACITY, "dropping")),
    "suspend": ("lab_suspend", BufferConfig(CAPACITY, "suspend")),
}
# Events that a page may have asked for and not been sent.
ASKED = 500


class Lane:
    """One stream that is being read: its buffer, and how many events its reader has asked for."""

    def __init__(self, name: str, buffer: BufferConfig) -> None:
        self.asked = 0
        self._more = asyncio.Event()
        self._items: AsyncStream[dict[str, Any]] = to_async_iterable(readings().pipe(with_metrics(name)), buffer)

    def statistics(self) -> BufferStatistics:
        return self._items.statistics()

    def ask(self, count: int) -> None:
        self.asked = min(ASKED, self.asked + count)
        self._more.set()

    async def events(self) -> AsyncGenerator[dict[str, Any], None]:
        """Takes an event out of the buffer when it is asked for, and not before."""
        async with self._items as items:
            while True:
                while not self.asked:
                    self._more.clear()
                    await self._more.wait()
                yield await anext(items)
                self.asked -= 1


class Lab:
    """The lanes that are read now, by the names of their streams: one reader for each."""

    def __init__(self) -> None:
        self._lanes: dict[str, Lane] = {}

    def buffer_of(self, stream: StreamInfo) -> BufferStatistics:
        """The buffer that holds a stream's events: the lab's own, in place of the one place in front of the socket."""
        lane = self._lanes.get(stream.name or "")
        return stream.statistics if lane is None else lane.statistics()

    def routes(self) -> Blueprint:
        routes = Blueprint("lab", __name__)

        @routes.get("/lab/<any(sliding, dropping, suspend):strategy>")
        async def read(strategy: str) -> Response:
            name, buffer = LANES[strategy]
            if any(stream.name == name for stream in RxStream.of(current_app).streams()):
                raise UploadError(409, "taken", "another page is reading this stream")
            lane = self._lanes[name] = Lane(name, buffer)
            return await sse(lane.events(), buffer=BufferConfig(1, "suspend"), name=name)

        @routes.post("/lab/ask")
        async def ask() -> tuple[str, int]:
            count = request.args.get("count", 0, type=int)
            for lane in self._lanes.values():
                lane.ask(max(0, count))
            return "", 204

        return routes


def readings() -> Observable[dict[str, Any]]:
    """Fifty times a second: a number, the time, and the CPU time that the monitor has used until then."""
    return reactivex.interval(EVERY).pipe(operators.map(reading))


def reading(number: int) -> dict[str, Any]:
    return {"n": number, "at": time.time(), "cpu": time.process_time()}
