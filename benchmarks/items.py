"""Moves small items inside one process: `python -m benchmarks.items CONTENDER COUNT`. No HTTP in here.

Every contender reads the same source with the same bound of 128 and adds the items up, one at a time.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Final

_CAPACITY: Final = 128
_DONE: Final[Any] = object()

Result = tuple[int, int]


async def source(count: int) -> AsyncIterator[int]:
    """Yield the items: the asynchronous source of the row `items-async`."""
    for item in range(count):
        yield item


async def queue_async(count: int) -> Result:
    """`asyncio.Queue`, a producer task that reads the asynchronous source, and a consumer."""
    queue: asyncio.Queue[Any] = asyncio.Queue(_CAPACITY)

    async def produce() -> None:
        async for item in source(count):
            await queue.put(item)
        await queue.put(_DONE)

    producer = asyncio.create_task(produce())
    result = await _add_up(queue.get)
    await producer
    return result


async def queue_iterable(count: int) -> Result:
    """`asyncio.Queue`, a producer task that reads a plain iterable, and a consumer."""
    queue: asyncio.Queue[Any] = asyncio.Queue(_CAPACITY)

    async def produce() -> None:
        for item in range(count):
            await queue.put(item)
        await queue.put(_DONE)

    producer = asyncio.create_task(produce())
    result = await _add_up(queue.get)
    await producer
    return result


async def janus_thread(count: int) -> Result:
    """`janus.Queue`, a producer in a thread that reads a plain iterable, and a consumer on the event loop."""
    import janus

    queue: janus.Queue[Any] = janus.Queue(_CAPACITY)

    def produce() -> None:
        for item in range(count):
            queue.sync_q.put(item)
        queue.sync_q.put(_DONE)

    producer = asyncio.get_running_loop().run_in_executor(None, produce)
    result = await _add_up(queue.async_q.get)
    await producer
    await queue.aclose()
    return result


async def ours_async(count: int) -> Result:
    """`to_async_iterable` over `from_async_iterable`."""
    from rxstream import from_async_iterable

    return await _add_up_stream(from_async_iterable(lambda: source(count)))


async def ours_iterable(count: int) -> Result:
    """`to_async_iterable` over the stock `reactivex.from_iterable`, whose loop runs on a worker thread."""
    import reactivex

    return await _add_up_stream(reactivex.from_iterable(range(count)))


async def _add_up(get: Callable[[], Awaitable[Any]]) -> Result:
    seen = total = 0
    while (item := await get()) is not _DONE:
        seen += 1
        total += item
    return seen, total


async def _add_up_stream(observable: Any) -> Result:
    from rxstream import BufferConfig, to_async_iterable

    seen = total = 0
    async with to_async_iterable(observable, BufferConfig(_CAPACITY, "suspend")) as stream:
        async for item in stream:
            seen += 1
            total += item
    return seen, total


CONTENDERS: Final[dict[str, Callable[[int], Awaitable[Result]]]] = {
    "queue-async": queue_async,
    "queue-iterable": queue_iterable,
    "janus-thread": janus_thread,
    "ours-async": ours_async,
    "ours-iterable": ours_iterable,
}


async def measure(name: str, count: int) -> dict[str, float]:
    """Run one contender, once on a few items so that its imports are done, then timed."""
    contender = CONTENDERS[name]
    await contender(1_000)
    started, cpu = time.perf_counter(), time.process_time()
    seen, total = await contender(count)
    seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
    return {"seconds": seconds, "cpu": cpu, "count": seen, "checksum": total}


if __name__ == "__main__":
    print(json.dumps(asyncio.run(measure(sys.argv[1], int(sys.argv[2])))))
