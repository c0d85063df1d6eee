"""The thread that asks and tells a circuit breaker where that may take a while: there while there is work for it."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Final

__all__ = ["Clerk"]

logger = logging.getLogger("rxstream")

BACKLOG: Final = 1024
"""Errands that may wait; the oldest are dropped. They pile up only while the breaker's storage does not answer."""


LINGER: Final = 0.1
"""Seconds that the thread waits for more before it ends."""


class Clerk:
    """Runs errands one after the other on one thread, and looks around at an interval while there is a reason to.

    Args:
        look: Is called every `interval` seconds while `wanted` says so.
        wanted: Whether anybody needs that.
        interval: Seconds.
    """

    def __init__(self, look: Callable[[], object], wanted: Callable[[], object], interval: float) -> None:
        self._look = look
        self._wanted = wanted
        self._interval = interval
        self._errands: deque[Callable[[], object]] = deque()  # at most `BACKLOG`
        self._changed = threading.Condition(threading.Lock())
        self._thread: threading.Thread | None = None
        self._began: float | None = None  # the errand that runs
        self._dropping = False

    @property
    def busy(self) -> bool:
        """Whether an errand waits or runs."""
        return bool(self._errands) or self._began is not None

    def busy_for(self) -> float:
        """Seconds that it has been at the same errand."""
        began = self._began
        return 0.0 if began is None else time.monotonic() - began

    def submit(self, errand: Callable[[], object] | None = None, *, once: bool = False) -> None:
        """Has an errand run after all that wait; without one, has somebody look around from here on.

        Args:
            errand: What to do.
            once: Not if it waits already.
        """
        with self._changed:
            if errand is not None and not (once and errand in self._errands):
                full = len(self._errands) >= BACKLOG
                if full:
                    self._errands.popleft()
                    if not self._dropping:
                        logger.warning("a circuit's storage does not answer: some streams are not counted")
                self._dropping = full
                self._errands.append(errand)
            self._awake()

    def wake(self) -> None:
        """Lets the thread see that nobody needs it any more."""
        if self._thread is not None:
            with self._changed:
                self._changed.notify()

    def _awake(self) -> None:
        if self._thread is not None and self._thread.is_alive():  # it is not in a process that was forked off
            self._changed.notify()
            return
        thread = threading.Thread(target=self._run, name="rxstream-circuit", daemon=True)
        try:
            thread.start()
        except RuntimeError:  # the system has no more threads, or the interpreter shuts down
            logger.exception("a circuit cannot be asked")
        else:
            self._thread = thread

    def _next(self) -> Callable[[], object] | None:
        """With nothing to do for `interval`, looking around is next; None: nobody needs the thread."""
        with self._changed:
            self._began = None
            errand = self._look
            if not self._errands:
                self._changed.wait(self._interval if self._wanted() else LINGER)
            if self._errands:
                errand = self._errands.popleft()
            elif not self._wanted():
                self._thread = None
                return None
            self._began = time.monotonic()
            return errand

    def _run(self) -> None:
        while (errand := self._next()) is not None:
            try:
                errand()
            except Exception:  # a storage, or a listener of the user's
                logger.exception("a circuit could not be asked")
            del errand  # or the frame keeps a stream alive while the thread waits
