"""How long the disk takes to keep something: a source that can fail, and a circuit breaker around it.

A disk that is full, gone or broken makes each attempt fail, or hang. After three failures the circuit opens and leaves
it alone for ten seconds. The page has a switch that makes the source fail, so that this can be watched.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections import deque
from collections.abc import AsyncGenerator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pybreaker import CircuitBreaker, CircuitBreakerListener, CircuitBreakerState
from quart import Blueprint, Response, request
from reactivex import Observable

from quart_adapter import sse
from rxstream import circuits, from_async_iterable, to_async_iterable
from rxstream.operators import with_circuit, with_metrics

CIRCUIT = "disk_latency"
EVERY = 1.0  # seconds
BLOCK = os.urandom(4096)  # zeros may take a short cut
REMEMBERED = 6


class Latency(CircuitBreakerListener):
    """Measures the disk for ever, and knows what became of it.

    Args:
        path: A file of its own, on the disk that is measured.
    """

    def __init__(self, path: Path) -> None:
        self.broken = False
        self.error: str | None = None
        self._path = path
        self._last: tuple[int, float] | None = None
        self._count = 0
        self._refused = 0
        self._changes: deque[dict[str, str]] = deque(maxlen=REMEMBERED)
        # A thread of its own: a disk that hangs must not take those of others.
        self._thread = ThreadPoolExecutor(1, "disk-latency")
        self._breaker = circuits.get(CIRCUIT, fail_max=3, reset_timeout=10)

    def measurements(self) -> Observable[float]:
        """Milliseconds, one every second, behind the circuit: a source for each subscriber."""
        guard = with_circuit(self._breaker, first_item_timeout=10, idle_timeout=10)
        return from_async_iterable(self._measure).pipe(guard, with_metrics(CIRCUIT))

    async def run(self) -> None:
        """Subscribes again and again, as a client would; each attempt is one that the circuit may refuse."""
        self._breaker.add_listener(self)  # type: ignore[no-untyped-call, unused-ignore]
        try:
            while True:
                await self._follow()
                await asyncio.sleep(EVERY)
        finally:
            self._breaker.remove_listener(self)  # type: ignore[no-untyped-call, unused-ignore]
            self._thread.submit(self._path.unlink, missing_ok=True)  # after a measurement that is on its way
            self._thread.shutdown(wait=False)

    async def _follow(self) -> None:
        try:
            async with to_async_iterable(self.measurements(), {"capacity": 1}) as values:
                async for value in values:
                    self._count += 1
                    self._last, self.error = (self._count, value), None
        except Exception as error:
            self._last, self.error = None, str(error) or type(error).__name__

    async def _measure(self) -> AsyncGenerator[float, None]:
        while True:
            if self.broken:
                raise OSError("switched off on the page")
            seconds = await asyncio.get_running_loop().run_in_executor(self._thread, keep, self._path)
            yield round(1000 * seconds, 3)
            await asyncio.sleep(EVERY)

    # -- what the circuit tells, on any thread

    def state_change(
        self, cb: CircuitBreaker, old_state: CircuitBreakerState | None, new_state: CircuitBreakerState
    ) -> None:
        self._changes.appendleft({"at": datetime.now(UTC).isoformat(), "to": new_state.name})

    def rejected(self, breaker: CircuitBreaker) -> None:
        self._refused += 1

    # -- what the page is told

    def state(self) -> dict[str, Any]:
        number, value = self._last or (None, None)
        return {
            "number": number,
            "milliseconds": value,
            "error": self.error,
            "broken": self.broken,
            "refused": self._refused,
            "changes": list(self._changes),
        }

    def routes(self) -> Blueprint:
        routes = Blueprint("latency", __name__)

        @routes.get("/latency")
        async def latency() -> Response:
            return await sse(self.measurements())

        @routes.put("/latency/broken")
        async def switch() -> tuple[str, int]:
            self.broken = request.args.get("on") == "true"
            return "", 204

        return routes


def keep(path: Path) -> float:
    """Writes a block and waits until the disk has it; in seconds."""
    began = time.perf_counter()
    with path.open("wb") as file:
        file.write(BLOCK)
        file.flush()
        os.fsync(file.fileno())
    return time.perf_counter() - began


def as_rows() -> list[dict[str, Any]]:
    """Every circuit of this process, as the page lists it."""
    return [
        {
            "name": breaker.name,
            "state": breaker.current_state,
            "failures": breaker.fail_counter,
            "fail_max": breaker.fail_max,
            "reset_timeout": breaker.reset_timeout,
        }
        for breaker in circuits
    ]
