"""What an app under test tells about itself: counters of its streams, tasks, threads, memory, under `/admin`."""

from __future__ import annotations

import asyncio
import gc
import resource
import threading
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

from quart import Quart, request

SECONDS = 20.0


class Watch:
    """Counters by key, a key for each test; whoever waits for one is woken when it changes."""

    def __init__(self) -> None:
        self._counters: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self._changed = asyncio.Event()
        self._lock = threading.Lock()
        self.loop: asyncio.AbstractEventLoop | None = None

    def count(self, key: str, counter: str) -> None:
        """One more. From any thread."""
        with self._lock:
            self._counters[key][counter] += 1
        if threading.current_thread() is threading.main_thread():
            self._changed.set()
        elif self.loop is not None and not self._changed.is_set():
            self.loop.call_soon_threadsafe(self._changed.set)

    def get(self, key: str, counter: str) -> int:
        """The value now."""
        return self._counters[key][counter]

    async def until(self, key: str, counter: str, value: int) -> None:
        """Waits until a counter has reached a value. Garbage counts as gone: what closes it then may be awaited."""
        while self.get(key, counter) < value:
            self._changed.clear()
            try:
                await asyncio.wait_for(self._changed.wait(), 0.2)
            except TimeoutError:
                gc.collect()

    async def settled(self, key: str, counter: str) -> int:
        """Waits until a counter has rested for a while."""
        while True:
            before = self.get(key, counter)
            await asyncio.sleep(0.3)
            if before == self.get(key, counter):
                return before

    def total(self, counter: str) -> int:
        """The sum over all keys."""
        return sum(counters[counter] for counters in self._counters.values())

    def state(self, key: str) -> dict[str, Any]:
        """The counters of a key, and what there is of the process."""
        return {
            **self._counters[key],
            "tasks": sum(not _of_server(task) for task in asyncio.all_tasks()),
            "threads": threading.active_count(),
            "peak_rss": _peak_rss(),
        }


def watched(app: Quart) -> Watch:
    """Adds the routes under `/admin`."""
    watch = Watch()

    @app.before_serving
    async def start() -> None:
        watch.loop = asyncio.get_running_loop()

    @app.get("/admin/state")
    async def state() -> dict[str, Any]:
        gc.collect()
        return watch.state(request.args["key"])

    @app.get("/admin/until")
    async def until() -> tuple[dict[str, Any], int]:
        key = request.args["key"]
        wanted = {name: int(value) for name, value in request.args.items() if name != "key"}
        try:
            async with asyncio.timeout(SECONDS):
                for counter, value in wanted.items():
                    await watch.until(key, counter, value)
        except TimeoutError:
            return {"wanted": wanted, **watch.state(key)}, 504
        return watch.state(key), 200

    @app.get("/admin/settled")
    async def settled() -> dict[str, int]:
        async with asyncio.timeout(SECONDS):
            return {"value": await watch.settled(request.args["key"], request.args["counter"])}

    return watch


def _peak_rss() -> int:
    """Bytes of memory at the peak. What `getrusage` says may be the peak of the process that started this one."""
    status = Path("/proc/self/status")
    if status.exists():
        return next(int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith("VmHWM")) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _of_server(task: asyncio.Task[Any]) -> bool:
    """Whether the task is Hypercorn's own: it keeps some for each connection, for a while after its end."""
    code = getattr(task.get_coro(), "cr_code", None)
    return code is not None and "hypercorn" in Path(code.co_filename).parts
