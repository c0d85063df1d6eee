"""The thread on which a subscription's stock sources run: there while there is work, and only then."""

from __future__ import annotations

import contextvars
import threading
from collections import deque
from collections.abc import Callable
from typing import Final

from rxstream.errors import as_failure
from rxstream.machine import REAL, Machine

__all__ = ["Released", "Worker"]

LINGER: Final = 0.1
"""Seconds that an idle worker thread waits for more before it ends."""


class Released(BaseException):
    """Unwinds a worker thread out of user code that pushes into a stream that is over.

    A loop inside `subscribe`, as in `reactivex.create`, has no other way to learn of it. Never leaves a worker.
    """


class Worker:
    """One thread that runs actions one after the other.

    Args:
        context: What the actions see as their `contextvars`.
        on_idle: Is called, under the worker's lock, when nothing is left to run.
        on_error: Is called with what an action raises, and when no thread can be started.
        machine: Where the thread comes from, and how it waits.
    """

    def __init__(
        self,
        context: contextvars.Context,
        *,
        on_idle: Callable[[], object],
        on_error: Callable[[Exception], object],
        machine: Machine = REAL,
    ) -> None:
        self._context = context
        self._on_idle = on_idle
        self._on_error = on_error
        self._actions: deque[Callable[[], object]] = deque()  # each is asked for by one waiting source or operator
        self._machine = machine
        self._changed = machine.condition(threading.Lock())
        self._thread: threading.Thread | None = None
        self._linger = LINGER
        self._stopped = False

    def submit(self, action: Callable[[], object], before: Callable[[], object] | None = None) -> None:
        """Queues an action; `before` is called under the same lock that `on_idle` is."""
        with self._changed:
            if self._stopped:
                return
            if before is not None:
                before()
            self._actions.append(action)
            failure = self._awake()
        if failure is not None:
            self._on_error(failure)

    def is_current(self) -> bool:
        """Whether the caller runs on this worker."""
        return self._thread is threading.current_thread()

    def retire(self) -> None:
        """From here on no thread stays for what may still come: it ends as soon as it has nothing to run."""
        with self._changed:
            self._linger = 0.0
            self._changed.notify()

    def stop(self) -> None:
        """Drops what is queued and ends the thread after the action that it runs. Does not wait."""
        with self._changed:
            self._stopped = True
            self._actions.clear()
            self._changed.notify()

    def _awake(self) -> Exception | None:
        """With the lock held: sees to it that a thread runs what is queued, or drops it and says why there is none."""
        if self._thread is not None:
            self._changed.notify()
            return None
        # A copy, since the thread before this one may still be on its way out of the context.
        thread = self._machine.thread(
            target=self._context.copy().run, args=(self._run,), name="rxstream-worker", daemon=True
        )
        try:
            thread.start()  # waits for the thread, which waits for nothing of ours before it runs
        except RuntimeError as error:  # the system has no more threads, or the interpreter shuts down
            self._actions.clear()
            self._on_idle()
            return error
        self._thread = thread
        return None

    def _next(self) -> Callable[[], object] | None:
        with self._changed:
            if not self._actions:
                self._on_idle()
                self._changed.wait_for(lambda: self._actions or self._stopped or not self._linger, self._linger)
            if self._actions:
                return self._actions.popleft()
            self._thread = None
            return None

    def _run(self) -> None:
        while (action := self._next()) is not None:
            try:
                action()
            except Released:
                pass
            except BaseException as error:  # user code: the pipeline's failure, not the thread's
                self._on_error(as_failure(error))
            del action  # or the frame keeps the last pipeline alive while the thread lingers
