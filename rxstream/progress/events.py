"""Progress as server-sent events: what one request does, another one shows."""

from __future__ import annotations

import asyncio
import dataclasses
import threading
from collections.abc import AsyncIterator

from rxstream.formats import ServerSentEvent
from rxstream.loops import resolve
from rxstream.progress.report import Progress

__all__ = ["ProgressEvents", "progress_events"]


class ProgressEvents:
    """Takes a stream's reports as its `on_progress`, and gives them to any number of readers as events.

    Made by `progress_events`. An async iterable: each reader gets the latest report at once, then each newer one, and
    ends after the last. A reader that is slow skips reports, and so holds nobody up.
    """

    def __init__(self, event: str = "progress") -> None:
        ServerSentEvent("", event=event)  # checks it
        self._event = event
        self._latest: Progress | None = None
        self._count = 0
        self._lock = threading.Lock()
        self._waiting: list[tuple[asyncio.AbstractEventLoop, asyncio.Future[None]]] = []  # one for each idle reader

    @property
    def latest(self) -> Progress | None:
        """The latest report; None before the first."""
        return self._latest

    def __call__(self, progress: Progress) -> None:
        """Takes a report. Returns at once; from any thread."""
        with self._lock:
            self._latest = progress
            self._count += 1
            waiting, self._waiting = self._waiting, []
        for loop, future in waiting:
            resolve(loop, future)

    async def __aiter__(self) -> AsyncIterator[ServerSentEvent]:
        seen = 0
        while True:
            count, latest = await self._after(seen)
            if latest is not None:
                seen = count
                yield self._as_event(latest)
                if latest.done:
                    return

    async def _after(self, seen: int) -> tuple[int, Progress | None]:
        """Waits for a report that the reader has not seen."""
        loop = asyncio.get_running_loop()
        with self._lock:
            if self._count > seen:
                return self._count, self._latest
            entry = loop, loop.create_future()
            self._waiting.append(entry)
        try:
            await entry[1]
        finally:
            with self._lock:
                if entry in self._waiting:
                    self._waiting.remove(entry)
        return seen, None

    def _as_event(self, progress: Progress) -> ServerSentEvent:
        data = {**dataclasses.asdict(progress), "percent": progress.percent}
        return ServerSentEvent(data, event=self._event)


def progress_events(*, event: str = "progress") -> ProgressEvents:
    """A place where one stream leaves its progress, and where others read it, as server-sent events.

    Args:
        event: The type of the events. Their data is a `Progress` as JSON, and its `percent`.

    Returns:
        An `on_progress` for `with_progress`, and an async iterable for `sse`, both.

    Raises:
        TypeError, ValueError: The type cannot be one.

    It keeps the latest report and nothing else. Any number of readers, before, during and after the stream: each gets
    the latest at once, then what is new when it comes for more, then the last one, and ends. Use one for each stream,
    in the process where that runs. A browser reconnects at the end of an event stream: `close()` it at `data.done`.

    Example:
        >>> feed = progress_events()
        >>> rows = source.pipe(with_progress("import", total=50_000, every=0.5, on_progress=feed))
        >>> @app.get("/import/progress")
        ... async def progress():
        ...     return await sse(feed)
    """
    return ProgressEvents(event)
