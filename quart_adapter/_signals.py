"""Signals that end a server, heard on the way to whoever handles them; any number of apps hear of the same one."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from types import FrameType
from typing import Any

__all__ = ["Ear"]


class Ear:
    """Has a function called on a loop at a signal, and then whatever handler stood there before. On the main thread.

    Args:
        number: The signal.
        loop: Where the function is called.
        tell: The function.
    """

    def __init__(self, number: signal.Signals, loop: asyncio.AbstractEventLoop, tell: Callable[[], object]) -> None:
        self._number = number
        self._call: tuple[asyncio.AbstractEventLoop, Callable[[], object]] | None = (loop, tell)
        self._previous: Any = signal.getsignal(number)
        signal.signal(number, self)

    def __call__(self, received: int, frame: FrameType | None) -> None:
        """The signal has come."""
        if self._call is not None and not self._call[0].is_closed():
            self._call[0].call_soon_threadsafe(self._call[1])
        if callable(self._previous):
            self._previous(received, frame)
        elif self._previous is signal.SIG_DFL:
            signal.signal(received, signal.SIG_DFL)  # whoever stands above has called this
            signal.raise_signal(received)

    def close(self) -> None:
        """Hears no more; stands aside as soon as nobody stands above who still hears."""
        self._call = None
        above = handler = signal.getsignal(self._number)
        while isinstance(handler, Ear) and handler._call is None:
            handler = handler._previous
        if handler is not above and handler is not None:  # None is one that was not set from Python
            signal.signal(self._number, handler)
