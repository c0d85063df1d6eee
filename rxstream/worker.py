"""The thread on which a subscription's stock sources run: there while there is work, and only then."""

from __future__ import annotations

import contextvars
import threading
from collections import deque
from collections.abc import Callable, Collection
from typing import Final, NamedTuple

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
        self._actions: deque[_Action] = deque()  # each is asked for by one waiting source or operator
        self._machine = machine
        self._changed = machine.condition(threading.Lock())
        self._thread: threading.Thread | None = None
        self._linger = LINGER
        self._stopped = False

    @staticmethod
    def current() -> Worker | None:
        """The worker that the caller runs on."""
        return getattr(_here, "worker", None)

    def submit(
        self,
        action: Callable[[], object],
        before: Callable[[], object] | None = None,
        *,
        out_of: object = None,
    ) -> None:
        """Queues an action.

        Args:
            action: What to run.
            before: Is called under the same lock that `on_idle` is.
            out_of: The buffer that it hands an item out of: it may be run amid an action that waits for room in there,
                or further up.
        """
        with self._changed:
            if self._stopped:
                return
            if before is not None:
                before()
            self._actions.append(_Action(action, out_of))
            failure = self._awake()
        if failure is not None:
            self._on_error(failure)

    def is_current(self) -> bool:
        """Whether the caller runs on this worker."""
        return self._thread is threading.current_thread()

    def turn(self, buffers: Collection[object]) -> _Turn:
        """What an action on this worker waits with for room, if that may come about by way of this worker.

        Args:
            buffers: That in which there is to be room, and those below it.
        """
        return _Turn(self, buffers)

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
                return self._actions.popleft().run
            self._thread = None
            return None

    def _run(self) -> None:
        _here.worker = self
        while (action := self._next()) is not None:
            self._carry_out(action)
            del action  # or the frame keeps the last pipeline alive while the thread lingers

    def _carry_out(self, action: Callable[[], object]) -> None:
        try:
            action()
        except Released:
            pass
        except BaseException as error:  # user code: the pipeline's failure, not the thread's
            self._on_error(as_failure(error))

    def _help_out(self, turn: _Turn, timeout: float | None) -> bool:
        """Empties the buffer until it is the turn of the action that waits; False: it was not in time."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: turn.came or self._find(turn.buffers) is not None, timeout)
                if turn.came:
                    return True
                if (index := self._find(turn.buffers)) is None:
                    return False
                action = self._actions[index].run
                del self._actions[index]
            self._carry_out(action)
            del action

    def _find(self, buffers: Collection[object]) -> int | None:
        """With the lock held: the first action that hands an item out of one of the buffers."""
        return next((index for index, action in enumerate(self._actions) if action.out_of in buffers), None)


class _Action(NamedTuple):
    """Something to run on a worker."""

    run: Callable[[], object]
    out_of: object


class _Turn:
    """A lock, as far as it is needed, that a worker's thread waits for while it lets the buffers be emptied.

    A source whose items are handed around within a pipeline (`publish`, `group_by`) runs on the worker of the boundary
    below, and pushes into a buffer above that one. Who empties that buffer delivers on the same worker. What is run
    meanwhile is always further down than what waits: no operator is entered a second time.
    """

    __slots__ = ("_worker", "buffers", "came")

    def __init__(self, worker: Worker, buffers: Collection[object]) -> None:
        self._worker = worker
        self.buffers = buffers
        self.came = False

    def release(self) -> None:
        """It is the turn of whoever waits. Any thread."""
        with self._worker._changed:
            self.came = True
            self._worker._changed.notify()

    def acquire(self, timeout: float = -1) -> bool:
        """Waits for the turn, so many seconds; on the worker."""
        return self._worker._help_out(self, None if timeout < 0 else timeout)


_here: Final = threading.local()
