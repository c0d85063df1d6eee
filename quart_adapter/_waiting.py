"""Waiting for a client, made cheap: a large upload waits thousands of times, each time for less than a millisecond."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import TracebackType

__all__ = ["IdleTimer", "Signal"]


class Signal:
    """Wakes whoever waits at this moment. Hardly any request has somebody who does: nothing is made before."""

    __slots__ = ("_waiting",)

    def __init__(self) -> None:
        self._waiting: list[asyncio.Future[None]] | None = None

    def set(self) -> None:
        """Wakes them."""
        if self._waiting is not None:
            waiting, self._waiting = self._waiting, None
            for future in waiting:
                if not future.done():
                    future.set_result(None)

    async def wait(self) -> None:
        """Waits for the next `set`."""
        future = asyncio.get_running_loop().create_future()
        if self._waiting is None:
            self._waiting = [future]
        else:
            self._waiting = [one for one in self._waiting if not one.done()]  # without those that were cancelled
            self._waiting.append(future)
        await future


class IdleTimer:
    """Tells of a wait that takes too long. One timer of the loop serves all waits that begin within its time.

    Args:
        seconds: How long a wait may take.
        expired: Is called once for each that takes longer.
    """

    __slots__ = ("_began", "_expired", "_loop", "_seconds", "_timer")

    def __init__(self, seconds: float, expired: Callable[[], object]) -> None:
        self._seconds = seconds
        self._expired = expired
        self._loop = asyncio.get_running_loop()
        self._began: float | None = None
        self._timer: asyncio.TimerHandle | None = None

    def since(self, began: float) -> IdleTimer:
        """A context in which the caller waits, from this moment of the loop's clock on."""
        self._began = began
        if self._timer is None:
            self._timer = self._loop.call_at(began + self._seconds, self._due)
        return self

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._began = None

    def stop(self) -> None:
        """Lets go of the timer; a wait that begins later has one again."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _due(self) -> None:
        self._timer = None
        if self._began is None:
            return
        due = self._began + self._seconds
        if due <= self._loop.time():
            self._expired()
        else:
            self._timer = self._loop.call_at(due, self._due)
