"""Event loops, called from any thread and at any time: timers, tasks, futures, also when the loop is closed."""

from __future__ import annotations

import asyncio
import contextvars
import logging
from collections.abc import Callable, Coroutine
from typing import Any, Final

from reactivex import abc
from reactivex.disposable import Disposable

__all__ = [
    "CLEANUP_TIMEOUT",
    "LoopTimer",
    "SourceTask",
    "call_on",
    "call_soon",
    "cancel_task",
    "ended",
    "resolve",
    "start_task",
]

logger = logging.getLogger("rxstream")

CLEANUP_TIMEOUT: Final = 5.0
"""Seconds that the cleanup of a source may take after a dispose before it is reported and cancelled again."""


class LoopTimer(abc.DisposableBase):
    """A timer of the event loop that can be set and cancelled from any thread."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        seconds: float,
        action: Callable[[], object],
        context: contextvars.Context,
    ) -> None:
        self._loop = loop
        self._handle: asyncio.TimerHandle | None = None
        self._cancelled = False
        call_on(loop, self._arm, loop.time() + seconds, action, context)

    def _arm(self, when: float, action: Callable[[], object], context: contextvars.Context) -> None:
        if not self._cancelled:
            self._handle = self._loop.call_at(when, action, context=context)

    def _cancel(self) -> None:
        if self._handle is not None:
            self._handle.cancel()

    def dispose(self) -> None:
        self._cancelled = True
        call_on(self._loop, self._cancel)


def call_on(loop: asyncio.AbstractEventLoop, function: Callable[..., object], *args: Any) -> None:
    """Calls a function on a loop: now, if that runs here, else soon; not at all once the loop is closed."""
    if asyncio._get_running_loop() is loop:
        function(*args)
        return
    try:
        loop.call_soon_threadsafe(function, *args)
    except RuntimeError:  # the loop is closed, and so is all that ran on it
        pass


class SourceTask(asyncio.Task[None]):
    """A task that runs a source.

    Attributes:
        owner: On whose demand.
        pulls_from: The buffer that the source is the other side of; None for the source of a pipeline.
    """

    __slots__ = ("owner", "pulls_from")

    owner: object
    pulls_from: object


def start_task(
    main: Callable[[], Coroutine[Any, Any, None]],
    loop: asyncio.AbstractEventLoop,
    context: contextvars.Context,
    tasks: set[asyncio.Task[Any]],
    owner: object = None,
) -> abc.DisposableBase:
    """Runs a coroutine as a task of a loop until it ends or the result is disposed, from any thread.

    Args:
        main: Makes the coroutine.
        loop: Where it runs.
        context: What it sees as its `contextvars`.
        tasks: Holds the task as long as it runs.
        owner: The task's `owner`.
    """
    running: list[asyncio.Task[Any]] = []
    cancelled = False

    def start() -> None:
        if not cancelled:
            # Not `loop.create_task`: an eager task factory would run the source within the call that subscribes to it.
            task = SourceTask(main(), loop=loop, context=context)
            task.owner, task.pulls_from = owner, None
            running.append(task)
            tasks.add(task)
            task.add_done_callback(tasks.discard)
            task.add_done_callback(_report)

    def cancel() -> None:
        for task in running:
            cancel_task(loop, task)
        running.clear()

    def dispose() -> None:
        nonlocal cancelled
        cancelled = True
        call_on(loop, cancel)

    call_on(loop, start)
    return Disposable(dispose)


def _report(task: asyncio.Task[Any]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        logger.error("the cleanup of a source failed", exc_info=error)


def cancel_task(loop: asyncio.AbstractEventLoop, task: asyncio.Task[Any]) -> None:
    """Cancels a task once, however often it is called: a second cancel would cut the cleanup that the first began.

    A task that does not end within `CLEANUP_TIMEOUT` of its cancellation is reported and cancelled again.
    """

    def again() -> None:
        logger.warning("a source did not end within %s s of its cancellation: %r", CLEANUP_TIMEOUT, task)
        task.cancel()

    if not (task.done() or task.cancelling()):
        task.cancel()
        watch = loop.call_later(CLEANUP_TIMEOUT, again)
        task.add_done_callback(lambda _: watch.cancel())


def _settle(future: asyncio.Future[None], error: Exception | None) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(None)
    elif isinstance(error, StopIteration):  # no future takes it
        future.set_exception(RuntimeError(f"a source raised {error!r}"))
    else:
        future.set_exception(error)


async def ended(tasks: set[asyncio.Task[Any]] | set[asyncio.Future[Any]]) -> set[asyncio.Future[Any]]:
    """Waits for tasks that were cancelled, and returns those that have not ended in time."""
    if not tasks:
        return set()
    # The extra is for what `cancel_task` does when the time is up.
    _, pending = await asyncio.wait(tasks, timeout=1.1 * CLEANUP_TIMEOUT)
    return set(pending)


def resolve(loop: asyncio.AbstractEventLoop, future: asyncio.Future[None], error: Exception | None = None) -> None:
    """Sets a future of a loop, from any thread, whatever has become of either."""
    call_on(loop, _settle, future, error)


def call_soon(loop: asyncio.AbstractEventLoop, action: Callable[[], Any]) -> None:
    """Calls a function in the next turn of a loop, from any thread; not at all once the loop is closed."""
    if asyncio._get_running_loop() is loop:
        loop.call_soon(action)
    else:
        call_on(loop, action)
