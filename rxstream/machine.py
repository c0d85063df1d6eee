"""What a stream takes of the machine besides its event loop: threads that wait for each other, and the time code takes.

An event loop of its own time (`rxstream.virtual`) brings a machine of its own, so that the same happens each time.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, Final, Protocol, cast

__all__ = ["REAL", "Machine", "clock", "machine_of", "monotonic", "virtual_clock"]

virtual_clock: ContextVar[Callable[[], float] | None] = ContextVar("rxstream_virtual_clock", default=None)
"""The clock of virtual time, in all that runs within it."""


class Machine(Protocol):
    """The parts of `threading` that a waiting worker uses, and two clocks."""

    @property
    def lock(self) -> Callable[[], Any]:
        """Makes what `threading.Lock` is: the turn that a producer waits for."""

    @property
    def condition(self) -> Callable[[Any], Any]:
        """Makes what `threading.Condition` is: what an idle worker waits for."""

    @property
    def thread(self) -> Callable[..., threading.Thread]:
        """Makes what `threading.Thread` is: a worker's."""

    @property
    def effort(self) -> Callable[[], float]:
        """Seconds as code takes them: says when a source that never waits has to give way."""

    @property
    def date(self) -> datetime:
        """What the date was when the loop's clock showed `started`."""

    @property
    def started(self) -> float:
        """What the loop's clock showed at `date`, in seconds."""


class _Real:
    """The machine that this runs on."""

    lock = staticmethod(threading.Lock)
    condition = staticmethod(threading.Condition)
    thread = staticmethod(threading.Thread)
    effort = staticmethod(time.monotonic)
    date = datetime.now(UTC)
    started = time.monotonic()


REAL: Final[Machine] = _Real()


def machine_of(loop: asyncio.AbstractEventLoop | None) -> Machine:
    """The machine that streams on this loop run on."""
    return cast("Machine", getattr(loop, "machine", REAL))


def monotonic() -> float:
    """Seconds on a clock that nobody sets; in virtual time, its own: for what belongs to no loop."""
    return clock()()


def clock() -> Callable[[], float]:
    """The clock that `monotonic` shows here, for any thread."""
    return virtual_clock.get() or time.monotonic
