"""What runs while the app is served: the sampler, the store, the archive, the imports, and the news of them all."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from reactivex import Subject

from quart_adapter import RxStream, StreamInfo
from rxstream import BufferStatistics, ServerSentEvent

from .archive import Archive
from .imports import Import, Imports
from .lab import Lab
from .latency import Latency, as_rows
from .live import LISTED, tell_state
from .sampler import Probe
from .store import Row, Store

log = logging.getLogger(__name__)


class Service:
    """Made with the app; `running()` is its life.

    Args:
        streams: The app's streams, which pages are shown.
        lab: Knows more of some of them.
        latency: What the circuit is around.
        database: The SQLite file. Imported histories are in a folder beside it.
        interval: Seconds from one sample to the next.
        keep: How many samples are kept.
        max_import: Bytes of a file that is imported.
    """

    store: Store
    archive: Archive
    imports: Imports

    def __init__(
        self,
        streams: RxStream,
        lab: Lab,
        latency: Latency,
        *,
        database: str | Path,
        interval: float,
        keep: int,
        max_import: int,
    ) -> None:
        self.samples: Subject[Row] = Subject()
        self.news: Subject[ServerSentEvent] = Subject()
        self._changes = 0
        self._streams = streams
        self._lab = lab
        self._latency = latency
        self._database = Path(database)
        self._interval = interval
        self._keep = keep
        self._max_import = max_import

    async def running(self) -> AsyncGenerator[None, None]:
        """Opens what there is to open, runs until the server stops, and closes it."""
        self.store = await Store.open(self._database, keep=self._keep)
        self.archive = await Archive.open(self._database.with_name(self._database.name + ".imports"))
        self.imports = Imports(self.archive, max_size=self._max_import, report=self._tell_import)
        probe = await asyncio.to_thread(Probe)
        tasks = [
            asyncio.create_task(sample(probe, self.store, self.samples, interval=self._interval)),
            asyncio.create_task(tell_state(self.news, self._state)),
            asyncio.create_task(self._latency.run()),
        ]
        yield
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        await self.store.close()

    def changed(self) -> None:
        """The list of histories is not what it was."""
        self._changes += 1

    def _tell_import(self, job: Import) -> None:
        if job.state == "done":
            self.changed()
        self.news.on_next(ServerSentEvent(asdict(job), event="import"))

    def _state(self) -> dict[str, Any]:
        streams = self._streams.streams()
        return {
            "live": len(streams),
            "streams": [as_row(stream, self._lab.buffer_of(stream)) for stream in streams[:LISTED]],
            "circuits": as_rows(),
            "latency": self._latency.state(),
            # Again, for a page that was too slow for the news of them, or came later.
            "imports": [asdict(job) for job in self.imports.recent.values()],
            "histories": self._changes,
        }


def as_row(stream: StreamInfo, buffer: BufferStatistics) -> dict[str, Any]:
    """A stream as the page lists it. What was taken out of its buffer and is not encoded yet waits for the client."""
    return {
        "name": stream.name,
        "format": stream.format,
        "seconds": stream.seconds,
        "items": stream.items,
        "bytes": stream.bytes,
        "sending": buffer.delivered - stream.items,
        "buffer": asdict(buffer),
    }


async def sample(probe: Probe, store: Store, feed: Subject[Row], *, interval: float) -> None:
    """Samples for ever; one sampler serves every client. A reading that fails is a gap, and is logged."""
    clock = asyncio.get_running_loop().time
    due = clock()
    while True:
        # After one that was late, not at once: over too short a time, the kernel's counters say nothing.
        due = max(due + interval, clock() + interval / 2)
        await asyncio.sleep(due - clock())
        try:
            row = await store.append(await asyncio.to_thread(probe.read))
        except Exception:
            log.exception("a sample could not be taken or kept")
        else:
            feed.on_next(row)
