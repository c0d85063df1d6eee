"""Ways out of a stream that are not its body's own: its task ends, its time is up, or it is collected as garbage."""

from __future__ import annotations

import asyncio
from _thread import start_new_thread
from collections.abc import Callable
from contextlib import suppress
from contextvars import Context
from typing import TYPE_CHECKING, Any
from weakref import ref

from quart_adapter.connection import request_task
from rxstream.async_boundary import AsyncBoundary

if TYPE_CHECKING:
    from quart_adapter.body import StreamBody
    from rxstream.metrics import StreamProbe

__all__ = ["Abandon", "cut_off", "let_go", "soon"]


class Abandon:
    """Ends a stream with its task. Without an `RxStream` that may be one within the handler: then only its failure
    counts."""

    __slots__ = ("_body",)  # a `partial` is five times as large, and there are thousands

    def __init__(self, body: ref[StreamBody]) -> None:
        self._body = body

    def __call__(self, task: asyncio.Task[Any]) -> None:
        if (living := self._body()) is not None:
            if request_task() is task or task.cancelled() or task.exception() is not None:
                living.abandon()


def let_go(boundary: AsyncBoundary[Any], probe: StreamProbe | None) -> None:
    """Ends what a body that is collected had begun."""
    boundary.disconnect()
    if probe is not None:
        probe.close()


def soon(loop: asyncio.AbstractEventLoop, action: Callable[[], object], context: Context) -> None:
    """Calls a function for a finalizer: not in there, since garbage is collected in the middle of anything, and so of
    what has the very lock that the function waits for."""
    try:
        loop.call_soon_threadsafe(action, context=context)
    except RuntimeError:  # the loop is closed
        with suppress(RuntimeError):  # so is the interpreter, soon
            start_new_thread(action, ())  # `threading` has locks of its own


def cut_off(body: ref[StreamBody], reason: str) -> None:
    """Cuts a body off, if it is still there."""
    if (living := body()) is not None:
        living.cut_off(reason)
