"""What every application shares, so that contenders differ in nothing but the way they stream."""

from __future__ import annotations

import asyncio
import gc
import os
import time
from collections.abc import AsyncIterator, Callable
from itertools import islice
from pathlib import Path
from typing import Final

from benchmarks.data import Row, make_event, make_row, make_rows

_ROWS: Final[list[Row]] = make_rows(int(os.environ.get("BENCH_ROWS", "0")))

# The rows are the measurement's input, not its garbage: no collection shall walk them.
gc.collect()
gc.freeze()


async def rows(limit: str | None) -> AsyncIterator[Row]:
    """Yield the prepared rows, or the first `limit` of them: the one source of every timed export."""
    for row in islice(_ROWS, int(limit) if limit else None):
        yield row


async def fresh_rows(count: int) -> AsyncIterator[Row]:
    """Yield `count` rows, each made when it is asked for, so that the source itself holds nothing."""
    for index in range(count):
        yield make_row(index)


async def publish(push: Callable[[str], object], events: int) -> dict[str, float]:
    """Push the events, one a turn of the event loop, and tell when the first one went.

    One a turn lets every client's stream run between two events, so no contender's queue fills and each delivers all.
    """
    started = time.monotonic()
    for index in range(events):
        push(make_event(index))
        await asyncio.sleep(0)
    return {"started": started}


def admin(clients: int) -> dict[str, int]:
    """Return the figures of this process: bytes resident and at the peak, tasks, and subscribed clients."""
    gc.collect()
    return {"rss": _status("VmRSS"), "peak": _status("VmHWM"), "tasks": len(asyncio.all_tasks()), "clients": clients}


def _status(field: str) -> int:
    status = Path("/proc/self/status")
    if not status.exists():
        return 0
    line = next(line for line in status.read_text().splitlines() if line.startswith(field))
    return int(line.split()[1]) * 1024
